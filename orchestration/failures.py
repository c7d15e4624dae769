"""Why the steps of a run failed, in words."""

from dataclasses import dataclass

import dagster as dg

from sae.errors import AtlasError, ConfigError, DamagedFileError

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


def failures(result: dg.ExecuteInProcessResult) -> dict[str, Failure]:
    """The failure of each asset that a run tried and did not make."""
    found: dict[str, Failure] = {}
    for event in result.get_step_failure_events():
        if error := event.step_failure_data.error:
            kind, words = _told(error.cause or error)
            failure = Failure(words, kind == DamagedFileError.__name__)
            found |= dict.fromkeys(_BY_STEP.get(str(event.step_key), [str(event.step_key)]), failure)
    return found


def _told(error: object) -> tuple[str, str]:
    kind, message = getattr(error, "cls_name", "Error"), " ".join(str(getattr(error, "message", error)).split())
    return kind, message.removeprefix("sae.errors.").removeprefix(f"{kind}: ") if kind in _OWN else message
