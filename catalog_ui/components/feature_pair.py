"""Two features side by side: what each is, how alike they are, their passages, concepts and logit weights."""

from typing import Any

import polars as pl
import streamlit as st

from catalog_ui import feature_pair_queries, queries
from catalog_ui.access import Reader
from catalog_ui.components.concept_rows import named_once
from catalog_ui.components.examples import example_passage
from catalog_ui.components.fact_sheet import Chip, heading
from catalog_ui.components.passages import passages
from catalog_ui.components.records import AUDIT_PAGE, FEATURE_PAGE, Column, records
from catalog_ui.wording import figure, mix, one_in, share

Row = dict[str, Any]

TOP_SHOWN = 8
TOKENS_SHOWN = 12


def show_feature(reader: Reader, letter: str, row: Row) -> None:
    """One of the two, as the head of its own page says it, and the ways there."""
    scores = feature_pair_queries.scores_of(reader.catalog, row["feature_id"]).to_dicts()
    chips = [Chip(letter), Chip(f"{row['site']} · {row['recipe']}"), Chip(row["feature_id"])]
    if row["is_dead"]:
        chips.append(Chip("dead", "bad"))
    heading(
        f"pair-{letter}",
        row["label"] or f"Feature {row['index']}, no label",
        row["explanation"] or "",
        chips,
        [
            ("Fires on", one_in(row["density"])),
            ("Largest activation", figure(row["max_activation"])),
            ("Label's confidence", share(row["confidence"])),
            *((f"Score, {score['scorer']}", figure(score["score"], 2)) for score in scores),
            ("Languages", mix(row["languages"])),
            ("Modalities", mix(row["modalities"])),
        ],
        size="card",
    )
    with st.container(horizontal=True, gap="small"):
        address = {"id": row["feature_id"]}
        st.page_link(FEATURE_PAGE, label="Open the feature", icon=":material/lens:", query_params=address)
        st.page_link(AUDIT_PAGE, label="Where it came from", icon=":material/fact_check:", query_params=address)


def show_between(reader: Reader, a: Row, b: Row) -> None:
    """How alike two features are, in the figures that the catalog holds, and their passages beside each other."""
    n, shared = feature_pair_queries.shared_passages(reader.catalog, a["feature_id"], b["feature_id"])
    st.subheader("Between them")
    passages_of_both = ("Passages stored of both", f"{n:,}")
    facts = [*_directions(reader, a, b), *_coactivation(reader, a, b), passages_of_both]
    heading("between", "", "", facts=facts, size="card")
    _show_passages(reader, a, b, n, shared)


def _show_passages(reader: Reader, a: Row, b: Row, n: int, shared: pl.DataFrame) -> None:
    st.subheader("Examples")
    strongest, both = st.tabs(["Strongest of each", "Where both are active"])
    with strongest:
        for letter, row, column in zip("AB", (a, b), st.columns(2, gap="large"), strict=True):
            with column:
                _passages(
                    reader, row, f"top-{letter}", queries.examples(reader.catalog, row["feature_id"], "top")[:TOP_SHOWN]
                )
    with both:
        st.caption(
            f"{n:,} tokens at which both have a stored passage; each side is shaded by its own activation."
            if n
            else "At no token have both a stored passage."
        )
        for letter, row, column in zip("AB", (a, b), st.columns(2, gap="large"), strict=True):
            with column:
                ids = shared[f"example_{letter.lower()}"].to_list()
                found = feature_pair_queries.examples_of(reader.catalog, row["feature_id"], ids) if n else None
                if found is not None:
                    _passages(reader, row, f"both-{letter}", found)


def show_concepts(reader: Reader, a: Row, b: Row) -> None:
    """The F1 of both on every concept that either was scored on."""
    st.subheader("Concepts")
    rows = named_once(feature_pair_queries.concepts_beside(reader.catalog, a["feature_id"], b["feature_id"]).to_dicts())
    columns = [
        Column("concept", "Concept"),
        Column("slice", "Slice", "quiet"),
        Column("f1_a", "F1 of A", "bar", scale=1.0),
        Column("f1_b", "F1 of B", "bar", scale=1.0),
        Column("n", "n", "number", digits=0, help="Mentions scored"),
    ]
    records(rows, columns, key="pair-concepts", empty="Neither is the best match of any known concept.")


def show_logit_weights(reader: Reader, a: Row, b: Row) -> None:
    """The tokens that either raises or lowers most, and by how much each does."""
    st.subheader("Logit weights")
    frame = feature_pair_queries.logit_weights_beside(reader.catalog, a["feature_id"], b["feature_id"])
    sizes = pl.max_horizontal(pl.col("weight_a", "weight_b").abs())
    largest = frame.select(sizes.max()).item() if frame.height else None
    columns = [
        Column("token", "Token", "token"),
        Column("weight_a", "A", "signed", scale=largest),
        Column("weight_b", "B", "signed", scale=largest),
    ]
    total = pl.col("weight_a").fill_null(0) + pl.col("weight_b").fill_null(0)
    up, down = st.tabs(["Raised", "Lowered"])
    for tab, key, chosen in ((up, "up", total >= 0), (down, "down", total < 0)):
        with tab:
            rows = frame.filter(chosen).head(TOKENS_SHOWN).to_dicts()
            records(rows, columns, key=f"pair-logits-{key}", empty="No token is stored.")
    st.caption("A dash: the token is not among those stored of that feature, so its weight is smaller.")


def _directions(reader: Reader, a: Row, b: Row) -> list[tuple[str, str | None]]:
    if a["site"] != b["site"]:
        return [("Decoder cosine", "none: they read different sites")]
    stored = feature_pair_queries.cosines(reader.catalog, a["feature_id"], b["feature_id"])
    known = next((row["cosine"] for row in stored if row["cosine"] is not None), None)
    if known is None:
        known = feature_pair_queries.family_cosine(reader.catalog, a["feature_id"], b["feature_id"])
    if known is None:
        least = [row["least"] for row in stored]
        return [("Decoder cosine", f"under {figure(min(least), 2)}: not stored" if least else "not stored")]
    ranks = {row["feature_id"]: row["rank"] for row in stored}
    return [
        ("Decoder cosine", figure(known)),
        ("B among A's nearest", _place(ranks.get(a["feature_id"]))),
        ("A among B's nearest", _place(ranks.get(b["feature_id"]))),
    ]


def _coactivation(reader: Reader, a: Row, b: Row) -> list[tuple[str, str | None]]:
    if a["dictionary_id"] != b["dictionary_id"]:
        return [("Fire together", "counted within a dictionary only")]
    found = feature_pair_queries.together(reader.catalog, a["feature_id"], b["feature_id"])
    if found is None:
        return [("Fire together", "less than those stored")]
    return [
        ("Fire together, Jaccard", figure(found["jaccard"])),
        ("Pointwise mutual information", figure(found["pmi"])),
    ]


def _place(rank: int | None) -> str:
    return "not stored" if rank is None else f"no. {rank}"


def _passages(reader: Reader, row: Row, key: str, frame: pl.DataFrame) -> None:
    items = [example_passage(reader, example) for example in frame.to_dicts()]
    passages(items, key=f"pair-{key}", scale=row["max_activation"] or None)
