"""`atlas audit`: the chain is whole, all of it holds, and whatever is changed in it is found and named."""

import json
import sqlite3
from pathlib import Path

import polars as pl
import pytest
from tiny_pipeline import SITE, run

from sae.catalog import open_catalog

PAIR = f"{SITE}.large"
CHAIN = ["label", "prompt", "examples", "documents", "feature"]
BASIS = ["dictionary", "recipe", "activations", "shard", "shard", "model"]


@pytest.fixture
def label(first_run) -> dict[str, str]:
    with open_catalog(first_run.store) as catalog:
        query = """
            select label_id, feature_id, dictionary_id from current_labels join dictionaries using (dictionary_id)
            where recipe = 'large' order by "index" limit 1
        """
        return catalog.sql(query).to_dicts()[0]


@pytest.mark.parametrize(
    ("what", "links"), [("label_id", CHAIN + BASIS), ("feature_id", CHAIN + BASIS), ("dictionary_id", BASIS)]
)
def test_the_chain_leads_to_the_shards_and_the_model_and_all_of_it_holds(what, links, label, reading, command):
    audited = command("audit", label[what])
    chain = json.loads(command("audit", label[what], "--json").out)

    assert audited.code == 0, audited.out
    assert [link["what"] for link in chain] == links
    assert {link["outcome"] for link in chain} == {"verified"}
    assert audited.out.rstrip().endswith("verified, 0 not checked, 0 MISMATCH")


def test_the_beginning_of_an_id_is_enough(label, reading, command):
    short, whole = (
        json.loads(command("audit", name, "--json").out) for name in (label["label_id"][:9], label["label_id"])
    )

    assert short == whole


def test_an_unknown_id_and_a_beginning_of_many_are_refused(reading, command):
    unknown, short = command("audit", "nothing"), command("audit", "a")

    assert (unknown.code, short.code) == (1, 1)
    assert "nothing" in unknown.err


def test_without_the_ledger_the_rest_is_verified(label, place, command):
    (place.folder / "state" / "ledger.sqlite").unlink()

    audited = command("audit", label["label_id"])

    assert audited.code == 0
    assert "not checked: ledger (the state folder with the ledger is not here)" in audited.out


FILES = {
    "dictionaries/{dictionary_id}/sae_weights.safetensors": "dictionary",
    "dictionaries/{dictionary_id}/provenance.json": "dictionary",
    "models/*/model.safetensors": "model",
    "corpora/world/world-00000-*.parquet": "shard",
    "activations/*/world-00000-*.safetensors": "shard",
    "activations/*/world-00000-*.parquet": "shard",
    "tables/features/{dictionary_id}-*.parquet": "feature",
    "tables/examples/{dictionary_id}-*.parquet": "examples",
}


@pytest.mark.parametrize("pattern", FILES)
def test_a_changed_byte_of_any_file_is_found(pattern, label, place, command):
    for file in (place.folder / "store").glob(pattern.format(**label)):
        # A Parquet file without its last bytes is no table that a catalog could be opened over.
        place_in_file = file.stat().st_size // 3 if file.suffix == ".parquet" else file.stat().st_size - 1
        with file.open("r+b") as data:
            data.seek(place_in_file)
            byte = data.read(1)
            data.seek(place_in_file)
            data.write(bytes([byte[0] ^ 1]))

    assert _broken(command, label["label_id"]) >= {FILES[pattern]}


def test_a_missing_file_is_found(label, place, command):
    next((place.folder / "store").glob("activations/*/world-00000-*.safetensors")).unlink()

    assert "shard" in _broken(command, label["label_id"])


LEDGER_EDITS = {
    "the text": ("update labels set label = 'what I would like' where label_id = ?", "label"),
    "the prompt": ("update labels set prompt = prompt || ' ' where label_id = ?", "prompt"),
    "the seed": ("update labels set seed = 7 where label_id = ?", "label"),
    "the feature": ('update labels set "index" = "index" + 1 where label_id = ?', "label"),
    "an example": ("delete from label_examples where example_id in "
        "(select example_id from label_examples where label_id = ? limit 1)", "examples"),
    "the use of an example": ("update label_examples set use = 'held_out' where label_id = ?", "examples"),
}  # fmt: skip


@pytest.mark.parametrize("edit", LEDGER_EDITS)
def test_an_edited_row_of_the_ledger_is_found(edit, label, place, command):
    statement, link = LEDGER_EDITS[edit]
    connection = sqlite3.connect(place.folder / "state" / "ledger.sqlite")
    with connection:
        triggers = connection.execute("select name from sqlite_master where type = 'trigger'").fetchall()
        for (name,) in triggers:
            connection.execute(f"drop trigger {name}")
        connection.execute(statement, (label["label_id"],))
    connection.close()

    assert link in _broken(command, label["label_id"])


def test_examples_that_are_not_the_shards_are_found_behind_a_matching_hash(label, place, command):
    """Whoever changes a table and its recorded hash is still found out by the shard."""
    path = next((place.folder / "store").glob(f"tables/examples/{label['dictionary_id']}-*.parquet"))
    examples = pl.read_parquet(path).with_columns(
        tokens=pl.col("tokens").list.eval(pl.lit("x")), activation=pl.col("activation") + 1
    )
    examples.write_parquet(path)
    _record(place, path)

    chain = json.loads(command("audit", label["label_id"], "--json").out)

    (evidence,) = [link for link in chain if link["what"] == "examples"]
    failed = {check["what"].split(" at ")[0] for check in evidence["checks"] if check["outcome"] == "MISMATCH"}
    assert failed == {"tokens", "activations"}


def test_a_rewritten_label_leads_to_its_review_and_its_parent(label, place, command):
    command("review", label["label_id"], "--rewrite", "what ada says", "--reviewer", "ada")
    run(place.config)

    audited = command("audit", label["feature_id"])
    chain = json.loads(command("audit", label["feature_id"], "--json").out)

    assert audited.code == 0, audited.out
    assert [link["what"] for link in chain][:5] == ["label", "review", "prompt", "label", "prompt"]
    assert chain[0]["facts"]["label"] == "what ada says"
    assert chain[3]["id"] == label["label_id"]


def _broken(command, identifier: str) -> set[str]:
    """Kinds of the links that do not hold, by a command that fails."""
    audited = command("audit", identifier)
    assert audited.out, audited.err
    chain = json.loads(command("audit", identifier, "--json").out)
    broken = {link["what"] for link in chain if link["outcome"] == "MISMATCH"}
    assert audited.code == (1 if broken else 0)
    return broken


def _record(place, path: Path) -> None:
    """Write a file's new size and hash into the published catalog."""
    import duckdb

    stored = place.store.describe(str(path.relative_to(place.folder / "store")))
    version = place.store.read_bytes("catalog/CURRENT").decode().strip()
    with duckdb.connect(str(place.folder / "store" / "catalog" / f"catalog-{version}.duckdb")) as connection:
        connection.execute(
            "update parquet_files set size = ?, sha256 = ? where path = ?", [stored.size, stored.sha256, stored.path]
        )
