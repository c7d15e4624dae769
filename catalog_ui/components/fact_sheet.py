"""A heading with a sentence, chips and facts, all of them shown as text whatever characters they hold."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from streamlit.components.v2 import component

from catalog_ui.components.sources import script, style

_mount = component("fact_sheet", css=style("fact_sheet"), js=script("fact_sheet"))


@dataclass(frozen=True)
class Chip:
    """A short remark in a rounded frame."""

    text: str
    tone: Literal["plain", "good", "bad"] = "plain"


def heading(
    key: str,
    title: str,
    lead: str = "",
    chips: Sequence[Chip] = (),
    facts: Sequence[tuple[str, Any]] = (),
    size: Literal["page", "card"] = "page",
) -> None:
    """A title, a sentence, chips and figures side by side; figures that are None are left out."""
    _mount(key=f"sheet-{key}", data=_sheet(title, lead, chips, facts) | {"small": size == "card"})


def fact_list(key: str, facts: Sequence[tuple[str, Any]]) -> None:
    """Terms and what they are, one a line; those that are None are left out."""
    _mount(key=f"sheet-{key}", data=_sheet("", "", (), facts) | {"list": True})


def _sheet(title: str, lead: str, chips: Sequence[Chip], facts: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    return {
        "title": title,
        "lead": lead,
        "small": False,
        "chips": [asdict(chip) for chip in chips],
        "facts": [[term, str(value)] for term, value in facts if value is not None],
        "list": False,
    }
