"""Audit: where a label or a dictionary came from, link by link, and what depends on it; from the catalog alone.

The address names it: `audit?id=` with the id of a label, a feature or a dictionary, of which the beginning is enough.
"""

from typing import Any, NoReturn

import streamlit as st

from catalog_ui import audit_queries, provenance_queries, queries
from catalog_ui.access import Reader, require_reader
from catalog_ui.components.audit_dictionary import show_dictionary, show_model, show_shards
from catalog_ui.components.audit_label import show_descendants, show_evidence, show_label, show_prompt
from catalog_ui.components.audit_side import show_dependants, show_history, show_sources, show_verification
from catalog_ui.components.fact_sheet import Chip, heading
from catalog_ui.components.records import FEATURE_PAGE
from catalog_ui.wording import figure, is_feature_id, one_in
from sae.catalog.names import names_of
from sae.catalog.successors import successors_of, went

Row = dict[str, Any]


def _choose(reader: Reader) -> tuple[str, str]:
    """The kind and the whole id of what the address names, or a page that says what to do and ends the run."""
    named = st.query_params.get("id") or st.session_state.get("feature_seen") or ""
    text = named.strip() or next(iter(queries.best_known(reader.catalog, None, 1)), "")
    st.session_state["asked"] = text
    st.text_input("Label, feature or dictionary", key="asked", on_change=_go, placeholder="id, or the beginning of one")
    if is_feature_id(text):
        if queries.feature(reader.catalog, text) is not None:
            return "feature", text
        if rows := successors_of(reader.catalog, text):
            _end("Replaced feature", went(rows))
    else:
        found = [(kind, name) for kind in ("label", "dictionary") for name in names_of(reader.catalog, kind, text)]
        exact = [one for one in found if one[1] == text]
        if len(exact or found) == 1:
            return (exact or found)[0]
        if found:
            _end("Several ids begin so", f"{text!r} begins these: {', '.join(name for _, name in found)}.")
    return _end("Nothing of that name", f"The catalog has no feature, label or dictionary {text!r}.")


def _end(title: str, words: str) -> NoReturn:
    heading("nothing", title, words)
    st.markdown(
        "A feature's id reads `<dictionary_id>:<index>`; of a label's or a dictionary's the beginning is enough. "
        "The command `atlas audit` also follows documents, shards, models and runs."
    )
    st.stop()


def _go() -> None:
    st.query_params["id"] = st.session_state["asked"]


def _feature(row: Row) -> None:
    st.subheader("Feature")
    heading(
        "feature",
        f"Feature {row['index']}",
        "" if row["label_id"] else "No label of it is in force.",
        [Chip(f"{row['site']} · {row['recipe']}"), Chip(row["feature_id"])],
        [("Fires on", one_in(row["density"])), ("Largest activation", figure(row["max_activation"]))],
        size="card",
    )
    address = {"id": row["feature_id"]}
    st.page_link(FEATURE_PAGE, label="Open the feature", icon=":material/lens:", query_params=address)


def _line(label: Row | None, feature: Row | None, facts: Row) -> str:
    """The chain in a line, each link by what names it."""
    links = []
    if label is not None:
        links += [f"label {label['label_id']}", f"prompt {(label['prompt_sha256'] or 'of nobody')[:12]}"]
        links.append(f"{label['n_shown'] + label['n_held_out']:,} examples")
    if feature is not None:
        links.append(f"feature {feature['index']}")
    shards = len(facts["activation_set"]["shards"])
    links += [f"dictionary {facts['dictionary_id']}", f"{shards:,} shards", f"model {facts['model_id']}"]
    return " ← ".join(links)


def _chain(reader: Reader, label: Row | None, feature: Row | None, facts: Row) -> None:
    heading("chain", "", _line(label, feature, facts))
    if label is not None:
        show_label(reader, label, feature is not None and feature["label_id"] == label["label_id"])
        show_prompt(label)
        show_evidence(reader, label)
    if feature is not None:
        _feature(feature)
    show_dictionary(reader, facts)
    show_shards(reader, facts)
    show_model(reader, facts)


reader = require_reader()
st.title("Audit")
kind, name = _choose(reader)
label_id, feature_id, dictionary_id = None, None, name
if kind == "label":
    label_id = name
    feature_id = audit_queries.label(reader.catalog, name)["feature_id"]
elif kind == "feature":
    feature_id = name
feature = queries.feature(reader.catalog, feature_id) if feature_id else None
if feature is not None:
    label_id, dictionary_id = label_id or feature["label_id"], feature["dictionary_id"]
label = audit_queries.label(reader.catalog, label_id) if label_id else None
facts = provenance_queries.facts_of(reader.catalog, dictionary_id)
pair = f"{facts['site']}.{facts['recipe']}" if facts["is_current"] else None

left, right = st.columns([1.75, 1], gap="large")
with left:
    _chain(reader, label, feature, facts)
    if pair:
        show_sources(reader, "labels" if label else "dictionary", pair)
with right:
    show_verification(name)
    if feature_id:
        show_history(reader, feature_id, label_id)
        show_dependants(
            reader,
            audit_queries.of_feature(reader.catalog, feature_id),
            "labels" if kind == "label" else "features",
            pair,
        )
        if label_id:
            show_descendants(reader.catalog, label_id)
    else:
        show_dependants(reader, audit_queries.of_dictionary(reader.catalog, dictionary_id), "dictionary", pair)
