"""How many features a second the lexical labeler names, and how that compares with reading every word of every window.

python tests/benchmarks/lexical.py [--store .atlas --dictionary <site>.<recipe>] [--features N] [--json]

Without a store the examples are drawn from a vocabulary of made-up pieces of words, as frequent as words are (Zipf).
The plain way makes the same labels from the same examples; it reads each window token by token, and all its words.
"""

import argparse
import datetime
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import polars as pl
import regex as re

from sae.labels import lexical
from sae.labels.contexts import Context
from sae.labels.words import count_words

_RADIUS = 12
_DOCUMENT = 400
_LETTER = re.compile(r"[\p{Latin}\p{Cyrillic}\p{Greek}\p{Arabic}\p{Hebrew}\p{Hangul}\p{Devanagari}\p{Nd}_]")


def main() -> None:
    """Measure both ways, best of three, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--store", help="A store's folder; made-up examples without it.")
    parser.add_argument("--dictionary", help="<site>.<recipe> in the store.")
    parser.add_argument("--features", type=int, default=2000, help="Made-up features.")
    parser.add_argument("--json", action="store_true", help="Print one JSON object.")
    given = parser.parse_args()
    frames = _stored(given.store, given.dictionary) if given.store else _made_up(given.features)
    fast_s, labels = _best(lambda: _label(*frames))
    own = lexical.Contexts
    lexical.Contexts = _PlainContexts  # type: ignore[assignment, misc]
    try:
        plain_s, same = _best(lambda: _label(*frames))
    finally:
        lexical.Contexts = own  # type: ignore[misc]
    figures = {
        "lexical_features_per_s": round(labels.height / fast_s, 1),
        "lexical_over_plain": round(plain_s / fast_s, 3),
        "lexical_equal_to_plain": float(labels["label"].equals(same["label"])),
    }
    print(json.dumps(figures) if given.json else "\n".join(f"{name}: {value}" for name, value in figures.items()))


def _label(features: pl.DataFrame, examples: pl.DataFrame, words: pl.DataFrame) -> pl.DataFrame:
    when = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    return lexical.label_features(features, examples, words, seed=0, run_id="", created_at=when)[0]


def _best(make: Callable[[], pl.DataFrame]) -> tuple[float, pl.DataFrame]:
    times, made = [], pl.DataFrame()
    for _ in range(3):
        start = time.perf_counter()
        made = make()
        times.append(time.perf_counter() - start)
    return min(times), made


class _PlainContexts:
    """Every window read token by token, each with all its words."""

    def __init__(self, examples: pl.DataFrame, radius: int):
        self._contexts = [
            self._read(tokens, min(position, radius), modality, language)
            for tokens, position, modality, language in examples.select(
                "tokens", "position", "modality", "language"
            ).iter_rows()
        ]

    def __getitem__(self, row: int) -> Context:
        return self._contexts[row]

    @staticmethod
    def _read(tokens: list[str], place: int, modality: str, language: str) -> Context:
        words: list[tuple[str, bool]] = []
        for number, token in enumerate(tokens):
            here = number == place
            if words and _LETTER.match(words[-1][0][-1:]) and _LETTER.match(token):
                words[-1] = (words[-1][0] + token, words[-1][1] or here)
            else:
                words.append((token, here))
        at = next(number for number, (_, here) in enumerate(words) if here)
        read = [word.strip() for word, _ in words]
        before, after = [w for w in read[:at] if w], [w for w in read[at + 1 :] if w]
        focus = read[at] or ("⏎" if "\n" in words[at][0] else "␣")
        context = Context(focus, modality == "image", language, lambda: (before, after))
        _ = context.before, context.after
        return context


def _stored(store: str, pair: str) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    from orchestration.partitions import Cell
    from orchestration.pinned import Pinned
    from orchestration.refs import read_ref
    from sae.storage import Store

    opened = Store(store)
    refs = {name: read_ref(opened, Cell(name, pair)) for name in ("dictionary", "features", "examples")}
    if not (refs["dictionary"] and refs["features"] and refs["examples"]):
        raise SystemExit(f"{store} holds no features of {pair}")
    features, examples = (
        pl.read_parquet(opened.verify(ref.files[name])) for name in ("features", "examples") if (ref := refs[name])
    )
    pinned = Pinned(opened, refs["dictionary"], "cpu")
    return features, examples, count_words(shard.tokens for shard in pinned.shards())


def _made_up(n: int) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Features that are active at one word each, in a corpus of 300,000 tokens; 46 examples a feature."""
    generator = np.random.default_rng(0)
    pieces = [f"{'' if number % 4 == 0 else ' '}w{number:x}".replace("0", "o") for number in range(3000)]
    tokens = generator.zipf(1.2, 300_000) % len(pieces)
    corpus = pl.DataFrame(
        {
            "document_id": np.arange(len(tokens)) // _DOCUMENT,
            "position": np.arange(len(tokens)) % _DOCUMENT,
            "token": [pieces[token] for token in tokens],
            "language": "en",
            "modality": "text",
            "special": False,
            "massive": False,
        }
    ).with_columns(start=pl.lit(0), end=pl.lit(0))
    features = pl.DataFrame(
        [
            {"feature_id": f"d:{i}", "dictionary_id": "d", "index": i, "density": 0.001, "is_dead": False}
            for i in range(n)
        ]
    )
    return features, pl.DataFrame(list(_examples(n, tokens, pieces, generator))), count_words([corpus])


def _examples(n: int, tokens: Any, pieces: list[str], generator: np.random.Generator) -> Iterator[dict[str, Any]]:
    by_token = np.argsort(tokens, kind="stable")
    counts = np.searchsorted(tokens[by_token], np.arange(len(pieces) + 1))
    for feature in range(n):
        token = feature % len(pieces)
        own = by_token[counts[token] : counts[token + 1]]
        places = [*own[:36].tolist(), *generator.integers(0, len(tokens), 46 - len(own[:36])).tolist()]
        for rank, place in enumerate(places):
            first = place - place % _DOCUMENT
            low, high = max(place - _RADIUS, first), min(place + _RADIUS, first + _DOCUMENT - 1)
            yield {
                "example_id": f"{(feature * 7919 + rank * 104_729) % 2**32:016x}",
                "feature_id": f"d:{feature}",
                "kind": "top",
                "rank": rank + 1,
                "position": place % _DOCUMENT,
                "activation": 1.0 if tokens[place] == token else 0.0,
                "tokens": [pieces[number] for number in tokens[low : high + 1]],
                "language": "en",
                "modality": "text",
            }


if __name__ == "__main__":
    main()
