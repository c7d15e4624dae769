import polars as pl
import pytest

from sae.catalog import schema_causal
from sae.catalog.frames import frame_schema
from sae.causal.exchange import Exchange
from sae.causal.interventions import Intervention, intervene
from sae.causal.steering import Clamp
from sae.causal.steering_tables import steer_prompts
from sae.causal.tables import explain_prompt, prompt_sha256, read_config_prompt
from sae.config import PromptConfig
from sae.dictionaries.dictionary import Dictionary
from sae.errors import AtlasError
from sae.identity import frame_id
from sae.models.subject import Subject

QUESTION = PromptConfig(id="q", model="tiny", text="a b c d", target="e", baseline="f")


def test_a_prompt_becomes_frames_that_fit_together(linear: Subject, dictionary: Dictionary):
    frames = explain_prompt(linear, "layers.1", dictionary, "dict", QUESTION, run_id="r1", seed=0, max_ablated=10)
    assert frames.prompts.schema == frame_schema(schema_causal.PROMPTS)
    assert frames.attribution_runs.schema == frame_schema(schema_causal.ATTRIBUTION_RUNS)
    assert frames.attributions.schema == frame_schema(schema_causal.ATTRIBUTIONS)
    assert frames.interventions.schema == frame_schema(schema_causal.INTERVENTIONS)
    prompt, run = frames.prompts.row(0, named=True), frames.attribution_runs.row(0, named=True)
    assert prompt["tokens"] == ["<s>", "a", "b", "c", "d"]
    assert (prompt["target"], prompt["baseline"], prompt["model_id"]) == ("e", "f", linear.model_id)
    assert prompt["is_correct"] == (prompt["predicted"] == "e")
    assert run["prompt_sha256"] == prompt["prompt_sha256"] == prompt_sha256(QUESTION)
    assert run["n_features"] == len(frames.attributions)
    assert run["ablation_spearman"] == pytest.approx(1.0)  # the model is linear
    assert abs(run["control_spearman"]) < run["ablation_spearman"]
    assert run["attributed"] == pytest.approx(frames.attributions["attribution"].sum(), abs=1e-4)
    parts = run["attributed"] + run["bias_attribution"] + run["error_attribution"]
    assert parts == pytest.approx(run["first_order"], abs=1e-4)
    assert 0 < run["error_share"] < 1
    assert frames.attributions["rank"].to_list() == list(range(1, len(frames.attributions) + 1))
    for column in ("ablation_effect", "control_effect"):
        tried = frames.attributions[column].drop_nulls()
        assert len(tried) == 10
        assert run[column] == pytest.approx(tried.abs().mean())
    assert (frames.attributions["feature_id"] == "dict:" + frames.attributions["index"].cast(str)).all()


def test_the_strongest_features_are_taken_out_of_the_whole_prompt(linear: Subject, dictionary: Dictionary):
    frames = explain_prompt(linear, "layers.1", dictionary, "dict", QUESTION, run_id="r1", seed=0)
    own = frames.interventions.filter(~pl.col("is_control"))
    total = frames.attributions.group_by("feature_id").agg(pl.col("attribution").sum())
    strongest = total.sort(pl.col("attribution").abs(), descending=True).head(10)
    assert set(own["feature_ids"].list.get(0)) == set(strongest["feature_id"])
    joined = own.with_columns(feature_id=pl.col("feature_ids").list.get(0)).join(total, on="feature_id")
    effects = joined["logit_diff_before"] - joined["logit_diff_after"]
    assert effects.to_list() == pytest.approx(joined["attribution"].to_list(), abs=1e-3)  # the model is linear
    assert set(own["kind"]) == {"ablate"}
    assert own["put_in"].list.len().sum() == 0


def test_every_change_has_a_row_and_a_control(transformer: Subject, dictionary: Dictionary):
    read = read_config_prompt(transformer, "layers.1", QUESTION)
    planned = [
        Intervention("swap", Exchange(frozenset({1, 2}), {4: 3.0}), 1.0),
        Intervention("steer", Exchange(put={4: 9.0}), 3.0),
    ]
    frame = intervene(read, "q", dictionary, "dict", planned, seed=0)
    assert frame.schema == frame_schema(schema_causal.INTERVENTIONS)
    assert frame["kind"].to_list() == ["swap", "swap", "steer", "steer"]
    assert frame["is_control"].to_list() == [False, True, False, True]
    assert frame["feature_ids"][0].to_list() == ["dict:1", "dict:2", "dict:4"]
    assert frame["put_in"][0].to_list() == ["dict:4"]
    assert not {"dict:1", "dict:2", "dict:4"} & set(frame["feature_ids"][1])
    assert intervene(read, "q", dictionary, "dict", [], seed=0).is_empty()


def test_the_frames_repeat_exactly(transformer: Subject, dictionary: Dictionary):
    first, second = (
        explain_prompt(transformer, "layers.1", dictionary, "dict", QUESTION, "r1", seed=3) for _ in range(2)
    )
    assert frame_id(first.attributions) == frame_id(second.attributions)
    assert frame_id(first.interventions) == frame_id(second.interventions)


def test_the_hash_follows_what_is_asked():
    others = [{"text": "a"}, {"target": "g"}, {"baseline": None}]
    hashes = {prompt_sha256(QUESTION.model_copy(update=change)) for change in others}
    assert len(hashes | {prompt_sha256(QUESTION)}) == 4
    assert prompt_sha256(QUESTION.model_copy(update={"id": "other"})) == prompt_sha256(QUESTION)


def test_equal_answers_and_unknown_words_are_refused(linear: Subject, dictionary: Dictionary):
    same = QUESTION.model_copy(update={"baseline": "e"})
    odd = QUESTION.model_copy(update={"text": "zebra"})
    with pytest.raises(AtlasError, match="same token"):
        explain_prompt(linear, "layers.1", dictionary, "dict", same, "r1", seed=0)
    with pytest.raises(AtlasError, match="unknown word 'zebra'"):
        explain_prompt(linear, "layers.1", dictionary, "dict", odd, "r1", seed=0)


def test_steered_prompts_become_rows_of_three_tables(linear: Subject, dictionary: Dictionary):
    single = [(Clamp(feature, strength, 2.0),) for feature in (7, 3) for strength in (-5, 0, 5)]
    several = [(Clamp(7, strength, 2.0), Clamp(3, strength, 1.0)) for strength in (0, 5)]
    frames = steer_prompts(linear, "layers.1", dictionary, "dict", ["a b", "c"], [*single, *several], 3, seed=0)
    assert frames.prompts.schema == frame_schema(schema_causal.PROMPTS)
    assert frames.steering.schema == frame_schema(schema_causal.STEERING)
    assert frames.interventions.schema == frame_schema(schema_causal.INTERVENTIONS)
    assert len(frames.steering) == 12
    assert frames.steering["index"].to_list() == [3] * 6 + [7] * 6
    assert set(frames.steering["prompt_id"]) == set(frames.prompts["prompt_id"])
    assert (frames.steering.filter(strength=0)["logit_shift"] == 0).all()
    own = frames.steering.filter(strength=0).group_by("prompt_id").agg(pl.col("completion").n_unique())
    assert own["completion"].to_list() == [1, 1]
    assert frames.interventions["is_control"].to_list() == [False, True, False, True]
    assert frames.interventions["feature_ids"][0].to_list() == ["dict:7", "dict:3"]
    assert frames.interventions["completion"].str.split(" ").list.len().to_list() == [3] * 4
