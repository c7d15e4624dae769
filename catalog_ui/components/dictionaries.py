"""The choice of a dictionary, kept in the address as `dictionary`."""

from typing import Any

import streamlit as st

from catalog_ui import queries
from catalog_ui.access import Reader


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


def dictionary_name(row: dict[str, Any]) -> str:
    """`site · recipe · size`, with its id where it is not the current one."""
    name = f"{row['site']} · {row['recipe']} · {row['d_sae']:,} features"
    return name if row["is_current"] else f"{name} · superseded ({row['dictionary_id'][:6]})"
