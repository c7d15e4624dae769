"""A dictionary of another library goes through everything that one trained here does."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
import yaml
from tiny_pipeline import SITE, made_since, run

from orchestration.pinned import Pinned
from sae.catalog import open_catalog
from sae.dictionaries.dictionary import Dictionary
from sae.dictionaries.formats.exchange import read_dictionary, write_dictionary

THEIRS = f"{SITE}.theirs"


def add_recipe(config: Path, name: str, recipe: dict[str, Any]) -> None:
    edited = yaml.safe_load(config.read_text())
    edited["dictionaries"][name] = recipe
    config.write_text(yaml.safe_dump(edited))


def rows_of(catalog, table: str, dictionary_id: str) -> pl.DataFrame:
    return catalog.sql(f"select * from {table} where feature_id like ? || ':%'", [dictionary_id])


@pytest.mark.slow
def test_a_dictionary_exported_for_sparsify_comes_back_as_a_recipe_of_its_own(place, command) -> None:
    exported = command("export", "sparsify", f"{SITE}.small", str(place.folder / "layers.3"))
    assert exported.code == 0, exported.err
    taken = command("import", "sparsify", str(place.folder / "layers.3"), "--site", SITE, "--name", "theirs")
    assert taken.code == 0, taken.err
    recipe = yaml.safe_load(taken.out.splitlines()[-1])["theirs"]
    add_recipe(place.config, "theirs", recipe)

    outcome = run(place.config)

    assert not outcome.failed
    ours, theirs = place.ref("dictionary", f"{SITE}.small"), place.ref("dictionary", THEIRS)
    assert ours.data_version != theirs.data_version
    for measure in ("fvu", "l0", "dead_fraction", "loss_recovered"):
        assert theirs.facts["quality"][measure] == pytest.approx(ours.facts["quality"][measure], abs=1e-5)
    provenance = json.loads(place.store.read_bytes(theirs.files["provenance.json"].path))
    assert provenance["imported"]["format"] == "sparsify"
    assert provenance["imported"]["config"]["k"] == 4
    assert set(provenance["imported"]["files"]) == {"cfg.json", "sae.safetensors"}
    assert str(place.folder) not in json.dumps(provenance)
    x = torch.randn(30, ours.facts["d_in"], generator=torch.Generator().manual_seed(0))
    codes = [Pinned(place.store, ref, "cpu").dictionary.encode(x) for ref in (ours, theirs)]
    torch.testing.assert_close(codes[0], codes[1], rtol=0, atol=1e-5)
    with open_catalog(place.store) as catalog:
        row = catalog.sql("select * from dictionaries where dictionary_id = ?", [theirs.data_version]).to_dicts()[0]
        assert (row["architecture"], row["k"], row["tokens_trained"]) == ("imported", 4, None)
        assert row["is_current"]
        for table in ("features", "examples", "current_labels", "neighbors", "logit_weights", "attributions"):
            found, own = (rows_of(catalog, table, ref.data_version) for ref in (theirs, ours))
            assert found.height > 0, table
            # Neighbours across dictionaries depend on the others that there are.
            assert table == "neighbors" or found.height == own.height, table
        same = catalog.sql(
            "select count(*) filter (abs(a.max_activation - b.max_activation) < 1e-4) = count(*) from features a "
            "join features b using (index) where a.dictionary_id = ? and b.dictionary_id = ?",
            [ours.data_version, theirs.data_version],
        )
        assert same.item()
    audited = command("audit", f"{theirs.data_version}:0")
    assert audited.code == 0, audited.out

    _, cursor = made_since(place.config, 0)
    (place.folder / recipe["source"]).rename(place.folder / "elsewhere")
    add_recipe(place.config, "theirs", recipe | {"source": "elsewhere"})
    assert not run(place.config).failed
    assert made_since(place.config, cursor)[0] == []


def run_imported(place, kind: str, folder: Path) -> str:
    """What a run says of a recipe that cannot be imported."""
    add_recipe(
        place.config, "theirs", {"architecture": "imported", "format": kind, "source": str(folder), "sites": [SITE]}
    )
    outcome = run(place.config)
    [(cell, error)] = outcome.failed.items()
    assert str(cell) == f"dictionary_candidate[{THEIRS}]"
    return str(error)


@pytest.mark.slow
def test_a_dictionary_of_another_width_is_refused_with_both_widths(place) -> None:
    W_enc = torch.randn(7, 9, generator=torch.Generator().manual_seed(0))
    wrong = Dictionary(W_enc, torch.zeros(9), W_enc.T.contiguous(), torch.zeros(7), "standard")
    write_dictionary("saelens", wrong, place.folder / "wrong")

    assert "reads activations of 7 dimensions" in run_imported(place, "saelens", place.folder / "wrong")


class Command:
    def __init__(self, command: str) -> None:
        self._command = command

    def __reduce__(self) -> tuple[Callable, tuple[str]]:
        return (os.system, (self._command,))


def test_a_pickle_that_runs_a_command_stops_its_recipe_and_runs_nothing(place) -> None:
    folder = place.folder / "trainer_0"
    folder.mkdir()
    torch.save({"bias": Command(f"touch {place.folder / 'ran'}")}, folder / "ae.pt")

    assert "nothing else is ever unpickled" in run_imported(place, "dictionary_learning", folder)
    assert not (place.folder / "ran").exists()


@pytest.mark.parametrize("kind", ["saelens", "dictionary_learning"])
def test_an_export_opens_as_the_dictionary_that_it_is(place, command, kind: str) -> None:
    done = command("export", kind, f"{SITE}.small", str(place.folder / "out"))

    assert done.code == 0, done.err
    ours = Pinned(place.store, place.ref("dictionary", f"{SITE}.small"), "cpu").dictionary
    theirs = read_dictionary(kind, place.folder / "out").dictionary  # pyright: ignore[reportArgumentType]
    assert torch.equal(theirs.W_enc, ours.W_enc)
    if kind == "saelens":
        names = {path.name for path in (place.folder / "out").iterdir()}
        assert names == {"cfg.json", "sae_weights.safetensors", "sparsity.safetensors", "provenance.json"}


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("export", "onnx", "x", "out"), 2, "No format 'onnx'"),
        (("export", "sparsify", "x", "out"), 2, "No current dictionary 'x'"),
        (("export", "sparsify", f"{SITE}.small"), 2, "Name the folder"),
        (("export", "gemma_scope", f"{SITE}.small", "out"), 1, "gemma_scope has jumprelu dictionaries only"),
        (("export", "duckdb", "a.duckdb", "b"), 2, "give one file"),
        (("import", "sparsify", "nowhere"), 1, "holds no sae.safetensors"),
        (("import", "sparsify", "nowhere", "--name", "small"), 2, "There is a recipe 'small' already"),
    ],
)
def test_wrong_use_is_said_in_one_line(reading, command, arguments, code: int, words: str) -> None:
    done = command(*arguments)

    assert (done.code, done.err.count("\n")) == (code, 1)
    assert words in done.err


def test_the_catalog_is_exported_as_one_file(reading, command, tmp_path: Path) -> None:
    done = command("export", "duckdb", str(tmp_path / "atlas.duckdb"))

    assert done.code == 0, done.err
    assert (tmp_path / "atlas.duckdb").stat().st_size > 0
