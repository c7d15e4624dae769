"""Many prompts together give what each gives by itself."""

from pathlib import Path

import pytest
import torch
from tiny_models import tiny_subject

from sae.causal.answer import Answer
from sae.causal.many_prompts import changed_prompts, read_prompts
from sae.causal.passes import Changes, changed, read_prompt
from sae.models.subject import Subject

TEXTS = ["Kobe Bryant played", "Alcatraz", "Golden Gate Bridge is", "Kobe Bryant was", "Boston", "a bridge that"]
ANSWERS = [
    Answer((5,), (6,)),
    Answer((7,), (8,)),
    Answer((5, 6), (7, 8, 9)),
    Answer((5,), (7,)),
    Answer((6,)),
    Answer((4, 5)),
]


@pytest.fixture
def subject(tmp_path: Path) -> Subject:
    return tiny_subject("llama", tmp_path)


def asked_of(subject: Subject):
    return [(subject.codec.encode(text), answer) for text, answer in zip(TEXTS, ANSWERS, strict=True)]


@pytest.mark.parametrize("batch_tokens", [1, 20, 1024])
def test_prompts_read_together_are_as_each_by_itself(subject: Subject, batch_tokens: int):
    together = read_prompts(subject, "layers.1", asked_of(subject), batch_tokens)

    for one, (encoded, answer) in zip(together, asked_of(subject), strict=True):
        alone = read_prompt(subject, "layers.1", encoded, answer)
        assert (one.encoded.tokens, one.answer) == (encoded.tokens, answer)
        torch.testing.assert_close(one.x, alone.x)
        torch.testing.assert_close(one.gradient, alone.gradient)
        assert one.difference == pytest.approx(alone.difference, rel=1e-4, abs=1e-5)
        assert (one.predicted_id, one.is_correct, one.kept) == (alone.predicted_id, alone.is_correct, None)


@pytest.mark.parametrize("batch_tokens", [1, 40, 1024])
def test_prompts_changed_together_are_as_each_by_itself(subject: Subject, batch_tokens: int):
    prompts = read_prompts(subject, "layers.1", asked_of(subject))
    generator = torch.Generator().manual_seed(0)
    changes = [
        Changes(
            1 + number % 3,
            torch.arange(1 + number % 3),
            torch.arange(1 + number % 3) % len(one.encoded),
            torch.randn(1 + number % 3, one.x.shape[1], generator=generator),
        )
        for number, one in enumerate(prompts)
    ]

    together = changed_prompts(prompts, changes, batch_tokens)

    for made, prompt, own in zip(together, prompts, changes, strict=True):
        alone = changed(prompt, own)
        torch.testing.assert_close(made.differences, alone.differences, rtol=1e-4, atol=1e-5)
        assert made.predicted.tolist() == alone.predicted.tolist()


def test_of_no_prompts_nothing_is_read(subject: Subject):
    assert read_prompts(subject, "layers.1", []) == []
    assert changed_prompts([], []) == []
