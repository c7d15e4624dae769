"""The app on a small store, and what its components are given."""

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from catalog_fixture import small_frames, small_parquet
from catalog_with_past import frames_with_past
from streamlit.testing.v1 import AppTest

import catalog_ui
from sae.catalog.publish import build_candidate, publish
from sae.storage import Store

APP = Path(catalog_ui.__file__).parent / "app.py"
CONFIG = """
models: {world-lm: {source: world}}
corpora: {world: {source: world}}
sites: [{model: world-lm, hookpoint: layers.3, corpora: [world]}]
dictionaries: {large: {architecture: topk, expansion: 4, k: 8}}
"""
HOSTILE = (
    "<script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 1'>",
    "**bold** [a](javascript:window.hacked=1) `code` | table",
    "$\\latex$ :red[colour] :material/lens: # heading",
)

Open = Callable[..., AppTest]


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Point the pages at a store."""
    config = tmp_path / "atlas.yaml"
    config.write_text(CONFIG)
    monkeypatch.setenv("ATLAS_CONFIG", str(config))
    return lambda store: monkeypatch.setenv("ATLAS_STORE", str(store))


@pytest.fixture
def open_page(small_store: Path, workspace: Callable[[Path], None]) -> Open:
    """Open a page of the app on the small store (or another), with parameters in the address."""

    def open_(page: str, store: Path | None = None, **parameters: str) -> AppTest:
        workspace(store or small_store)
        app = AppTest.from_file(str(APP), default_timeout=30)
        app.run()
        app.switch_page(f"app_pages/{page}.py")
        app.query_params.update(parameters)
        app.run()
        assert not app.exception, [error.value for error in app.exception]
        return app

    return open_


@pytest.fixture(scope="session")
def past_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small catalog with a replaced dictionary, a candidate turned down, failed checks and changed shards."""
    folder = tmp_path_factory.mktemp("past_store")
    store = Store(str(folder))
    store.open_schema()
    publish(store, build_candidate(store, frames_with_past(store), small_parquet(store), {}))
    return folder


@pytest.fixture(scope="session")
def hostile_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store whose labels, explanations, cluster names, tokens and documents are markup."""
    folder = tmp_path_factory.mktemp("hostile_store")
    store = Store(str(folder))
    frames = small_frames(store)
    nasty = " ".join(HOSTILE)
    for table, columns in {
        "labels": ("label", "explanation", "prompt", "raw_reply", "model"),
        "label_reviews": ("reviewer", "proposed_label", "note"),
        "clusters": ("label",),
        "documents": ("text", "topic"),
        "concepts": ("name", "kind"),
        "prompts": ("text", "target", "baseline", "predicted"),
        "attributions": ("token",),
        "steering": ("completion",),
        "models": ("architecture", "source"),
        "runs": ("trigger", "status"),
        "checks": ("partition",),
    }.items():
        frames[table] = frames[table].with_columns(pl.lit(nasty).alias(name) for name in columns)
    listed = pl.lit(list(HOSTILE), dtype=pl.List(pl.String))
    recipe = json.dumps({"recipe_config": {nasty: nasty}, "inputs": {nasty: nasty}})
    frames["dictionaries"] = frames["dictionaries"].with_columns(provenance=pl.lit(recipe))
    frames["evaluation"] = frames["evaluation"].with_columns(
        details=pl.lit(json.dumps({"unit": nasty, "control": nasty}))
    )
    frames["features"] = frames["features"].with_columns(top_tokens=listed)
    version = build_candidate(store, frames, small_parquet(store), {})
    publish(store, version)
    return folder
