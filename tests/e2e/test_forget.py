"""Forgetting a document: no file of store or state says it afterwards, and a refresh does not bring it back."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from store_text import said
from tiny_pipeline import SITE, run, write_config

from orchestration.partitions import Cell
from orchestration.refs import read_ref
from sae.catalog import open_catalog
from sae.labels.ledger import Ledger

pytestmark = pytest.mark.slow


def squeezed(text: str) -> str:
    """Without spaces and quotes: tokens stand apart in other ways than words do."""
    return "".join(letter for letter in text if not letter.isspace() and letter not in '"\\')


def places(folder: Path, text: str) -> set[str]:
    wanted = squeezed(text)
    return {name for name, cell in said(folder) if wanted in squeezed(cell)}


def piece(text: str) -> str:
    """The longest stretch without the picture, whose mark is several tokens."""
    return max(text.split("<image>"), key=len)


def sole(document: dict, documents: list[tuple]) -> bool:
    """Whether no other document says the same stretch, or shows the same picture."""
    wanted = squeezed(piece(document["text"]))
    holding = [text for text, path in documents if wanted in squeezed(text) or path == document["image_path"]]
    return len(wanted) > 16 and holding == [document["text"]]


def by_hand(config):
    """Dictionaries train when someone asks: forgetting must not wait for that."""
    for recipe in config["dictionaries"].values():
        recipe["retrain"] = "manual"


@pytest.fixture(scope="module")
def forgotten(first_run, tmp_path_factory):
    """A place in which a document with a picture was forgotten; (place, document, what was listed, what was said)."""
    from contextlib import redirect_stdout
    from io import StringIO

    from orchestration.cli import main

    folder = tmp_path_factory.mktemp("forgotten") / "place"
    shutil.copytree(first_run.folder, folder)
    write_config(folder, by_hand)
    place = replace(first_run, folder=folder)
    with open_catalog(place.store) as catalog:
        documents = catalog.sql("select text, image_path from documents").rows()
        shown = catalog.sql(
            "select distinct d.* from documents d join examples using (document_id) "
            "join label_examples using (example_id) where use = 'shown' and d.shard = 'world-00000' "
            "and d.image_path is not null order by document_id"
        ).to_dicts()
    document = next(one for one in shown if sole(one, documents))
    assert place.store.exists(document["image_path"])
    found = {name.split("/")[0] for name in places(folder / "store", piece(document["text"]))}
    assert found >= {"corpora", "activations", "tables", "catalog"}

    def atlas(*arguments: str) -> dict:
        printed = StringIO()
        with pytest.MonkeyPatch.context() as patched, redirect_stdout(printed):
            patched.setenv("ATLAS_CONFIG", str(place.config))
            patched.delenv("ATLAS_STORE", raising=False)
            with pytest.raises(SystemExit) as left:
                main(arguments)
        return {"code": left.value.code, **json.loads(printed.getvalue())}

    listed = atlas("forget", document["document_id"][:8], "--json")
    assert place.store.exists(document["image_path"]), "a dry run removes nothing"
    done = atlas("forget", document["document_id"], "--yes", "--json")
    return place, document, listed, done


def test_a_dry_run_lists_the_places(forgotten):
    _, document, listed, _ = forgotten

    kinds = {one["kind"] for one in listed["places"]}
    names = {one["name"] for one in listed["places"]}
    assert listed["document_ids"] == [document["document_id"]]
    assert kinds >= {"corpora", "activations", "tables", "catalog", "ledger", "event log"}
    assert document["image_path"] in names
    assert any(name.startswith("catalog/search-") for name in names)
    assert "catalog/CURRENT" in names


def test_nothing_says_it_any_more(forgotten):
    place, document, _, done = forgotten

    assert done["code"] == 0
    assert (done["left"], done["failed"]) == ([], {})
    assert places(place.folder, piece(document["text"])) == set()
    assert not place.store.exists(document["image_path"])
    with open_catalog(place.store) as catalog:
        assert catalog.sql("select 1 from documents where document_id = ?", [document["document_id"]]).is_empty()
        assert catalog.sql("select 1 from examples where document_id = ?", [document["document_id"]]).is_empty()


def test_everything_was_made_again_and_is_at_rest(forgotten, monkeypatch, command):
    place, document, _, _ = forgotten
    monkeypatch.setenv("ATLAS_CONFIG", str(place.config))

    ran = command("run")

    assert (ran.code, ran.err) == (0, "nothing is stale\n")
    shard = place.ref("corpus", document["shard"])
    kept = pl.read_parquet(place.store.verify(shard.files["documents"]))
    assert kept.height > 50
    assert document["document_id"] not in kept["document_id"].to_list()
    feature = json.loads(command("sql", "select min(feature_id) f from current_labels", "--json").out)[0]["f"]
    audited = command("audit", feature)
    assert audited.code == 0, audited.out


def test_the_old_dictionary_is_remembered_by_the_one_that_follows_it(forgotten):
    place, _, _, _ = forgotten

    withdrawn = read_ref(place.store, Cell("withdrawn_dictionary", f"{SITE}.large"))
    now = place.ref("dictionary", f"{SITE}.large")

    assert withdrawn is not None
    assert now.data_version != withdrawn.data_version
    assert now.facts["previous"]["dictionary_id"] == withdrawn.data_version


def test_its_labels_keep_their_ids_and_lose_their_words(forgotten):
    place, _, _, _ = forgotten
    old = read_ref(place.store, Cell("withdrawn_dictionary", f"{SITE}.large"))
    assert old is not None

    with Ledger(place.folder / "state" / "ledger.sqlite") as ledger:
        labels = ledger.labels([old.data_version])

    gone = labels.filter(pl.col("status") == "forgotten")
    assert 0 < gone.height < labels.height
    assert set(gone["label"]) == {""}
    assert gone["prompt"].is_null().all()
    assert "" not in labels.filter(pl.col("status") == "ok")["label"].to_list()


def test_reading_the_corpus_again_does_not_bring_it_back(forgotten, tmp_path):
    place, document, _, _ = forgotten
    shutil.copytree(place.folder, tmp_path / "place")
    again = replace(place, folder=tmp_path / "place")
    again.store.delete(again.ref("corpus", document["shard"]).files["documents"].path)

    outcome = run(again.config)

    assert [str(cell) for cell in outcome.made] == [f"corpus[{document['shard']}]"]
    assert places(again.folder, piece(document["text"])) == set()


def test_what_there_is_not_is_refused_in_words(reading, command):
    for name, words in (("ffff0000ffff", "no document"), ("ff", "too short"), ("../../etc", "no document")):
        refused = command("forget", name)

        assert refused.code == 1
        assert words in refused.err
