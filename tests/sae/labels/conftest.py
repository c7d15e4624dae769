"""Examples of features whose meaning is known, in a corpus of plain sentences."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest

from sae.identity import content_id

NOW = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)


def _example(
    feature: int,
    tokens: Sequence[str],
    at: int,
    activation: float,
    number: int = 0,
    language: str = "en",
    modality: str = "text",
) -> dict[str, Any]:
    """An example at token `at` of a document of its own that is `tokens`, at most 12 tokens before it."""
    return {
        "example_id": content_id([feature, list(tokens), at, number]),
        "feature_id": f"d:{feature}",
        "dictionary_id": "d",
        "index": feature,
        "kind": "top" if activation else "out_of_context",
        "rank": number + 1,
        "document_id": content_id([list(tokens), at, number]),
        "position": at,
        "activation": activation,
        "tokens": list(tokens),
        "language": language,
        "modality": modality,
    }


@pytest.fixture
def example() -> Callable[..., dict[str, Any]]:
    return _example


@pytest.fixture
def now() -> datetime:
    return NOW


@pytest.fixture
def example_table() -> Callable[[list[dict[str, Any]]], pl.DataFrame]:
    return lambda rows: pl.DataFrame(
        rows, schema_overrides={"index": pl.Int32, "rank": pl.Int32, "position": pl.Int32, "activation": pl.Float32}
    )


@pytest.fixture
def token_table() -> Callable[..., pl.DataFrame]:
    """TOKENS rows of documents, each a list of tokens written one after the other."""

    def make(documents: Sequence[Sequence[str]], language: str = "en", modality: str = "text") -> pl.DataFrame:
        rows = []
        for number, tokens in enumerate(documents):
            place = 0
            for position, token in enumerate(tokens):
                rows.append(
                    {
                        "document_id": f"{language}{number}",
                        "position": position,
                        "token": token,
                        "start": place,
                        "end": place + len(token),
                        "language": language,
                        "modality": "image" if token == "<image>" else modality,
                        "special": token == "<s>",
                        "massive": False,
                    }
                )
                place += len(token)
        return pl.DataFrame(rows, schema_overrides={"position": pl.Int32, "start": pl.Int32, "end": pl.Int32})

    return make
