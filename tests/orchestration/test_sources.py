"""The version of a source follows what it says, and nothing that changes no artifact."""

import pytest

from orchestration.partitions import Cell, Keys
from orchestration.sources import SOURCES, observed, shards, source_version
from sae.config import ImportConfig, RecipeConfig, SiteConfig, load_workspace
from sae.errors import AtlasError
from sae.labels.ledger import Ledger

TEXT = """
seed: {seed}
models: {{w: {{source: world, device: {device}}}}}
corpora: {{mine: {{source: files, shards: 2, paths: ["*.txt"]}}}}
sites: [{{model: w, hookpoint: layers.3, corpora: [mine], batch_tokens: {batch}}}]
dictionaries: {{one: {{architecture: topk, latents: 8, k: 2, sites: [w.layers.3]}}}}
checks: {{fvu: {fvu}}}
"""
GIVEN = {"seed": 0, "device": "cpu", "batch": 2048, "fvu": 0.3}


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.delenv("ATLAS_STORE", raising=False)
    (tmp_path / "a.txt").write_text("one text")
    (tmp_path / "b.txt").write_text("another text")

    def make(**changes):
        path = tmp_path / "atlas.yaml"
        path.write_text(TEXT.format(**{**GIVEN, **changes}))
        return load_workspace(path)

    return make


def versions(workspace):
    keys = Keys(workspace.config, list(shards(workspace)))
    return observed(workspace, (cell for name in SOURCES for cell in keys.cells(name)))


def test_a_model_in_the_home_folder_is_known_by_its_files(workspace, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/model.safetensors").write_bytes(b"one")
    given, path = workspace(), tmp_path / "atlas.yaml"
    path.write_text(path.read_text().replace("{source: world, device: cpu}", "{source: ~/mine}"))
    before = source_version(load_workspace(given.path), Cell("model_source", "w"))

    (tmp_path / "mine/model.safetensors").write_bytes(b"another")

    assert source_version(load_workspace(given.path), Cell("model_source", "w")) != before


def changed(before, after):
    return {str(cell) for cell in before if before[cell] != after[cell]}


@pytest.mark.parametrize(
    ("change", "moved"),
    [
        ({}, set()),
        ({"device": "auto"}, set()),
        ({"fvu": 0.2}, {"checks_config"}),
        ({"batch": 1024}, {"site_config[w.layers.3]"}),
        ({"seed": 1}, {"model_source[w]", "recipe_config[one]"}),
    ],
)
def test_a_change_of_the_config_moves_its_source_alone(change, moved, workspace):
    before = versions(workspace())

    assert changed(before, versions(workspace(**change))) == moved


def test_a_changed_file_moves_its_shard_alone(workspace, tmp_path):
    before = versions(workspace())
    (tmp_path / "b.txt").write_text("another text, longer")

    (moved,) = changed(before, versions(workspace()))
    assert moved.startswith("corpus_source[mine-")


def test_a_corpus_without_files_is_refused(workspace, tmp_path):
    (tmp_path / "a.txt").unlink()
    (tmp_path / "b.txt").unlink()

    with pytest.raises(AtlasError, match=r"\*\.txt"):
        shards(workspace())


def test_no_ledger_and_an_empty_one_are_the_same(workspace):
    place = workspace()
    cell = Cell("reviews_source", None)
    before = source_version(place, cell)
    place.state.mkdir(parents=True)
    with Ledger(place.state / "ledger.sqlite"):
        pass

    assert source_version(place, cell) == before


def test_what_is_no_source_has_no_version(workspace):
    with pytest.raises(ValueError, match="is not a source"):
        source_version(workspace(), Cell("features", "x"))


def test_an_imported_dictionary_is_what_its_files_hold(workspace, tmp_path):
    def version(folder, weights=b"1"):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "params.npz").write_bytes(weights)
        place = workspace()
        imported = ImportConfig(architecture="imported", format="gemma_scope", source=folder, sites=("w.layers.3",))
        config = place.config.model_copy(update={"dictionaries": {"one": imported}})
        return source_version(place.model_copy(update={"config": config}), Cell("recipe_config", "one"))

    assert version("here") == version("there")
    assert version("here") != version("there", weights=b"2")


def test_an_imported_dictionary_that_is_not_there_is_named(workspace):
    imported = ImportConfig(architecture="imported", format="sparsify", source="gone", sites=("w.layers.3",))
    place = workspace()
    config = place.config.model_copy(update={"dictionaries": {"one": imported}})

    with pytest.raises(AtlasError, match=r"gone holds no sae\.safetensors"):
        source_version(place.model_copy(update={"config": config}), Cell("recipe_config", "one"))


def test_a_new_option_at_its_default_leaves_every_source_as_it_is(workspace):
    class LaterRecipe(RecipeConfig):
        new_option: float = 1.0

    class LaterSite(SiteConfig):
        new_option: str = "as before"

    place = workspace()

    def versions_with(**options):
        recipe, site = place.config.dictionaries["one"], place.config.sites[0]
        given = {"new_option": options["recipe"]} if "recipe" in options else {}
        config = place.config.model_copy(
            update={
                "dictionaries": {"one": LaterRecipe(**recipe.model_dump(exclude_defaults=True), **given)},
                "sites": (LaterSite(**site.model_dump()),),
            }
        )
        return versions(place.model_copy(update={"config": config}))

    before = versions(place)
    assert changed(before, versions_with()) == set()
    assert changed(before, versions_with(recipe=1.0)) == set(), "said or not, a default is a default"
    assert changed(before, versions_with(recipe=2.0)) == {"recipe_config[one]"}


def test_a_change_of_what_the_world_tells_moves_its_model_too(workspace, monkeypatch):
    before = source_version(workspace(), Cell("model_source", "w"))

    monkeypatch.setattr("orchestration.sources.world_rules", lambda: [["split.py", "another hash"]])

    assert source_version(workspace(), Cell("model_source", "w")) != before
