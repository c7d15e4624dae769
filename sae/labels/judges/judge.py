"""What the scorers that ask a language model have in common: held-out examples, batches of them, strict answers."""

import math
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import groupby
from typing import Any, NamedTuple

from sae.labels.prompt import PICTURE
from sae.labels.quoting import quoted
from sae.labels.reply import read_object

BATCH = 5
"""Examples in one prompt, as delphi has it: more of them leak what they share, and are answered less strictly."""


@dataclass(frozen=True)
class Judged:
    """A label with the held-out examples that judge it."""

    label_id: str
    label: str
    explanation: str
    largest: float
    """The feature's maximal activation."""
    held_out: Sequence[Mapping[str, Any]]
    """Rows of `examples`, sorted by id."""
    tenths: Mapping[int, int]
    """How often the activation lies in each tenth of the feature's maximum, 0 to 9, in the random draws among all of
    its examples."""
    radius: int = 12
    """Tokens kept on either side of an example's place."""

    @property
    def active(self) -> list[Mapping[str, Any]]:
        """The held-out examples at whose place the feature is active, strongest first."""
        return sorted((e for e in self.held_out if e["activation"] > 0), key=lambda e: -e["activation"])

    @property
    def silent(self) -> list[Mapping[str, Any]]:
        """Those at whose place it is silent."""
        return [example for example in self.held_out if example["activation"] == 0]

    def place(self, example: Mapping[str, Any]) -> int:
        """Where an example's own position is among its tokens."""
        return min(example["position"], self.radius)

    def random(self, seed: int) -> random.Random:
        """Draws that depend on the seed and the label alone."""
        return random.Random(f"{seed}:{self.label_id}")


class Batch(NamedTuple):
    """The examples of one prompt."""

    text: str
    """What the model sees of them."""
    samples: Sequence[Any]
    """What the scorer knows of each."""


class Score(NamedTuple):
    """What a scorer says of a label."""

    score: float | None
    """None where too little was answered."""
    n: int
    """Examples that were judged."""
    details: dict[str, Any]


class Judge(NamedTuple):
    """A scorer: what it asks, how an answer is read, and what the answers amount to."""

    name: str
    prompt_version: str
    """The file in `prompts/`."""
    schema: Mapping[str, Any]
    output_tokens: int
    """The longest reply that is paid for."""
    batches: Callable[[Judged, int], list[Batch]]
    """The prompts about a label, given the seed."""
    read: Callable[[Batch, str], list[Any]]
    """One answer for each sample of a batch. Raises ValueError where the reply is not what was asked for."""
    score: Callable[[Judged, Sequence[tuple[Any, Any]]], Score]
    """From pairs of sample and answer, those of the batches that were answered."""


def messages(judge: Judge, judged: Judged, batch: Batch) -> list[dict[str, Any]]:
    """The chat messages of one batch."""
    instructions = (resources.files("sae.labels") / "prompts" / f"{judge.prompt_version}.txt").read_text("utf-8")
    said = f"<label>{quoted(judged.label)}</label>\n<explanation>{quoted(judged.explanation)}</explanation>\n"
    return [{"role": "system", "content": instructions}, {"role": "user", "content": said + batch.text}]


def batched(samples: Sequence[Any], write: Callable[[Any], str]) -> list[Batch]:
    """Samples, BATCH in a prompt, each written as an element with its number."""
    batches = []
    for start in range(0, len(samples), BATCH):
        part = samples[start : start + BATCH]
        lines = [f'<example n="{number}">{write(sample)}</example>' for number, sample in enumerate(part, start=1)]
        batches.append(Batch("\n".join(lines) + "\n", part))
    return batches


def highlighted(tokens: Sequence[str], marked: Collection[int]) -> str:
    """Escaped text with some tokens in `<t>…</t>`, neighbours together; a picture's patches are one `<picture/>`."""

    def kind(place: int) -> tuple[bool, bool]:
        return place in marked, tokens[place].strip() == PICTURE

    pieces = []
    for (is_marked, is_picture), places in groupby(range(len(tokens)), key=kind):
        text = " <picture/> " if is_picture else quoted("".join(tokens[place] for place in places))
        pieces.append(f"<t>{text}</t>" if is_marked else text)
    return "".join(pieces)


def numbers_schema(key: str, lowest: int, highest: int) -> dict[str, Any]:
    """The JSON schema of an object that holds one list of whole numbers."""
    number = {"type": "integer", "minimum": lowest, "maximum": highest}
    return {
        "type": "object",
        "properties": {key: {"type": "array", "items": number}},
        "required": [key],
        "additionalProperties": False,
    }


def read_numbers(value: object, n: int, lowest: int, highest: int) -> list[int]:
    """A list of exactly n whole numbers from `lowest` to `highest`. Raises ValueError where it is not that."""
    if not isinstance(value, list) or len(value) != n:
        raise ValueError(f"the answer is no list of {n} numbers")
    for number in value:
        if isinstance(number, bool) or not isinstance(number, int) or not lowest <= number <= highest:
            raise ValueError(f"{number!r} is no whole number from {lowest} to {highest}")
    return value


def read_answers(key: str, lowest: int, highest: int) -> Callable[[Batch, str], list[int]]:
    """A reader of `{key: [one whole number for each sample]}`."""

    def read(batch: Batch, text: str) -> list[int]:
        return read_numbers(read_object(text, [key])[key], len(batch.samples), lowest, highest)

    return read


def tenth(activation: float, largest: float) -> int:
    """Tenth of a feature's maximum in which an activation lies, 0 to 9."""
    return min(9, int(10 * activation / largest))


def mean(values: Sequence[float]) -> float | None:
    """The mean; None of nothing."""
    return math.fsum(values) / len(values) if values else None
