"""What bringing a workspace up to date would cost, and what its store holds: from the records of past runs."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Any

from orchestration.partitions import Cell
from orchestration.planner import Plan
from orchestration.refs import Ref
from sae.config import Workspace
from sae.storage import Store


@dataclass(frozen=True)
class Forecast:
    """An upper bound: what waits may turn out to be as it was, and is then not made again."""

    partitions: int
    """Cells that are missing or stale, or wait for one that is."""
    seconds: float
    """Of those whose asset was ever made: the time that the cell took last, or the median of its asset. What was made
    at the same time counts once."""
    unknown: tuple[str, ...]
    """Assets that were never made, whose time is left out."""
    more_bytes: int
    """What their files will take; older versions stay until `atlas gc`."""
    label_tokens: int
    """Tokens sent to and read from the labeler, at most."""
    label_usd: float


def forecast(workspace: Workspace, plan: Plan) -> Forecast:
    """The cost of a refresh by this plan."""
    due = [standing.cell for standing in plan.of("missing", "stale", "waiting")]
    spans = {cell: span for cell, ref in plan.refs.items() if (span := _span(ref))}
    usual = _medians({cell: finished - started for cell, (started, finished) in spans.items()})
    sizes = {cell: float(_new_bytes(ref)) for cell, ref in plan.refs.items()}
    usual_size = _medians(sizes)
    new = [cell for cell in due if cell not in spans]
    tokens, usd = _labels(workspace, due)
    return Forecast(
        partitions=len(due),
        seconds=_covered(spans[cell] for cell in due if cell in spans) + sum(usual.get(cell.asset, 0) for cell in new),
        unknown=tuple(dict.fromkeys(cell.asset for cell in new if cell.asset not in usual)),
        more_bytes=round(sum(sizes.get(cell, usual_size.get(cell.asset, 0.0)) for cell in due)),
        label_tokens=tokens,
        label_usd=usd,
    )


def disk(store: Store) -> dict[str, int]:
    """Bytes by folder of the store, the largest first."""
    return dict(sorted(store.sizes_by_folder().items(), key=lambda item: -item[1]))


def _medians(values: Mapping[Cell, float]) -> dict[str, float]:
    """The median over the cells of each asset."""
    grouped: defaultdict[str, list[float]] = defaultdict(list)
    for cell, value in values.items():
        grouped[cell.asset].append(value)
    return {asset: median(found) for asset, found in grouped.items()}


def _span(ref: Ref) -> tuple[float, float] | None:
    """When a cell was begun and made, seconds since 1970; None where that is not known."""
    if not (ref.started_at and ref.finished_at):
        return None
    return datetime.fromisoformat(ref.started_at).timestamp(), datetime.fromisoformat(ref.finished_at).timestamp()


def _covered(spans: Iterable[tuple[float, float]]) -> float:
    """The seconds that some spans cover: cells that are made together have one time between them."""
    total, reached = 0.0, float("-inf")
    for started, finished in sorted(spans):
        total += max(0.0, finished - max(started, reached))
        reached = max(reached, finished)
    return total


def _new_bytes(ref: Ref) -> int:
    """The gate holds files that its candidate wrote."""
    return 0 if ref.asset == "dictionary" else sum(file.size for file in ref.files.values())


def _labels(workspace: Workspace, due: Iterable[Cell]) -> tuple[int, float]:
    if workspace.config.labeler.provider != "openai" or not any(cell.asset == "labels" for cell in due):
        return 0, 0.0
    from orchestration.labelling import estimate_all

    found = estimate_all(workspace)
    return found.input_tokens + found.output_tokens, found.cost_usd


def in_words(found: Forecast, held: Mapping[str, int]) -> list[str]:
    """The lines that `atlas status` ends with."""
    lines = []
    if found.partitions:
        cost = [f"about {_time(found.seconds)} by past runs"]
        if found.unknown:
            cost.append(f"not counting what was never made: {', '.join(found.unknown)}")
        if found.label_tokens:
            cost.append(f"at most {found.label_tokens:,} tokens and ${found.label_usd:.2f} for labels")
        lines.append(f"A run makes up to {found.partitions} partitions: {'; '.join(cost)}.")
    if held:
        most = ", ".join(f"{folder} {_bytes(size)}" for folder, size in list(held.items())[:4])
        more = f", a run adds up to {_bytes(found.more_bytes)}" if found.partitions else ""
        lines.append(f"The store holds {_bytes(sum(held.values()))} ({most}){more}.")
    return lines


def as_json(found: Forecast, held: Mapping[str, int]) -> dict[str, Any]:
    """The same for programs."""
    return {
        "cost": {
            "partitions": found.partitions,
            "seconds": round(found.seconds, 3),
            "unknown": list(found.unknown),
            "label_tokens": found.label_tokens,
            "label_usd": found.label_usd,
        },
        "disk": {"bytes": sum(held.values()), "by_folder": dict(held), "more_bytes": found.more_bytes},
    }


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _bytes(size: float) -> str:
    for unit in ("B", "KB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
