"""A dictionary back to the corpus and the model: dictionary ← recipe ← activations ← shards ← model."""

import json
from typing import Any

import streamlit as st

from catalog_ui import audit_queries, provenance_queries
from catalog_ui.access import Reader
from catalog_ui.components.audit_run import run_facts
from catalog_ui.components.dictionaries import dictionary_figures, state_of
from catalog_ui.components.fact_sheet import Chip, fact_list, heading
from catalog_ui.components.records import Column, records
from catalog_ui.wording import figure, when

Row = dict[str, Any]

SHARDS_SHOWN = 50


def show_dictionary(reader: Reader, facts: Row) -> None:
    """The dictionary: its keys, sizes and figures, the run, and its provenance as it was written."""
    st.subheader("Dictionary")
    chips = [state_of(facts), Chip(facts["site"]), Chip(facts["dictionary_id"])]
    reason = facts["rejected_because"] or ""
    heading("dictionary", facts["recipe"], reason, chips, dictionary_figures(facts), size="card")
    tokens = facts["tokens_trained"]
    fact_list(
        "dictionary-facts",
        [
            ("Build key", facts["build_key"]),
            ("Code version", facts["code_version"]),
            ("Architecture", facts["architecture"]),
            ("Trained on", "elsewhere" if tokens is None else f"{tokens:,} tokens"),
            ("Trained", when(facts["created_at"])),
            *run_facts(reader.catalog, facts["run_id"]),
            ("Replaced by", facts["replaced_by"]),
            *((f"Input {name}", version) for name, version in facts["inputs"].items()),
        ],
    )
    with st.expander("Recipe, files and inputs, as its provenance holds them"):
        kept = {name: facts[name] for name in ("recipe_config", "model", "inputs", "files")}
        st.code(json.dumps(kept, indent=1, ensure_ascii=False), language=None, wrap_lines=True, height=300)


def show_shards(reader: Reader, facts: Row) -> None:
    """The activations that it pins, shard by shard: what it was trained on, what was held out to judge it."""
    st.subheader("Activations")
    pinned = facts["activation_set"]["shards"]
    held_out = sum(entry["split"] == "held_out" for entry in pinned)
    fact_list(
        "activations",
        [
            ("Site", facts["site"]),
            ("Hookpoint", facts["hookpoint"]),
            ("Normalised by", facts["activation_set"]["normalisation"]),
            ("Scale", figure(facts["activation_set"]["scale"])),
            ("Shards", f"{len(pinned) - held_out:,} to train on, {held_out:,} held out"),
        ],
    )
    rows = provenance_queries.shards_of(reader.catalog, facts["dictionary_id"], SHARDS_SHOWN).to_dicts()
    for row in rows:
        row["use"] = "held out" if row["split"] == "held_out" else "trained on"
        row["sha"] = (row["sha256"] or "–")[:16]
        row["state"] = "left the corpus, or was replaced" if row["retired_at"] else "in the corpus"
    columns = [
        Column("shard", "Shard", "mono"),
        Column("use", "Use", "short"),
        Column("n_tokens", "Tokens", "number", digits=0),
        Column("n_documents", "Documents", "number", digits=0),
        Column("data_version", "Data version", "mono", help="Content id of its activations"),
        Column("sha", "Documents' SHA-256", "mono", help="The first 16 digits"),
        Column("state", "Now", "quiet"),
    ]
    records(rows, columns, key="audit-shards", empty="Its provenance names no shard.")
    if len(pinned) > SHARDS_SHOWN:
        st.caption(f"{SHARDS_SHOWN} of {len(pinned):,}.")


def show_model(reader: Reader, facts: Row) -> None:
    """The model whose activations it reads."""
    st.subheader("Model")
    model = audit_queries.model(reader.catalog, facts["model_id"])
    if model is None:
        fact_list("model", [("Model", facts["model_id"]), ("In this catalog", "no: another one is read now")])
        return
    fact_list(
        "model",
        [
            ("Model", model["model_id"]),
            ("Name", ", ".join(model["names"])),
            ("Architecture", f"{model['architecture']}, {model['n_layers']} blocks of {model['d_model']:,} dimensions"),
            ("Weights", f"{model['n_parameters']:,}"),
            ("Reads", ", ".join(model["modalities"])),
            ("Source", model["source"]),
            ("Revision", model["revision"]),
        ],
    )
