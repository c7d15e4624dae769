"""What requests cost: the price of one that ended, and a bound on one that has not been sent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_PER_MESSAGE = 64
"""Tokens that a chat template may add to a message (role, separators, a system prompt of its own)."""
_MILLION = 1_000_000


@dataclass(frozen=True)
class Price:
    """US dollars per million tokens."""

    input: float
    output: float

    def cost(self, input_tokens: int, output_tokens: int) -> float:
        """US dollars of one request."""
        return (input_tokens * self.input + output_tokens * self.output) / _MILLION

    def halved(self) -> "Price":
        """The price in batches."""
        return Price(self.input / 2, self.output / 2)


FREE = Price(0.0, 0.0)


def most_input_tokens(messages: Sequence[Mapping[str, Any]], schema_text: str, image_tokens: int) -> int:
    """A bound on the tokens of a prompt that holds for every byte-level tokenizer: no token is less than one byte.

    :param image_tokens: the most that one picture counts for; it depends on the server
    """
    total = len(schema_text.encode())
    for message in messages:
        total += _PER_MESSAGE
        parts = message["content"]
        for part in [{"type": "text", "text": parts}] if isinstance(parts, str) else parts:
            total += len(part["text"].encode()) if part["type"] == "text" else image_tokens
    return total


def likely_input_tokens(messages: Sequence[Mapping[str, Any]], image_tokens: int) -> int:
    """An estimate of the tokens of a prompt: a quarter of the bound on its text, as for English prose."""
    images = sum(part["type"] != "text" for m in messages if not isinstance(m["content"], str) for part in m["content"])
    return (most_input_tokens(messages, "", image_tokens) - images * image_tokens) // 4 + images * image_tokens
