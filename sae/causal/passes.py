"""One prompt, read once: what its hookpoint gives and its gradient; then changed there, and read on from the change.

What is computed is kept. A change at position p leaves all that comes before p as it is, in a causal model, so a pass
goes on from the keys and values of the first one; the blocks before the hookpoint see one row, whatever the number of
changes; and the unembedding sees only the places that are read.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sae.causal.answer import Answer
from sae.causal.kept import KeysValues, can_go_on, cut_back, kept_of, takes, widen, widens
from sae.errors import AtlasError
from sae.models.encoding import Encoded
from sae.models.hookpoints import hook_module, replaced_output
from sae.models.subject import Subject, collate, logits_of

FEW_POSITIONS = 48
"""Rows times positions up to which a pass takes in changes at earlier places too: reading the weights costs more."""
BATCH_TOKENS = 1024
"""Rows times positions of one pass, at most."""


@dataclass(frozen=True, eq=False)
class PromptPass:
    """A prompt of t positions under a model, read at one hookpoint, with a question about how it goes on."""

    subject: Subject
    hookpoint: str
    encoded: Encoded
    answer: Answer
    x: Tensor
    """float32 [t, d]: what the hookpoint gives."""
    gradient: Tensor
    """float32 [t, d]: of `difference` to x."""
    difference: float
    """The logit difference that `answer` asks for."""
    predicted_id: int
    """Likeliest next token."""
    is_correct: bool
    """Whether the model by itself goes on with the target."""
    kept: KeysValues | None
    """Of the prompt; None where the model keeps none that a pass could go on from, and every pass reads it whole."""


@dataclass(frozen=True, eq=False)
class Changes:
    """What is added to a hookpoint's output: n steps, of b changes that are made independently of one another."""

    count: int
    """b."""
    rows: Tensor
    """int64 [n]: the change that a step belongs to."""
    positions: Tensor
    """int64 [n]; a change has one step a position at most."""
    steps: Tensor
    """float32 [n, d]."""


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What b changes made of the answer."""

    differences: Tensor
    """float32 [b]."""
    predicted: Tensor
    """int64 [b]: likeliest next token."""


def read_prompt(subject: Subject, hookpoint: str, encoded: Encoded, answer: Answer) -> PromptPass:
    """One forward and one backward pass (two of each where both continuations have several tokens).

    Raises AtlasError when a pass calls the hookpoint's module never or more than once.
    """
    return read_alike(subject, hookpoint, [(encoded, answer)], can_go_on(subject, encoded))[0]


def read_alike(
    subject: Subject, hookpoint: str, asked: Sequence[tuple[Encoded, Answer]], use_cache: bool
) -> list[PromptPass]:
    """Prompts of one length, whose answers' branches are of one length each."""
    t = len(asked[0][0])
    leaf: Tensor | None = None

    def held(hidden: Tensor) -> Tensor:
        nonlocal leaf
        if leaf is None:
            leaf = hidden[:, :t].detach().requires_grad_(True)
        # The target's own tokens are no part of the prompt: what they give stays as it is.
        return torch.cat([leaf, hidden[:, t:].detach()], dim=1)

    with torch.enable_grad():
        outputs = []
        for branches in zip(*(answer.branches for _, answer in asked), strict=True):
            rows = [continued(encoded, ids[:-1]) for (encoded, _), ids in zip(asked, branches, strict=True)]
            outputs.append(read_through(subject, hookpoint, rows, held, len(branches[0]), use_cache=use_cache))
        read = [[scores[row] for scores, _ in outputs] for row in range(len(asked))]
        differences = [answer.difference(own) for (_, answer), own in zip(asked, read, strict=True)]
        if leaf is None:
            raise AtlasError(f"{subject.name} never calls {hookpoint}.")
        (gradient,) = torch.autograd.grad(torch.stack(differences).sum(), leaf)
    return [
        PromptPass(
            subject,
            hookpoint,
            encoded,
            answer,
            x=leaf[row].detach().float(),
            gradient=gradient[row].float(),
            difference=float(differences[row].detach()),
            predicted_id=int(read[row][0][0].argmax()),
            is_correct=read[row][0].argmax(dim=-1).tolist() == list(answer.target),
            kept=kept_of(outputs[0][1], t) if use_cache else None,
        )
        for row, (encoded, answer) in enumerate(asked)
    ]


def changed(prompt: PromptPass, changes: Changes, batch_tokens: int = BATCH_TOKENS) -> Outcomes:
    """Make each change and read the answer: as many in a pass as fit into `batch_tokens` positions.

    Changes that begin late in the prompt are gathered into passes that begin there.
    """
    differences = torch.empty(changes.count)
    predicted = torch.empty(changes.count, dtype=torch.int64)
    for rows, start in _groups(prompt, changes, batch_tokens):
        delta = dense(prompt, changes, rows, start)
        with torch.no_grad():
            read = [_read_on(prompt, branch, delta, start) for branch in prompt.answer.branches]
        differences[rows] = prompt.answer.difference(read).cpu()
        predicted[rows] = read[0][:, 0].argmax(dim=-1).cpu()
    return Outcomes(differences, predicted)


