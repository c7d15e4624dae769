"""The places that a prompt shows, after Towards Monosemanticity (appendix "Automated Interpretability")."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

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


def choose_places(
    examples: Sequence[Mapping[str, Any]], largest: float, sizes: ShownConfig, radius: int = 12
) -> list[Place]:
    """The places that the prompt of one feature shows: the strongest, some of each interval, random and silent ones.

    Those of the intervals are taken from all that are left over, the strongest interval first; where there are fewer
    than wanted, fewer are shown.

    :param examples: the feature's rows of `examples` that may be shown
    :param largest: its maximal activation
    :param radius: tokens kept on either side of an example's place
    """
    rows = sorted(
        examples, key=lambda r: (r["kind"], -1 if r["bin"] is None else -r["bin"], r["rank"], r["example_id"])
    )
    active = sorted((r for r in rows if r["activation"] > 0), key=lambda r: (-r["activation"], r["example_id"]))
    top = [row for row in active if row["kind"] == "top"][: sizes.top]
    used = {row["example_id"] for row in top}
    random = [row for row in rows if row["kind"] == "random" and row["example_id"] not in used]
    # Random draws come from the whole of the distribution: they are set aside before the intervals take theirs.
    random = random[: sizes.random]
    used |= {row["example_id"] for row in random}
    interval: list[Mapping[str, Any]] = []
    for number in reversed(range(sizes.intervals)):
        low, high = (largest * at / sizes.intervals for at in (number, number + 1))
        inside = [r for r in active if r["example_id"] not in used and low < r["activation"] <= high]
        interval += inside[: sizes.per_interval]
    silent = [row for row in rows if row["activation"] == 0][: sizes.out_of_context]
    kinds = {"top": top, "interval": interval, "random": random, "silent": silent}
    return [_place(row, kind, largest, sizes, radius) for kind, chosen in kinds.items() for row in chosen]


def _place(row: Mapping[str, Any], kind: str, largest: float, sizes: ShownConfig, radius: int) -> Place:
    at = min(row["position"], radius)
    window = slice(max(0, at - sizes.tokens_around), at + sizes.tokens_around + 1)
    levels = [level(activation, largest) if activation else 0 for activation in row["activations"][window]]
    tokens, language, path = row["tokens"][window], row["language"], row["image_path"]
    return Place(row["example_id"], kind, level(row["activation"], largest), tokens, levels, language, path)
