"""What goes on from kept keys and values is what whole passes give, in every family."""

from pathlib import Path

import pytest
import torch
from tiny_models import ENCODERS, FAMILIES, MORE_FAMILIES, tiny_subject
from tiny_vision_models import VISION_FAMILIES, tiny_picture, tiny_vision_subject

from sae.causal.answer import Answer
from sae.causal.passes import Changes, PromptPass, changed, read_prompt
from sae.models.hookpoints import hook_module, replaced_output
from sae.models.subject import Subject, collate, logits

CAUSAL = [family for family in (*FAMILIES, *MORE_FAMILIES) if family not in ENCODERS]
SLIDING = ("gemma2", "gemma3", "mistral")
"""Families of which some layers keep a window only."""
ANSWERS = [Answer((5,), (6,)), Answer((5, 6), (7, 8, 9))]


def changes_of(length: int, width: int) -> Changes:
    """Seven changes of one to three steps, at positions from the first to the last."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.tensor([0, 1, 2, 2, 3, 3, 3, 4, 5, 6])
    positions = torch.tensor([length - 1, 1, 2, length - 1, 0, 3, length - 2, length - 1, length - 2, 4])
    return Changes(7, rows, positions, torch.randn(len(rows), width, generator=generator))


def one_by_one(read: PromptPass, changes: Changes) -> torch.Tensor:
    """Each change by a whole pass of its own, differences [b]."""
    subject, found = read.subject, []
    for number in range(changes.count):
        delta = torch.zeros(1, len(read.encoded), changes.steps.shape[1])
        for row, position, step in zip(changes.rows, changes.positions, changes.steps, strict=True):
            if row == number:
                delta[0, position] = step
        scores = []
        for branch in read.answer.branches:
            inputs = collate(subject, [read.encoded])
            ids = torch.tensor([branch[:-1]], dtype=torch.int64)
            inputs["input_ids"] = torch.cat([inputs["input_ids"], ids], dim=1)
            inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
            for name in ("token_type_ids", "mm_token_type_ids"):
                if name in inputs:
                    inputs[name] = torch.cat([inputs[name], torch.zeros_like(ids)], dim=1)

            def add(x: torch.Tensor, delta: torch.Tensor = delta) -> torch.Tensor:
                x = x.clone()
                x[:, : delta.shape[1]] += delta
                return x

            with torch.no_grad(), replaced_output(hook_module(subject, read.hookpoint), add):
                scores.append(logits(subject, inputs)[0, -len(branch) :])
        found.append(read.answer.difference(scores))
    return torch.stack(found)


@pytest.mark.parametrize("family", CAUSAL)
def test_changes_are_what_whole_passes_make_of_them(family: str, tmp_path: Path):
    subject = tiny_subject(family, tmp_path)
    encoded = subject.codec.encode("The Golden Gate Bridge")
    changes = changes_of(len(encoded), 16)
    for answer in ANSWERS:
        read = read_prompt(subject, "layers.0", encoded, answer)
        made = changed(read, changes)
        torch.testing.assert_close(made.differences, one_by_one(read, changes), rtol=1e-3, atol=1e-4)
        assert (read.kept is None) == (family in SLIDING)


@pytest.mark.parametrize("hookpoint", ["layers.1", "layers.1.attn", "layers.1.mlp", "layers.2"])
@pytest.mark.parametrize("batch_tokens", [1, 12, 1024])
def test_a_change_may_stand_at_any_place_of_the_model(hookpoint: str, batch_tokens: int, tmp_path: Path):
    subject = tiny_subject("llama", tmp_path)
    encoded = subject.codec.encode("Kobe Bryant played")
    read = read_prompt(subject, hookpoint, encoded, ANSWERS[0])
    changes = changes_of(len(encoded), 16)
    made = changed(read, changes, batch_tokens)
    torch.testing.assert_close(made.differences, one_by_one(read, changes), rtol=1e-3, atol=1e-4)
    assert made.predicted.shape == (7,)


@pytest.mark.parametrize("family", VISION_FAMILIES)
def test_a_prompt_with_a_picture_is_read_whole(family: str, tmp_path: Path):
    subject = tiny_vision_subject(family, tmp_path)
    encoded = subject.codec.encode("The <image> is", tiny_picture(0))
    read = read_prompt(subject, "layers.1", encoded, ANSWERS[0])
    changes = changes_of(len(encoded), 16)
    assert read.kept is None
    made = changed(read, changes)
    torch.testing.assert_close(made.differences, one_by_one(read, changes), rtol=1e-3, atol=1e-4)


def test_a_change_of_nothing_changes_nothing(transformer: Subject):
    read = read_prompt(transformer, "layers.1", transformer.codec.encode("a b c"), ANSWERS[1])
    nothing = torch.zeros(0, dtype=torch.int64)
    made = changed(read, Changes(2, nothing, nothing, torch.zeros(0, 12)))
    torch.testing.assert_close(made.differences, torch.full((2,), read.difference), rtol=1e-4, atol=1e-4)
    assert made.predicted.tolist() == [read.predicted_id] * 2
