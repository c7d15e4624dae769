"""What is stale, and why, follows from what is recorded now and from nothing else."""

from collections.abc import Callable

import pytest

from orchestration.partitions import Cell, Keys
from orchestration.planner import Graph, plan
from orchestration.refs import PINNED_FACT, Ref, build_key, content_of, read_ref, write_ref
from sae.config import parse_config
from sae.storage import Store

SITE = "w.layers.3"
KEYS = Keys(
    parse_config(
        b"""
models: {w: {source: world}}
corpora: {world: {source: world, shards: 2}}
sites: [{model: w, hookpoint: layers.3, corpora: [world]}]
dictionaries: {one: {architecture: topk, latents: 8, k: 2}, two: {architecture: topk, latents: 4, k: 2}}
""",
        "atlas.yaml",
    ),
    ["world-00000", "world-00001"],
)
GRAPH = Graph(
    parents={
        "corpus": ["corpus_source"],
        "activations": ["corpus"],
        "activation_set": ["activations"],
        "dictionary_candidate": ["activation_set", "recipe_config"],
        "dictionary": ["dictionary_candidate"],
        "features": ["dictionary"],
        "catalog_candidate": ["features"],
        "catalog": ["catalog_candidate"],
    },
    code_versions=dict.fromkeys(
        [
            "corpus",
            "activations",
            "activation_set",
            "dictionary_candidate",
            "dictionary",
            "features",
            "catalog_candidate",
            "catalog",
        ],
        "1",
    ),
)
SOURCES = {
    Cell("corpus_source", "world-00000"): "s0",
    Cell("corpus_source", "world-00001"): "s1",
    Cell("recipe_config", "one"): "r1",
    Cell("recipe_config", "two"): "r2",
}


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path / "store"))


def make(store, cell, data_version, graph=GRAPH, sources=SOURCES):
    """Do what a run does: record what the cell was made from, as far as that was made."""
    upstream = [up for parent in graph.parents[cell.asset] for up in KEYS.upstream(cell, parent)]
    recorded = {str(up): ref.input_version for up in upstream if (ref := read_ref(store, up))}
    inputs = recorded | {str(up): sources[up] for up in upstream if up in sources}
    version = graph.code_versions[cell.asset]
    key = build_key(cell, version, inputs)
    facts = {PINNED_FACT: recorded[f"activation_set[{SITE}]"]} if cell.asset == "dictionary_candidate" else {}
    if cell.asset == "dictionary":
        (adopted,) = filter(None, (read_ref(store, up) for up in upstream))
        facts = adopted.facts
    write_ref(store, Ref(cell.asset, cell.partition, data_version, key, version, inputs, {}, facts))


def make_all(store, graph=GRAPH, sources=SOURCES, result: Callable[[Cell], str] = str, given_up=frozenset()):
    made = []
    for _ in graph.assets:
        for standing in plan(KEYS, graph, store, sources, given_up).of("missing", "stale"):
            make(store, standing.cell, result(standing.cell), graph, sources)
            made.append(standing.cell)
    assert not plan(KEYS, graph, store, sources, given_up).of("missing", "stale")
    return made


def test_from_nothing_everything_is_made_once_upstream_first(store):
    made = make_all(store)

    assert sorted(map(str, made)) == sorted(str(cell) for asset in GRAPH.assets for cell in KEYS.cells(asset))
    assert [cell.asset for cell in made] == sorted((c.asset for c in made), key=GRAPH.assets.index)


def test_a_dictionary_measured_on_other_activations_is_another_input_though_its_weights_are_the_same(store):
    make_all(store)
    before = read_ref(store, Cell("dictionary", f"{SITE}.one"))
    assert before

    # The weights (the data version) come out as they were; only what was held out differs.
    made = make_all(
        store,
        sources=SOURCES | {Cell("corpus_source", "world-00001"): "s1, changed"},
        result=lambda cell: str(cell) if "dictionary" in cell.asset else f"{cell}, changed",
    )

    after = read_ref(store, Cell("dictionary", f"{SITE}.one"))
    assert after
    assert after.data_version == before.data_version
    assert content_of(after.input_version) == after.data_version
    assert {cell.asset for cell in made} == set(GRAPH.assets)


def test_when_nothing_changed_nothing_is_made(store):
    make_all(store)

    assert make_all(store) == []


def test_a_changed_document_remakes_its_shard_and_what_follows(store):
    make_all(store)
    sources = SOURCES | {Cell("corpus_source", "world-00001"): "s1b"}

    made = make_all(store, sources=sources, result=lambda cell: f"{cell} again")

    assert "corpus[world-00000]" not in map(str, made)
    assert [str(cell) for cell in made][:3] == [
        "corpus[world-00001]",
        "activations[world-00001|w.layers.3]",
        "activation_set[w.layers.3]",
    ]


def test_a_result_that_comes_out_the_same_stops_there(store):
    make_all(store)
    sources = SOURCES | {Cell("corpus_source", "world-00001"): "touched"}

    made = make_all(store, sources=sources)

    assert [str(cell) for cell in made] == ["corpus[world-00001]"]


def test_one_recipe_remakes_only_its_dictionary(store):
    make_all(store)
    sources = SOURCES | {Cell("recipe_config", "two"): "r2b"}

    made = [str(c) for c in make_all(store, sources=sources, result=lambda cell: f"{cell} again")]

    assert made == [
        "dictionary_candidate[w.layers.3.two]",
        "dictionary[w.layers.3.two]",
        "features[w.layers.3.two]",
        "catalog_candidate",
        "catalog",
    ]


def test_a_code_version_marks_its_asset_alone(store):
    make_all(store)
    graph = Graph(GRAPH.parents, {**GRAPH.code_versions, "activation_set": "2"})

    (standing,) = plan(KEYS, graph, store, SOURCES).of("stale")

    assert str(standing.cell) == "activation_set[w.layers.3]"
    assert standing.reasons == ("its code went from version 1 to 2",)


def test_why_is_said_in_words(store):
    make_all(store)
    sources = SOURCES | {Cell("recipe_config", "one"): "r1b"}

    (standing,) = plan(KEYS, GRAPH, store, sources).of("stale")

    assert standing.reasons == ("recipe_config[one] changed",)


def test_a_removed_shard_counts(store):
    make_all(store)
    fewer = Keys(KEYS.config, ["world-00000"])

    (standing,) = plan(fewer, GRAPH, store, SOURCES).of("stale")

    assert str(standing.cell) == "activation_set[w.layers.3]"
    assert standing.reasons == ("activations[world-00001|w.layers.3] is gone",)


def test_a_gate_with_nothing_to_give_stops_its_pair_and_no_other(store):
    gate = Cell("dictionary", "w.layers.3.two")
    given_up = frozenset({gate})

    made = make_all(store, given_up=given_up)

    lost = {str(s.cell) for s in plan(KEYS, GRAPH, store, SOURCES, given_up).of("lost")}
    assert lost == {"dictionary[w.layers.3.two]", "features[w.layers.3.two]"}
    assert Cell("features", "w.layers.3.one") in made
    assert Cell("catalog", None) in made


def test_with_every_gate_shut_there_is_no_catalog(store):
    given_up = frozenset(KEYS.cells("dictionary"))

    made = make_all(store, given_up=given_up)

    assert Cell("catalog", None) not in made
