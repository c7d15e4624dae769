"""Many prompts about which the same is asked: those of one length are read, and changed, together.

A prompt of twenty tokens by itself leaves most of a processor idle.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from sae.causal.answer import Answer
from sae.causal.passes import (
    BATCH_TOKENS,
    Changes,
    Outcomes,
    PromptPass,
    added,
    continued,
    dense,
    read_alike,
    read_through,
)
from sae.models.encoding import Encoded
from sae.models.subject import Subject


def read_prompts(
    subject: Subject, hookpoint: str, asked: Sequence[tuple[Encoded, Answer]], batch_tokens: int = BATCH_TOKENS
) -> list[PromptPass]:
    """Many prompts as `read_prompt` reads one, those of one length together; no keys and values are kept.

    A pass takes as many as fit into `batch_tokens` positions. Raises AtlasError like `read_prompt`.
    """
    shapes = [(len(encoded), *map(len, answer.branches)) for encoded, answer in asked]
    read: dict[int, PromptPass] = {}
    for numbers in _alike(shapes, [length + max(branches) - 1 for length, *branches in shapes], batch_tokens):
        passes = read_alike(subject, hookpoint, [asked[number] for number in numbers], False)
        read |= zip(numbers, passes, strict=True)
    return [read[number] for number in range(len(asked))]


def changed_prompts(
    prompts: Sequence[PromptPass], changes: Sequence[Changes], batch_tokens: int = BATCH_TOKENS
) -> list[Outcomes]:
    """The changes of each of many prompts as `changed` makes those of one, prompts of one length together.

    Every pass reads its prompts whole. They are all of one subject and hookpoint.
    """
    shapes = [(len(one.encoded), *map(len, one.answer.branches)) for one in prompts]
    sizes = [own.count * len(one.encoded) for one, own in zip(prompts, changes, strict=True)]
    made: dict[int, Outcomes] = {}
    for numbers in _alike(shapes, sizes, batch_tokens):
        together = [(prompts[number], changes[number]) for number in numbers]
        with torch.no_grad():
            outcomes = _read_whole(together)
        made |= zip(numbers, outcomes, strict=True)
    return [made[number] for number in range(len(prompts))]


def _read_whole(together: Sequence[tuple[PromptPass, Changes]]) -> list[Outcomes]:
    """Changes of prompts whose `_alike` shapes are the same, in one pass a branch."""
    first, counts = together[0][0], [own.count for _, own in together]
    delta = torch.cat([dense(one, own, torch.arange(own.count), 0) for one, own in together])

    def change(hidden: Tensor) -> Tensor:
        return added(hidden, delta)

    scores = []
    for branches in zip(*(one.answer.branches for one, _ in together), strict=True):
        rows: list[Encoded] = []
        for (one, own), ids in zip(together, branches, strict=True):
            rows += [continued(one.encoded, ids[:-1])] * own.count
        scores.append(read_through(first.subject, first.hookpoint, rows, change, len(branches[0]))[0])
    parts = zip(*(one.split(counts) for one in scores), strict=True)
    return [
        Outcomes(one.answer.difference(own).cpu(), own[0][:, 0].argmax(dim=-1).cpu())
        for (one, _), own in zip(together, parts, strict=True)
    ]


def _alike(shapes: Sequence[tuple[int, ...]], sizes: Sequence[int], most: int) -> Iterator[list[int]]:
    """Numbers of what has the same shape, in groups whose sizes sum to `most` (or that hold one alone)."""
    group: list[int] = []
    for number in sorted(range(len(shapes)), key=lambda number: shapes[number]):
        full = sum(sizes[other] for other in group) + sizes[number] > most
        if group and (full or shapes[number] != shapes[group[0]]):
            yield group
            group = []
        group.append(number)
    if group:
        yield group
