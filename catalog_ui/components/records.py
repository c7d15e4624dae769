"""A dense table of records whose features link to their pages. Labels and tokens travel as data, never as markup."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import streamlit as st
from streamlit.components.v2 import component

from catalog_ui.components.sources import script, style

_mount = component("records", css=style("records"), js=script("records"))

FEATURE_PAGE = "app_pages/feature.py"


@dataclass(frozen=True)
class Column:
    """A column: `feature` wants {id, label, note}, `bar` and `signed` draw a gauge up to `scale`.

    `written` is what a model wrote: its line breaks are kept.
    """

    key: str
    title: str
    kind: Literal["feature", "text", "short", "quiet", "mono", "token", "written", "number", "bar", "signed"] = "text"
    digits: int = 2
    scale: float | None = None
    help: str = ""


def records(
    rows: Sequence[dict[str, Any]], columns: Sequence[Column], key: str, empty: str = "Nothing is stored here."
) -> None:
    """Draw a table; a click on a feature opens its page."""
    opened = _mount(key=f"records-{key}", data=records_data(rows, columns, empty), on_opened_change=lambda: None).opened
    if isinstance(opened, str):
        st.switch_page(FEATURE_PAGE, query_params={"id": opened})


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
