"""The choice of a feature by its id or by words, kept in the address under a name of its own."""

from typing import Any

import streamlit as st

from catalog_ui import queries
from catalog_ui.access import Reader
from catalog_ui.wording import is_feature_id
from sae.catalog.search import search
from sae.catalog.successors import successors_of, went

FOUND = 20
"""Features offered for some words."""


def choose_feature(reader: Reader, name: str, title: str, otherwise: str) -> dict[str, Any] | None:
    """A box for an id or words, and for words the features found; the chosen one's row, None under words on why.

    :param name: of the parameter in the address
    :param otherwise: id of the feature where the address names none
    """
    text = (st.query_params.get(name) or "").strip() or otherwise
    box = f"box-{name}"
    st.session_state[box] = text
    st.text_input(title, key=box, on_change=_keep, args=(name, box), placeholder="id or words")
    if is_feature_id(text):
        return _by_id(reader, name, text)
    hits = search(reader.catalog, text, FOUND).to_dicts() if text else []
    if not hits:
        st.text(f"The catalog has no feature {text!r}, and none is found by these words.")
        return None
    names = {hit["feature_id"]: f"{hit['label'] or 'no label'} · {hit['feature_id']}" for hit in hits}
    pick = f"found-{name}-{text}"
    chosen = st.selectbox(
        f"{len(hits)} found, the best first" if len(hits) > 1 else "Found",
        list(names),
        format_func=lambda feature_id: names[feature_id],
        key=pick,
        on_change=_keep,
        args=(name, pick),
    )
    return queries.feature(reader.catalog, chosen) if chosen else None


def _by_id(reader: Reader, name: str, feature_id: str) -> dict[str, Any] | None:
    row = queries.feature(reader.catalog, feature_id)
    if row is not None:
        return row
    if rows := successors_of(reader.catalog, feature_id):
        st.text(went(rows))
        for heir in [row["successor_id"] for row in rows if row["successor_id"]]:
            st.button(f"Take {heir}", key=f"heir-{name}-{heir}", on_click=_go, args=(name, heir))
        return None
    st.text(f"The catalog has no feature {feature_id!r}. An id reads <dictionary_id>:<index>; words are searched for.")
    return None


def _keep(name: str, widget: str) -> None:
    _go(name, st.session_state[widget])


def _go(name: str, text: str) -> None:
    st.query_params[name] = text
