"""What is asked about a prompt: how much likelier one continuation of it is than another.

Scaling Monosemanticity ("Features as computational intermediates") takes the logit of one token minus that of another.
For continuations of several tokens this is the difference of their log-probabilities, token after token as they are
read; where both are one token the normaliser cancels, and it is the difference of the two logits.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sae.errors import AtlasError
from sae.models.subject import Subject


@dataclass(frozen=True)
class Answer:
    """A continuation of a prompt and what it is compared with."""

    target: tuple[int, ...]
    """Token ids."""
    baseline: tuple[int, ...] | None = None
    """Token ids; None for the mean logit at each of the target's places."""

    def __post_init__(self) -> None:
        if not self.target or self.baseline == ():
            raise AtlasError("A continuation needs at least one token.")

    @property
    def branches(self) -> tuple[tuple[int, ...], ...]:
        """The continuations that have to be read: the target, and the baseline where it leaves the target early."""
        if self.baseline is None or self._alike:
            return (self.target,)
        return (self.target, self.baseline)

    def difference(self, read: Sequence[Tensor]) -> Tensor:
        """float32 [...]: the logit difference, from the logits [..., k, v] at the places of each branch's k tokens."""
        first = read[0].float()
        if self.baseline is None:
            return (_picked(first, self.target) - first.mean(dim=-1)).sum(dim=-1)
        if self._alike:
            return first[..., -1, self.target[-1]] - first[..., -1, self.baseline[-1]]
        own, other = (torch.log_softmax(scores.float(), dim=-1) for scores in read)
        return _picked(own, self.target).sum(dim=-1) - _picked(other, self.baseline).sum(dim=-1)

    @property
    def _alike(self) -> bool:
        """Whether both go the same way up to their last token."""
        return self.baseline is not None and self.target[:-1] == self.baseline[:-1]


def answer_of(subject: Subject, target: str, baseline: str | None) -> Answer:
    """The tokens of two continuations.

    Raises AtlasError when they are the same, when the vocabulary has not got them, and of a model that goes on from
    nothing.
    """
    if not subject.predicts_next:
        raise AtlasError(f"{subject.name} predicts no next token: questions with a target are for models that do.")
    answer = Answer(
        tuple(subject.codec.continuation(target)),
        None if baseline is None else tuple(subject.codec.continuation(baseline)),
    )
    if answer.target == answer.baseline:
        raise AtlasError(f"{target!r} and {baseline!r} are the same tokens of {subject.name}; take another baseline.")
    return answer


def _picked(scores: Tensor, ids: Sequence[int]) -> Tensor:
    """Scores [..., k, v] of k ids, as [..., k]."""
    return scores[..., torch.arange(len(ids), device=scores.device), list(ids)]
