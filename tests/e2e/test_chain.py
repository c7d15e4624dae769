"""Two sites of one model: the way to an answer runs through both; swaps and steering stand beside their controls."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from tiny_pipeline import QUESTION, run, write_config

from sae.catalog import open_catalog
from sae.models.pictures import encode_picture
from sae.storage import Store

EARLY, LATE = "world-lm.layers.3.large", "world-lm.layers.5.small"


def two_sites(config) -> None:
    config["sites"].append({"model": "world-lm", "hookpoint": "layers.5", "corpora": ["world"]})
    config["dictionaries"]["large"]["sites"] = ["world-lm.layers.3"]
    config["dictionaries"]["small"]["sites"] = ["world-lm.layers.5"]
    config["swaps"] = [{"prompt": "kobe", "out": ["California"], "put": ["New York"], "strength": 2}]
    config["steering"]["features"] = ["California", ["California", "New York"]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny pipeline at two sites. Only read it."""
    folder = tmp_path_factory.mktemp("chain")
    outcome = run(write_config(folder, two_sites))
    assert outcome.failed == {}
    return folder


@pytest.fixture
def ids(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Dictionary id by `<site>.<recipe>`; this process works on the folder's config."""
    monkeypatch.setenv("ATLAS_CONFIG", str(folder / "atlas.yaml"))
    monkeypatch.delenv("ATLAS_STORE", raising=False)
    with open_catalog(Store(str(folder / "store"))) as catalog:
        return dict(catalog.sql("select site || '.' || recipe, dictionary_id from dictionaries").iter_rows())


def test_edges_lead_from_the_earlier_site_to_the_features_of_the_later_one(folder: Path, ids: dict[str, str]):
    with open_catalog(Store(str(folder / "store"))) as catalog:
        edges = catalog.sql("select * from attribution_edges")
        strongest = catalog.sql(
            "select feature_id, position from attributions where dictionary_id = ? order by abs(attribution) desc "
            "limit 20",
            [ids[LATE]],
        )
    assert edges.height > 0
    assert set(edges["source_feature_id"].str.split(":").list.get(0)) == {ids[EARLY]}
    assert set(edges.select("target_feature_id", "target_position").rows()) <= set(strongest.rows())
    assert (edges["source_position"] <= edges["target_position"]).all()


def test_every_intervention_stands_beside_its_control(folder: Path, ids: dict[str, str]):
    with open_catalog(Store(str(folder / "store"))) as catalog:
        counts = dict(
            catalog.sql("select kind, list(is_control order by is_control) from interventions group by 1").iter_rows()
        )
        swaps = catalog.sql("select * from interventions where kind = 'swap' and not is_control")
    assert set(counts) == {"ablate", "swap", "steer"}
    assert all(list(marks).count(True) == list(marks).count(False) for marks in counts.values())
    assert set(swaps["dictionary_id"]) == {ids[EARLY], ids[LATE]}
    assert set(swaps["strength"]) == {2.0}
    assert all(len(put) == 1 for put in swaps["put_in"])


def test_a_graph_is_written_of_a_text_and_of_a_stored_question(folder, ids, command, tmp_path: Path):
    asked = command("attribute", QUESTION, "--target", "Sacramento", "--graph", str(tmp_path / "way.json"))
    stored = command("attribute", "--prompt", "kobe", "--graph", str(tmp_path / "way.svg"), "--dictionary", "small")

    assert (asked.code, stored.code) == (0, 0), asked.err + stored.err
    assert "error term" in stored.out
    way = json.loads((tmp_path / "way.json").read_text())
    assert way["sites"] == ["world-lm.layers.3", "world-lm.layers.5"]
    assert {node["level"] for node in way["nodes"]} == {0, 1}
    names = {node["id"] for node in way["nodes"]} | {"answer"}
    assert all({edge["source"], edge["target"]} <= names for edge in way["edges"])
    texts = [element.text for element in ET.parse(tmp_path / "way.svg").iter("{http://www.w3.org/2000/svg}text")]
    assert {"world-lm.layers.3", "world-lm.layers.5", "Sacramento"} <= set(texts)


def test_what_cannot_be_drawn_is_refused(folder, ids, command, tmp_path: Path):
    for arguments, words in {
        (QUESTION, "--target", "Sacramento", "--graph", "way.png"): ".json or .svg",
        (QUESTION, "--target", "Sacramento", "--graph", str(tmp_path / "no" / "way.svg")): "no folder",
        (QUESTION,): "needs a --target",
        (QUESTION, "--target", "Sacramento", "--prompt", "kobe"): "either a text",
        (): "either a text",
        ("--prompt", "shaq"): "no question 'shaq'",
        ("--prompt", "kobe", "--target", "Albany"): "leave out --target",
        ("--prompt", "kobe", "--image", "picture.png"): "leave out --target",
    }.items():
        refused = command("attribute", *arguments)
        assert refused.code in (1, 2)
        assert words in refused.err


def test_several_features_are_steered_at_once_beside_a_picture(folder, ids, command, tmp_path: Path):
    picture = tmp_path / "picture.png"
    picture.write_bytes(encode_picture(np.full((24, 24, 3), 90, dtype=np.uint8)))
    features = [f"{ids[EARLY]}:1", f"{ids[EARLY]}:2"]

    printed = command("steer", *features, "--strength", "5", "--strength", "-3", "Fact :", "--image", str(picture))
    answer = json.loads(
        command("steer", *features, "--strength", "5", "Fact : <image>", "--image", str(picture), "--json").out
    )

    assert printed.code == 0, printed.err
    assert features[0] in printed.out
    assert [one["strength"] for one in answer["features"]] == [5.0, 5.0]
    assert answer["steered"]
    assert answer["unsteered"]


def test_what_cannot_be_steered_is_refused(folder, ids, command, tmp_path: Path):
    one = f"{ids[EARLY]}:1"
    for arguments, words in {
        ("--strength", "5", "Fact :"): "at least one feature's id",
        (one, "--strength", "5", "--strength", "4", "Fact :"): "1 features want one --strength",
        (one, f"{ids[LATE]}:1", "--strength", "5", "Fact :"): "of one dictionary",
        (f"{ids[EARLY]}:4000", "--strength", "5", "Fact :"): "is no feature",
        (one, "--strength", "5", ""): "empty",
        (one, "--strength", "5", "Fact :", "--image", str(tmp_path / "no.png")): "No picture",
    }.items():
        refused = command("steer", *arguments)
        assert refused.code in (1, 2), arguments
        assert words in refused.err
