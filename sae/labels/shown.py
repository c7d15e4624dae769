"""The places that a prompt shows, after Towards Monosemanticity (appendix "Automated Interpretability")."""

from collections.abc import Mapping
from typing import NamedTuple

import polars as pl

from sae.config.labeling import ShownConfig

STRONGEST = 10
"""The level of a feature's maximal activation."""


class Place(NamedTuple):
    """An example as a prompt shows it."""

    example_id: str
    kind: str
    """top, interval, random or silent."""
    level: int
    """Strength at the place itself, 0 to 10."""
    tokens: list[str]
    levels: list[int]
    """Strength at each token, 0 to 10."""
    language: str
    image_path: str | None
    """The picture of its document, where it has one."""


def level(activation: float, largest: float) -> int:
    """An activation as a whole number from 0 to 10: noise in its last digits changes no prompt."""
    return max(0, min(STRONGEST, round(STRONGEST * activation / largest))) if largest > 0 else 0


def choose_places(examples: pl.DataFrame, largest: float, sizes: ShownConfig, radius: int = 12) -> list[Place]:
    """The places that the prompt of one feature shows: the strongest, some of each interval, random and silent ones.

    Those of the intervals are taken from all that are left over, the strongest interval first; where there are fewer
    than wanted, fewer are shown.

    :param examples: the feature's rows of `examples` that may be shown
    :param largest: its maximal activation
    :param radius: tokens kept on either side of an example's place
    """
    rows = examples.sort("kind", "bin", "rank", "example_id", descending=[False, True, False, False]).to_dicts()
    active = sorted((r for r in rows if r["activation"] > 0), key=lambda r: (-r["activation"], r["example_id"]))
    top = [row for row in active if row["kind"] == "top"][: sizes.top]
    used = {row["example_id"] for row in top}
    random = [row for row in rows if row["kind"] == "random" and row["example_id"] not in used]
    # Random draws come from the whole of the distribution: they are set aside before the intervals take theirs.
    random = random[: sizes.random]
    used |= {row["example_id"] for row in random}
    interval: list[Mapping[str, object]] = []
    for number in reversed(range(sizes.intervals)):
        low, high = (largest * at / sizes.intervals for at in (number, number + 1))
        inside = [r for r in active if r["example_id"] not in used and low < r["activation"] <= high]
        interval += inside[: sizes.per_interval]
    silent = [row for row in rows if row["activation"] == 0][: sizes.out_of_context]
    kinds = {"top": top, "interval": interval, "random": random, "silent": silent}
    return [_place(row, kind, largest, sizes, radius) for kind, chosen in kinds.items() for row in chosen]


def _place(row: Mapping[str, object], kind: str, largest: float, sizes: ShownConfig, radius: int) -> Place:
    at = min(int(str(row["position"])), radius)
    window = slice(max(0, at - sizes.tokens_around), at + sizes.tokens_around + 1)
    tokens, activations = row["tokens"], row["activations"]
    assert isinstance(tokens, list)
    assert isinstance(activations, list)
    path = row["image_path"]
    return Place(
        str(row["example_id"]),
        kind,
        level(float(str(row["activation"])), largest),
        tokens[window],
        [level(activation, largest) for activation in activations[window]],
        str(row["language"]),
        None if path is None else str(path),
    )
