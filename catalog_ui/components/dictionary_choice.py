"""The choice of two dictionaries, kept in the address as `old` and `new`; the beginning of an id is enough there."""

from typing import Any

import streamlit as st

from catalog_ui import dictionary_pair_queries
from catalog_ui.access import Reader
from catalog_ui.components.dictionaries import dictionary_name
from sae.catalog.names import names_of

Row = dict[str, Any]


def choose_pair(reader: Reader) -> tuple[Row, Row] | None:
    """Two select boxes; the rows of both, None under words on why where the address names what is not there."""
    rows = {row["dictionary_id"]: row for row in dictionary_pair_queries.all_dictionaries(reader.catalog).to_dicts()}
    if not rows:
        st.info("This catalog holds no dictionary yet. `atlas status` says what is missing.")
        return None
    usual = _usual(rows)
    left, right = st.columns(2, gap="large")
    with left:
        old = _choose(reader, rows, "old", "Old, or smaller", usual[0])
    with right:
        new = _choose(reader, rows, "new", "New, or larger", usual[1])
    return None if old is None or new is None else (old, new)


def _choose(reader: Reader, rows: dict[str, Row], name: str, title: str, otherwise: str) -> Row | None:
    asked = (st.query_params.get(name) or "").strip()
    found = names_of(reader.catalog, "dictionary", asked) if asked else [otherwise]
    box = f"box-{name}"
    st.session_state[box] = found[0] if len(found) == 1 else None
    chosen = st.selectbox(
        title,
        list(rows),
        index=None,
        format_func=lambda dictionary_id: _name(rows[dictionary_id]),
        key=box,
        on_change=_keep,
        args=(name, box),
        placeholder="choose a dictionary",
    )
    if len(found) > 1:
        st.text(f"{asked!r} begins several ids: {', '.join(found)}. Give more of it.")
    elif not found:
        st.text(f"The catalog has no dictionary {asked!r}.")
    return rows.get(chosen) if chosen else None


def _name(row: Row) -> str:
    name = dictionary_name(row)
    return f"{name} · turned down" if row["rejected_because"] else name


def _usual(rows: dict[str, Row]) -> tuple[str, str]:
    """A current dictionary after the one that it replaced, else the two largest of a site, the smaller one first."""
    for row in rows.values():
        if (heir := rows.get(row["replaced_by"])) is not None:
            return row["dictionary_id"], heir["dictionary_id"]
    first = next(iter(rows.values()))
    other = next((row for row in rows.values() if row["site"] == first["site"] and row is not first), first)
    return other["dictionary_id"], first["dictionary_id"]


def _keep(name: str, box: str) -> None:
    st.query_params[name] = st.session_state[box] or ""
