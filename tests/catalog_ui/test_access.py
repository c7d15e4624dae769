"""Missing, damaged and newly published catalogs."""

import shutil

import pytest
from catalog_fixture import small_frames, small_parquet
from page_elements import components

from sae.catalog.publish import build_candidate, publish
from sae.catalog.versions import CURRENT
from sae.storage import Store

PAGES = ("map", "search", "feature", "compare", "attribution", "steering", "audit", "sql", "health")


@pytest.mark.parametrize("page", PAGES)
def test_an_empty_store_gets_a_page_that_says_what_to_run(open_page, tmp_path, page):
    app = open_page(page, store=tmp_path / "empty")

    assert app.title[0].value == "Nothing is published yet"
    assert app.code[0].value == "atlas run"


def test_a_damaged_pointer_gets_a_page_with_the_reason(open_page, small_store, tmp_path):
    store = shutil.copytree(small_store, tmp_path / "damaged")
    (store / CURRENT).write_text("<b>no version</b>")

    app = open_page("map", store=store)

    assert app.title[0].value == "The catalog cannot be opened"
    assert "damaged" in app.text[0].value


def test_a_missing_config_gets_a_page_with_the_reason(open_page, monkeypatch, tmp_path):
    app = open_page("map")
    monkeypatch.setenv("ATLAS_CONFIG", str(tmp_path / "none.yaml"))

    app.run()

    assert not app.exception
    assert "atlas init" in app.text[0].value


def test_a_new_version_is_read_without_a_restart(open_page, small_store, tmp_path):
    folder = shutil.copytree(small_store, tmp_path / "store")
    app = open_page("feature", store=folder, id="aaaa000011112222:1")
    before = components(app, "fact_sheet")[0]["title"]
    store = Store(str(folder))
    frames = small_frames(store)
    frames["labels"] = frames["labels"].with_columns(label=frames["labels"]["label"] + " (new)")
    publish(store, build_candidate(store, frames, small_parquet(store), {}))

    app.run()

    assert components(app, "fact_sheet")[0]["title"] == f"{before} (new)"
