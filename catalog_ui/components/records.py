"""A dense table of records whose ids link to their pages. Labels and tokens travel as data, never as markup."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import streamlit as st
from streamlit.components.v2 import component

from catalog_ui.components.sources import script, style

_mount = component("records", css=style("records"), js=script("records"))

FEATURE_PAGE = "app_pages/feature.py"
AUDIT_PAGE = "app_pages/audit.py"
_PAGES = {"feature": FEATURE_PAGE, "audit": AUDIT_PAGE}


@dataclass(frozen=True)
class Column:
    """A column of cells of one kind.

    `feature` wants {id, label, note} and links to a page; `bar` and `signed` draw a gauge up to `scale`, `interval` one
    of {value, low, high, control}; `chip` wants {text, tone}; `written` is what a model wrote, whose line breaks stay.
    """

    key: str
    title: str
    kind: Literal[
        "feature", "text", "short", "quiet", "mono", "token", "written", "number", "bar", "signed", "interval", "chip"
    ] = "text"
    digits: int = 2
    scale: float | None = None
    help: str = ""
    page: Literal["feature", "audit"] = "feature"
    """Where the links of a `feature` column lead."""


def records(
    rows: Sequence[dict[str, Any]], columns: Sequence[Column], key: str, empty: str = "Nothing is stored here."
) -> None:
    """Draw a table; a click on a link opens its page."""
    opened = _mount(key=f"records-{key}", data=records_data(rows, columns, empty), on_opened_change=lambda: None).opened
    if opened:
        st.switch_page(_PAGES[opened["page"]], query_params={"id": opened["id"]})


def records_data(rows: Sequence[dict[str, Any]], columns: Sequence[Column], empty: str) -> dict[str, Any]:
    """What the browser gets: plain JSON. A gauge without a scale takes its column's largest value."""
    described = []
    for column in columns:
        scale = column.scale
        if scale is None and column.kind in ("bar", "signed"):
            scale = max((abs(row[column.key]) for row in rows if row[column.key] is not None), default=0) or 1.0
        described.append(asdict(column) | {"scale": scale})
    names = [column.key for column in columns]
    return {"columns": described, "rows": [{name: row[name] for name in names} for row in rows], "empty": empty}


def feature_link(feature_id: str, label: str | None, note: str = "") -> dict[str, str]:
    """A cell of a `feature` column: a label is shown as it is, without one the index stands in."""
    return {"id": feature_id, "label": label or f"feature {feature_id.rpartition(':')[2]}, no label", "note": note}
