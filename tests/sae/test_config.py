"""A wrong file gets one error that names the key, what was found and what is allowed."""

import shutil
from pathlib import Path

import pytest

from sae.config import AtlasConfig, ImportConfig, load_workspace, parse_config
from sae.errors import ConfigError

ROOT = Path(__file__).parents[2]
GOOD = """
models: {world-lm: {source: world}}
corpora: {world: {source: world}}
sites: [{model: world-lm, hookpoint: layers.3, corpora: [world]}]
dictionaries: {plain: {architecture: topk, expansion: 4, k: 8}}
"""


def parse(text: str) -> AtlasConfig:
    return parse_config(text.encode(), "atlas.yaml")


@pytest.mark.parametrize("preset", ["world", "smollm2", "one-layer", "hf"])
def test_every_preset_is_a_valid_config(preset):
    config = parse_config((ROOT / f"orchestration/presets/{preset}.yaml").read_bytes(), preset)

    assert config.pairs()


def test_the_default_config_is_the_world_preset():
    assert (ROOT / "atlas.yaml").read_text() == (ROOT / "orchestration/presets/world.yaml").read_text()


IMPORTED = "architecture: imported, format: gemma_scope, source: layer_12/params.npz, sites: [world-lm.layers.3]"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("expansion: 4", "expnsion: 4"), ["unknown key `dictionaries.plain.expnsion`", "expansion", "learning_rate"]),
        (("k: 8", "k: many"), ["`dictionaries.plain.k", "'many'"]),
        (("architecture: topk", "architecture: magic"), ["dictionaries.plain.architecture", "'topk'", "'magic'"]),
        (("architecture: topk, ", ""), ["`dictionaries.plain.architecture` is missing"]),
        (("architecture: topk", "architecture: imported"), ["dictionaries.plain.format` is missing"]),
        (
            ("architecture: topk, expansion: 4, k: 8", IMPORTED.replace("gemma_scope", "pickle")),
            ["`dictionaries.plain.format`", "'gemma_scope'", "found 'pickle'"],
        ),
        (
            ("architecture: topk, expansion: 4", IMPORTED),
            ["unknown key `dictionaries.plain.k`", "Allowed here: architecture, format, sites, source"],
        ),
        (("model: world-lm", "model: gpt9"), ["sites: model names 'gpt9'", "Defined: world-lm"]),
        (("corpora: [world]", "corpora: [moon]"), ["sites: corpora names 'moon'", "Defined: world"]),
        (("models: {world-lm: {source: world}}", ""), ["`models` is missing"]),
        (("plain:", "a/b:"), ["dictionaries.a/b"]),
        (("k: 8", ""), ["topk needs a whole number `k`"]),
        (("k: 8", "k: 0"), ["`dictionaries.plain.k", "greater than or equal to 1"]),
        (
            ("topk, expansion: 4", "matryoshka, groups: [4, 0]"),
            ["`dictionaries.plain.groups.1`", "found 0"],
        ),
        (("world: {source: world", "world: {source: files"), ["`corpora.world`", "needs `paths`"]),
        (("world: {source: world", "world: {source: huggingface"), ["`corpora.world`", "needs `dataset`"]),
        (("k: 8", "k: 8, groups: [1]"), ["belong to matryoshka only"]),
        (("k: 8", "k: 8, target_l0: 8"), ["`target_l0` belongs to jumprelu"]),
        (("{source: world}}\ncorpora", "{source: world}}\nseed: x\ncorpora"), ["`seed`", "'x'"]),
    ],
)
def test_a_wrong_key_or_value_is_named(change, words):
    assert change[0] in GOOD

    with pytest.raises(ConfigError) as error:
        parse(GOOD.replace(*change))

    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"models: [", "not YAML"),
        (b"\xff\xfe", "not UTF-8"),
        (b"- a list", "a mapping of keys"),
        (b"models: !!python/object/apply:os.system ['true']", "not YAML"),
    ],
)
def test_a_file_that_is_no_config_is_refused(data, words):
    with pytest.raises(ConfigError, match=words):
        parse_config(data, "atlas.yaml")