def _groups(prompt: PromptPass, changes: Changes, batch_tokens: int) -> Iterator[tuple[Tensor, int]]:
    """Rows that share a pass, with the position at which it begins, the latest first."""
    t = len(prompt.encoded)
    starts = torch.full((changes.count,), t - 1)
    starts.scatter_reduce_(0, changes.rows.cpu(), changes.positions.cpu(), "amin")
    if prompt.kept is None:
        starts.zero_()
    group: list[int] = []
    for row in torch.argsort(starts, descending=True, stable=True).tolist():
        start = int(starts[row])
        wider = bool(group) and start < int(starts[group[-1]])
        if group and (
            (len(group) + 1) * (t - start) > batch_tokens
            or (wider and len(group) * (t - int(starts[group[-1]])) > FEW_POSITIONS)
        ):
            yield torch.tensor(group), int(starts[group[-1]])
            group = []
        group.append(row)
    if group:
        yield torch.tensor(group), int(starts[group[-1]])


def dense(prompt: PromptPass, changes: Changes, rows: Tensor, start: int) -> Tensor:
    """float32 [len(rows), t - start, d]."""
    place = torch.full((changes.count,), -1)
    place[rows] = torch.arange(len(rows))
    within = place[changes.rows.cpu()]
    steps = (within >= 0).nonzero()[:, 0].to(changes.steps.device)
    delta = torch.zeros(len(rows), len(prompt.encoded) - start, prompt.x.shape[1], device=prompt.x.device)
    where = changes.positions[steps].to(delta.device) - start
    delta[within[steps.cpu()].to(delta.device), where] = changes.steps[steps].to(delta.device)
    return delta


def _read_on(prompt: PromptPass, branch: tuple[int, ...], delta: Tensor, start: int) -> Tensor:
    """Logits [b, k, v] at the places of a branch's k tokens, after b changes from `start` on."""
    encoded = continued(prompt.encoded, branch[:-1])
    cache = None if prompt.kept is None or start == 0 else cut_back(prompt.kept, start)
    rows = 1 if widens(prompt.subject) else len(delta)
    if cache is not None:
        widen(cache, start, rows)

    def change(hidden: Tensor) -> Tensor:
        if cache is not None:
            widen(cache, start, len(delta))
        return added(hidden, delta)

    begin = 0 if cache is None else start
    return read_through(prompt.subject, prompt.hookpoint, [encoded] * rows, change, len(branch), cache, begin)[0]


def added(hidden: Tensor, delta: Tensor) -> Tensor:
    """`delta` [b, t, d] added to what the hookpoint gives [b, t or more, d]."""
    tail = hidden.shape[1] - delta.shape[1]
    padded = torch.nn.functional.pad(delta, (0, 0, 0, tail)) if tail else delta
    return hidden + padded.to(hidden.dtype)


def read_through(
    subject: Subject,
    hookpoint: str,
    rows: Sequence[Encoded],
    replacement: Callable[[Tensor], Tensor],
    places: int,
    cache: Any = None,
    start: int = 0,
    use_cache: bool = False,
) -> tuple[Tensor, Any]:
    """Logits [b, places, v] at the last positions of a pass over `rows` of one length with a replaced hookpoint output,
    and all that it gave.
    """
    calls = 0

    def counted(hidden: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return replacement(hidden)

    inputs: dict[str, Any] = dict(collate(subject, rows))
    if cache is not None:
        inputs |= {"input_ids": inputs["input_ids"][:, start:], "cache": cache}
    if use_cache or cache is not None:
        inputs["use_cache"] = True
    if takes(subject, "logits_to_keep"):
        inputs["logits_to_keep"] = places
    with replaced_output(hook_module(subject, hookpoint), counted):
        output = subject.module(**inputs)
    if calls != 1:
        raise AtlasError(
            f"A pass of {subject.name} calls {hookpoint} {calls} times; interventions need one that is called once."
        )
    return logits_of(subject, output)[:, -places:], output


def continued(encoded: Encoded, ids: tuple[int, ...]) -> Encoded:
    """The prompt with some text tokens after it."""
    if not ids:
        return encoded
    n = len(ids)
    return replace(
        encoded,
        token_ids=np.concatenate([encoded.token_ids, np.array(ids, dtype=np.int64)]),
        tokens=[*encoded.tokens, *[""] * n],
        spans=np.concatenate([encoded.spans, np.zeros((n, 2), dtype=encoded.spans.dtype)]),
        special=np.concatenate([encoded.special, np.zeros(n, dtype=bool)]),
        modalities=[*encoded.modalities, *["text"] * n],
    )
