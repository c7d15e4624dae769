"""The labeler's reply: taken apart strictly, bounded, and cleaned of what is not seen."""

import json
import math
import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sae.labels.quoting import is_hidden

LONGEST_LABEL, LONGEST_EXPLANATION = 100, 600
"""Characters."""
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "label": {"type": "string", "description": "A short name, at most eight words."},
        "explanation": {"type": "string", "description": "One sentence that says when the feature is active."},
        "confidence": {"type": "number", "description": "From 0 to 1."},
    },
    "required": ["label", "explanation", "confidence"],
    "additionalProperties": False,
}
_FENCE = re.compile(r"\A```(?:json)?\s*\n(.*)\n\s*```\Z", re.DOTALL)


@dataclass(frozen=True)
class WrittenLabel:
    """What a labeler says of a feature."""

    label: str
    explanation: str
    confidence: float


def read_label(text: str) -> WrittenLabel:
    """Take a reply apart: one JSON object with the schema's three keys, bare or in one fenced block.

    Raises ValueError where it is anything else, where a text is empty or too long once cleaned, or where the confidence
    is no number from 0 to 1.
    """
    reply = read_object(text, SCHEMA["required"])
    return WrittenLabel(
        bounded("label", reply["label"], LONGEST_LABEL),
        bounded("explanation", reply["explanation"], LONGEST_EXPLANATION),
        _confidence(reply["confidence"]),
    )


def read_object(text: str, keys: Collection[str]) -> dict[str, Any]:
    """The one JSON object, bare or in a fenced block, that a reply is. Raises ValueError where it is anything else."""
    stripped = text.strip()
    fenced = _FENCE.match(stripped)
    try:
        reply = json.loads(fenced.group(1) if fenced else stripped)
    except RecursionError:
        raise ValueError("the reply is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"the reply is not JSON: {error}") from None
    if not isinstance(reply, dict) or set(reply) != set(keys):
        raise ValueError(f"the reply does not have the keys {', '.join(keys)} and no others")
    return reply


def clean(text: str) -> str:
    """Text on one line, in normal form C, without characters that are not seen or that move others about."""
    normal = unicodedata.normalize("NFC", text.encode("utf-8", "replace").decode("utf-8"))
    # A break or a control character parts words; the rest (joiners, direction marks) leaves no gap.
    parted = "".join(" " if unicodedata.category(c) in ("Cc", "Zl", "Zp") else c for c in normal)
    return " ".join("".join(c for c in parted if not is_hidden(c)).split())


def bounded(name: str, value: object, longest: int) -> str:
    """A text, cleaned. Raises ValueError, with its `name`, where it is none, is empty or has too many characters."""
    if not isinstance(value, str):
        raise ValueError(f"`{name}` is not a text")
    cleaned = clean(value)
    if not cleaned:
        raise ValueError(f"`{name}` is empty")
    if len(cleaned) > longest:
        raise ValueError(f"`{name}` has {len(cleaned)} characters, more than {longest}")
    return cleaned


def _confidence(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or not 0 <= value <= 1:
        raise ValueError("`confidence` is not a number from 0 to 1")
    return float(value)