def test_a_missing_file_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.delenv("ATLAS_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)

    with pytest.raises(ConfigError, match="`atlas init`"):
        load_workspace()


def test_paths_start_at_the_configs_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("ATLAS_STORE", raising=False)
    (tmp_path / "atlas.yaml").write_text(GOOD)

    workspace = load_workspace(tmp_path / "atlas.yaml")

    assert workspace.store == str(tmp_path / ".atlas")
    assert workspace.state == tmp_path / ".atlas/state"


def test_an_overridden_store_holds_its_state(tmp_path, monkeypatch):
    (tmp_path / "atlas.yaml").write_text(GOOD)
    monkeypatch.setenv("ATLAS_STORE", str(tmp_path / "elsewhere"))

    workspace = load_workspace(tmp_path / "atlas.yaml")

    assert workspace.store == str(tmp_path / "elsewhere")
    assert workspace.state == tmp_path / "elsewhere/state"


def test_a_relative_store_and_its_state_start_at_the_configs_folder_wherever_one_stands(tmp_path, monkeypatch):
    (tmp_path / "atlas.yaml").write_text(GOOD)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("ATLAS_STORE", "elsewhere")

    workspace = load_workspace(tmp_path / "atlas.yaml")

    assert workspace.store == str(tmp_path / "elsewhere")
    assert workspace.state == tmp_path / "elsewhere/state"


def test_a_folder_in_which_no_database_can_be_written_is_refused_in_words(tmp_path):
    (tmp_path / "why?").mkdir()
    file = tmp_path / "why?" / "atlas.yaml"
    shutil.copy(ROOT / "atlas.yaml", file)

    with pytest.raises(ConfigError, match=r"store: .*why\?.* has a \? in it"):
        load_workspace(file)


def test_two_dictionaries_of_one_name_are_refused():
    sites = "sites: [{model: world-lm, hookpoint: layers.3.mlp, corpora: [world]}, "
    recipes = "dictionaries: {mlp.plain: {architecture: standard, latents: 8}, "

    with pytest.raises(ConfigError, match=r"dictionaries: 'world-lm\.layers\.3\.mlp\.plain' stands twice"):
        parse(GOOD.replace("sites: [", sites).replace("dictionaries: {", recipes))


def test_a_recipe_is_trained_where_it_names():
    two_sites = GOOD.replace("sites: [", "sites: [{model: world-lm, hookpoint: layers.5, corpora: [world]}, ")
    late = "k: 8}, late: {architecture: standard, latents: 8, sites: [world-lm.layers.5]}"

    config = parse(two_sites.replace("k: 8}", late))

    assert list(config.pairs()) == ["world-lm.layers.5.plain", "world-lm.layers.5.late", "world-lm.layers.3.plain"]


def test_a_steering_prompt_is_for_every_model_or_for_the_one_it_names():
    prompts = 'steering: {prompts: ["for all", {model: world-lm, text: "for one"}]}\n'

    config = parse(GOOD + prompts)

    assert config.steering.texts("world-lm") == ["for all", "for one"]
    assert config.steering.texts("another") == ["for all"]
    with pytest.raises(ConfigError, match=r"steering\.prompts: model names 'gpt9'"):
        parse(GOOD + prompts.replace("world-lm", "gpt9"))


def test_a_dictionary_of_another_library_names_its_file_and_its_sites():
    config = parse(GOOD.replace("architecture: topk, expansion: 4, k: 8", IMPORTED))

    recipe = config.dictionaries["plain"]
    assert isinstance(recipe, ImportConfig)
    assert (recipe.format, recipe.source) == ("gemma_scope", "layer_12/params.npz")
    assert list(config.pairs()) == ["world-lm.layers.3.plain"]
