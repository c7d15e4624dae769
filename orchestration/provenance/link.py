"""A link of the chain, and the checks that it passed, failed, or could not be put to."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from sae.errors import AtlasError
from sae.storage import Store, StoredFile

Outcome = Literal["verified", "not checked", "MISMATCH"]


@dataclass(frozen=True)
class Check:
    """One thing that was compared with its record."""

    what: str
    outcome: Outcome
    why: str = ""
    """Why it was not checked, or what differs."""


@dataclass(frozen=True)
class Link:
    """One thing in the chain."""

    what: str
    id: str
    facts: dict[str, Any] = field(default_factory=dict)
    checks: tuple[Check, ...] = ()

    @property
    def outcome(self) -> Outcome:
        """MISMATCH where any check failed; not checked where none was possible; otherwise verified."""
        outcomes = {check.outcome for check in self.checks}
        return "MISMATCH" if "MISMATCH" in outcomes else "verified" if "verified" in outcomes else "not checked"

    def to_json(self) -> dict[str, Any]:
        """The link as JSON-like values."""
        return {**asdict(self), "outcome": self.outcome}


def same(what: str, found: object, recorded: object) -> Check:
    """Verified where what was found is what is recorded."""
    if found == recorded:
        return Check(what, "verified")
    return Check(what, "MISMATCH", f"found {_short(found)}, recorded {_short(recorded)}")


def unchecked(what: str, why: str) -> Check:
    """What could not be compared."""
    return Check(what, "not checked", why)


def attempted(what: str, work: Callable[[], Check]) -> Check:
    """A check that reads files: a file that is missing, damaged or cannot be read is a mismatch."""
    try:
        return work()
    except AtlasError as error:
        return Check(what, "MISMATCH", " ".join(str(error).split()))


def file_holds(store: Store, file: StoredFile) -> Check:
    """Whether a file of the store has the recorded size and SHA-256."""

    def verify() -> Check:
        store.verify(file)
        return Check(file.path, "verified", f"sha256 {file.sha256[:16]}…, {file.size:,} bytes")

    return attempted(file.path, verify)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
