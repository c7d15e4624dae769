"""The choice of a dictionary, kept in the address as `dictionary`."""

from typing import Any

import streamlit as st

from catalog_ui import queries
from catalog_ui.access import Reader
from catalog_ui.components.fact_sheet import Chip
from catalog_ui.wording import figure, share


def choose_dictionary(reader: Reader) -> dict[str, Any]:
    """A select box of the catalog's dictionaries, the current ones first; the chosen one's row."""
    rows = {row["dictionary_id"]: row for row in queries.dictionaries(reader.catalog).to_dicts()}
    if not rows:
        st.info("This catalog holds no accepted dictionary yet. `atlas status` says what is missing.")
        st.stop()
    chosen = st.selectbox(
        "Dictionary",
        list(rows),
        format_func=lambda dictionary_id: dictionary_name(rows[dictionary_id]),
        key="dictionary",
        bind="query-params",
        persist_state="session",
    )
    return rows[chosen]


def dictionary_figures(row: dict[str, Any]) -> list[tuple[str, str | None]]:
    """How large and how good a dictionary is, for a heading."""
    return [
        ("Features", f"{row['d_sae']:,}"),
        ("Variance unexplained", figure(row["fvu"])),
        ("Active a token (L0)", figure(row["l0"])),
        ("Loss recovered", share(row["loss_recovered"])),
        ("Dead", share(row["dead_fraction"])),
    ]


def state_of(row: dict[str, Any]) -> Chip:
    """Whether a dictionary is the one that readers get."""
    if row["is_current"]:
        return Chip("current", "good")
    if row["rejected_because"]:
        return Chip("turned down", "bad")
    return Chip("replaced")


def dictionary_name(row: dict[str, Any]) -> str:
    """`site · recipe · size`, with its id where it is not the current one."""
    name = f"{row['site']} · {row['recipe']} · {row['d_sae']:,} features"
    return name if row["is_current"] else f"{name} · superseded ({row['dictionary_id'][:6]})"
