"""A dictionary is checked, kept under its content's id, and used by the lines that are printed."""

import shutil

import pytest
import torch
import yaml

from orchestration.imports import take_dictionary
from orchestration.partitions import Cell
from orchestration.refs import Ref, write_ref
from orchestration.sources import source_version
from sae.config import load_workspace
from sae.dictionaries.dictionary import Dictionary
from sae.dictionaries.formats.exchange import read_dictionary, write_dictionary
from sae.errors import AtlasError, ConfigError
from sae.storage import Store

TEXT = """
models: {{w: {{source: world}}}}
corpora: {{world: {{source: world}}}}
sites: [{{model: w, hookpoint: layers.3, corpora: [world]}}, {{model: w, hookpoint: layers.4, corpora: [world]}}]
dictionaries:
{recipe}
"""
OWN = "  one: {architecture: topk, latents: 8, k: 2}"


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.delenv("ATLAS_STORE", raising=False)

    def make(recipe=OWN):
        path = tmp_path / "project" / "atlas.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(TEXT.format(recipe=recipe))
        return load_workspace(path)

    return make


@pytest.fixture
def given(tmp_path):
    generator = torch.Generator().manual_seed(0)
    W_enc = torch.randn(6, 10, generator=generator)
    dictionary = Dictionary(W_enc, torch.zeros(10), W_enc.T.contiguous(), torch.zeros(6), "topk", k=3)
    write_dictionary("sparsify", dictionary, tmp_path / "layers.3")
    return tmp_path / "layers.3"


def found_width(workspace, site, d_model):
    ref = Ref("hookpoints", site, "v", "b", "1", {}, {}, {"d_model": d_model}, "run", "then", "then")
    write_ref(Store(workspace.store), ref)


def test_the_lines_printed_make_a_config_that_uses_the_kept_copy(workspace, given):
    taken = take_dictionary(workspace(), "sparsify", given, ["w.layers.3"])
    shutil.rmtree(given)

    place = workspace(taken.lines("theirs", "sparsify"))

    recipe = place.config.dictionaries["theirs"]
    assert recipe.sites == ("w.layers.3",)
    assert read_dictionary("sparsify", place.path.parent / recipe.source).dictionary.d_sae == 10
    assert source_version(place, Cell("recipe_config", "theirs"))
    assert (taken.form, taken.d_in, taken.d_sae, taken.k) == ("topk", 6, 10, 3)


def test_taken_twice_it_is_kept_once(workspace, given):
    first, again = (take_dictionary(workspace(), "sparsify", given) for _ in range(2))

    assert first == again
    assert [path.name for path in (workspace().path.parent / "imported").iterdir()] == [first.source.split("/")[1]]


def test_a_kept_copy_that_was_changed_is_not_trusted(workspace, given):
    taken = take_dictionary(workspace(), "sparsify", given)
    (workspace().path.parent / taken.source / "sae.safetensors").write_bytes(b"x")

    with pytest.raises(AtlasError, match="does not hold what its name says"):
        take_dictionary(workspace(), "sparsify", given)


def test_sites_of_another_width_are_left_out_and_refused_where_asked_for(workspace, given):
    place = workspace()
    found_width(place, "w.layers.3", 7)

    assert take_dictionary(place, "sparsify", given).sites == ["w.layers.4"]
    with pytest.raises(AtlasError, match=r"6 dimensions, but w\.layers\.3 has 7"):
        take_dictionary(place, "sparsify", given, ["w.layers.3"])
    found_width(place, "w.layers.4", 8)
    with pytest.raises(AtlasError, match=r"w\.layers\.4 has 8"):
        take_dictionary(place, "sparsify", given)


def test_a_site_that_is_not_configured_is_refused(workspace, given):
    with pytest.raises(ConfigError, match=r"No site 'w\.layers\.9'"):
        take_dictionary(workspace(), "sparsify", given, ["w.layers.9"])


def test_what_cannot_be_opened_is_not_kept(workspace, given):
    (given / "sae.safetensors").write_bytes(b"no tensors")

    with pytest.raises(AtlasError, match="damaged"):
        take_dictionary(workspace(), "sparsify", given)
    assert not (workspace().path.parent / "imported").exists()


def test_the_lines_printed_are_yaml(workspace, given):
    lines = take_dictionary(workspace(), "sparsify", given).lines("theirs", "sparsify")

    assert yaml.safe_load(lines)["theirs"]["sites"] == ["w.layers.3", "w.layers.4"]
