import polars as pl
import pytest

from sae.catalog import schema_causal
from sae.catalog.frames import frame_schema
from sae.causal.steering import Clamp
from sae.causal.tables import explain_prompt, prompt_sha256, steer_prompts
from sae.config import PromptConfig
from sae.dictionaries.dictionary import Dictionary
from sae.errors import AtlasError
from sae.identity import frame_id
from sae.models.subject import Subject

QUESTION = PromptConfig(id="q", model="tiny", text="a b c d", target="e", baseline="f")


def test_a_prompt_becomes_three_frames_that_fit_together(linear: Subject, dictionary: Dictionary):
    frames = explain_prompt(linear, "layers.1", dictionary, "dict", QUESTION, run_id="r1", max_ablated=10)
    assert frames.prompts.schema == frame_schema(schema_causal.PROMPTS)
    assert frames.attribution_runs.schema == frame_schema(schema_causal.ATTRIBUTION_RUNS)
    assert frames.attributions.schema == frame_schema(schema_causal.ATTRIBUTIONS)
    prompt, run = frames.prompts.row(0, named=True), frames.attribution_runs.row(0, named=True)
    assert prompt["tokens"] == ["<s>", "a", "b", "c", "d"]
    assert (prompt["target"], prompt["baseline"], prompt["model_id"]) == ("e", "f", linear.model_id)
    assert prompt["is_correct"] == (prompt["predicted"] == "e")
    assert run["prompt_sha256"] == prompt["prompt_sha256"] == prompt_sha256(QUESTION)
    assert run["n_features"] == len(frames.attributions)
    assert run["ablation_spearman"] == pytest.approx(1.0)  # the model is linear
    assert run["attributed"] == pytest.approx(frames.attributions["attribution"].sum(), abs=1e-4)
    assert frames.attributions["rank"].to_list() == list(range(1, len(frames.attributions) + 1))
    assert frames.attributions["ablation_effect"].is_not_null().sum() == 10
    assert (frames.attributions["feature_id"] == "dict:" + frames.attributions["index"].cast(str)).all()


def test_the_frames_repeat_exactly(transformer: Subject, dictionary: Dictionary):
    first, second = (explain_prompt(transformer, "layers.1", dictionary, "dict", QUESTION, "r1") for _ in range(2))
    assert frame_id(first.attributions) == frame_id(second.attributions)


def test_the_hash_follows_what_is_asked():
    others = [{"text": "a"}, {"target": "g"}, {"baseline": None}]
    hashes = {prompt_sha256(QUESTION.model_copy(update=change)) for change in others}
    assert len(hashes | {prompt_sha256(QUESTION)}) == 4
    assert prompt_sha256(QUESTION.model_copy(update={"id": "other"})) == prompt_sha256(QUESTION)


def test_equal_answers_and_unknown_words_are_refused(linear: Subject, dictionary: Dictionary):
    same = QUESTION.model_copy(update={"baseline": "e"})
    odd = QUESTION.model_copy(update={"text": "zebra"})
    with pytest.raises(AtlasError, match="same token"):
        explain_prompt(linear, "layers.1", dictionary, "dict", same, "r1")
    with pytest.raises(AtlasError, match="unknown word 'zebra'"):
        explain_prompt(linear, "layers.1", dictionary, "dict", odd, "r1")


def test_steered_prompts_become_rows_of_two_tables(linear: Subject, dictionary: Dictionary):
    clamps = [Clamp(feature, strength, 2.0) for feature in (7, 3) for strength in (-5, 0, 5)]
    frames = steer_prompts(linear, "layers.1", dictionary, "dict", ["a b", "c"], clamps, new_tokens=3)
    assert frames.prompts.schema == frame_schema(schema_causal.PROMPTS)
    assert frames.steering.schema == frame_schema(schema_causal.STEERING)
    assert len(frames.steering) == 12
    assert frames.steering["index"].to_list() == [3] * 6 + [7] * 6
    assert set(frames.steering["prompt_id"]) == set(frames.prompts["prompt_id"])
    assert (frames.steering.filter(strength=0)["logit_shift"] == 0).all()
    own = frames.steering.filter(strength=0).group_by("prompt_id").agg(pl.col("completion").n_unique())
    assert own["completion"].to_list() == [1, 1]
