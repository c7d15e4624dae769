"""Why the steps of a run failed, in words."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import dagster as dg
from dagster._core.events import RunFailureReason

from orchestration.partitions import Cell
from sae.errors import AtlasError, ConfigError, DamagedFileError

FAILED_CELLS = "failed_cells"
"""Metadata of a step's failure: why each cell that failed was not made."""
_BY_STEP = {"activity": ["features", "examples"]}
"""Assets of the steps that make several; other steps are named after theirs."""
_OWN = (AtlasError.__name__, ConfigError.__name__, DamagedFileError.__name__)


@dataclass(frozen=True)
class Failure:
    """Why an asset was not made."""

    words: str
    """One line: an AtlasError's own words, otherwise the error's kind and words."""
    damaged_input: bool
    """Whether a file that it read is damaged."""

    def as_json(self) -> dict[str, Any]:
        """Its fields; `Failure(**fields)` is the inverse."""
        return asdict(self)


def failures(result: dg.ExecuteInProcessResult, cells: Iterable[Cell]) -> dict[Cell, Failure]:
    """Why each of a run's cells was not made, as far as its step failed."""
    found: dict[Cell, Failure] = {}
    wanted = list(cells)
    for event in result.get_step_failure_events():
        data = event.step_failure_data
        if not data.error:
            continue
        told = data.user_failure_data.metadata.get(FAILED_CELLS) if data.user_failure_data else None
        if told is None:  # The step broke down outside the making of a cell.
            step = str(event.step_key)
            of_step = _failure(data.error.cause or data.error, result.run_id)
            found |= {cell: of_step for cell in wanted if cell.asset in _BY_STEP.get(step, [step])}
            continue
        parts: dict[str, Any] = told.value  # type: ignore[assignment]
        found |= {cell: Failure(**parts[str(cell)]) for cell in wanted if str(cell) in parts}
    return found


def interrupted(result: dg.ExecuteInProcessResult) -> bool:
    """Whether somebody stopped the run, by Ctrl+C or SIGTERM: Dagster takes the signal and records a failed run."""
    ends = [event.job_failure_data for event in result.all_events if event.is_job_failure]
    return any(end.failure_reason is RunFailureReason.UNEXPECTED_TERMINATION for end in ends)


def failure_of(error: Exception, run_id: str) -> Failure:
    """Why a cell was not made."""
    return _told(type(error).__name__, f"{type(error).__name__}: {error}", run_id)


def _failure(error: object, run_id: str) -> Failure:
    """Of an error that Dagster recorded."""
    return _told(getattr(error, "cls_name", "Error"), str(getattr(error, "message", error)), run_id)


def _told(kind: str, message: str, run_id: str) -> Failure:
    words = " ".join(message.split())
    if kind in _OWN:
        words = words.removeprefix("sae.errors.").removeprefix(f"{kind}: ")
    else:
        words = f"{words} (a fault of the program: `atlas dev` shows the traceback of run {run_id[:8]})"
    return Failure(words, kind == DamagedFileError.__name__)
