"""The planner's cells and Dagster's own partition mappings agree, for every dependency of every asset."""

import dagster as dg
import pytest

from orchestration.partitions import PARTITIONED_BY, Cell, Keys, wanted
from sae.config import parse_config

CONFIG = parse_config(
    b"""
models: {a: {source: world}, b: {source: world}}
corpora: {world: {source: world, shards: 2}, notes: {source: world, shards: 2}}
sites:
  - {model: a, hookpoint: layers.3, corpora: [world]}
  - {model: a, hookpoint: layers.5, corpora: [world, notes]}
  - {model: b, hookpoint: layers.3, corpora: [notes]}
dictionaries:
  large: {architecture: topk, latents: 8, k: 2}
  small: {architecture: topk, latents: 4, k: 2, sites: [a.layers.3]}
""",
    "atlas.yaml",
)
SHARDS = ["world-00000", "world-00001", "notes-00000", "notes-00001"]
KEYS = Keys(CONFIG, SHARDS)


@pytest.fixture(scope="module")
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("shards", SHARDS)
        yield instance


@pytest.mark.parametrize(
    ("upstream", "downstream"),
    [
        ("corpus_source", "corpus"),
        ("model_source", "subject_model"),
        ("subject_model", "hookpoints"),
        ("site_config", "hookpoints"),
        ("corpus", "activations"),
        ("hookpoints", "activations"),
        ("activations", "activation_set"),
        ("activation_set", "dictionary_candidate"),
        ("recipe_config", "dictionary_candidate"),
        ("dictionary", "features"),
        ("dictionary", "cross_neighbors"),
    ],
)
def test_dagster_and_the_planner_see_the_same_upstream(upstream, downstream, instance):
    mapping = KEYS.mapping(upstream, downstream)
    up, down = KEYS.of(upstream), KEYS.of(downstream)
    assert mapping is not None
    assert up is not None
    assert down is not None

    for cell in KEYS.cells(downstream):
        subset = down.empty_subset().with_partition_keys([str(cell.partition)])
        result = mapping.get_upstream_mapped_partitions_result_for_partitions(
            subset, down, up, dynamic_partitions_store=instance
        )
        dagsters = {str(key) for key in result.partitions_subset.get_partition_keys()}
        planners = {cell.partition for cell in KEYS.upstream(cell, upstream)}
        if upstream == "activations":
            # Dagster knows every shard at every site; a site reads only the shards of its corpora.
            corpora = CONFIG.site(str(cell.partition)).corpora
            dagsters = {key for key in dagsters if wanted(corpora, key.split("|")[0])}

        assert dagsters == planners, cell


def test_a_site_reads_the_shards_of_its_corpora():
    assert [cell.partition for cell in KEYS.cells("activations")] == [
        "world-00000|a.layers.3",
        "world-00001|a.layers.3",
        *(f"{shard}|a.layers.5" for shard in SHARDS),
        "notes-00000|b.layers.3",
        "notes-00001|b.layers.3",
    ]


def test_what_gathers_sees_every_cell():
    assert KEYS.upstream(Cell("catalog_candidate", None), "features") == KEYS.cells("features")
    assert KEYS.upstream(Cell("labels", "a.layers.3.small"), "labeler_config") == [Cell("labeler_config", None)]


def test_every_asset_of_the_definitions_has_its_partitions(monkeypatch, tmp_path):
    from orchestration.definitions import defs

    config = tmp_path / "atlas.yaml"
    config.write_text(
        "models: {w: {source: world}}\ncorpora: {world: {source: world}}\n"
        "sites: [{model: w, hookpoint: layers.3, corpora: [world]}]\n"
        "dictionaries: {plain: {architecture: topk, latents: 8, k: 2}}\n"
    )
    monkeypatch.setenv("ATLAS_CONFIG", str(config))

    graph = defs().resolve_asset_graph()

    assert {key.to_user_string() for key in graph.get_all_asset_keys()} == set(PARTITIONED_BY)
    for key in graph.get_all_asset_keys():
        partitioned = PARTITIONED_BY[key.to_user_string()] != "none"
        assert (graph.get(key).partitions_def is not None) == partitioned, key
