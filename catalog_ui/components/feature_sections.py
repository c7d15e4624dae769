"""The sections of a feature's page. Each reads what it shows and says so where nothing is stored."""

from typing import Any

import altair as alt
import polars as pl
import streamlit as st

from catalog_ui import queries
from catalog_ui.access import Reader
from catalog_ui.components.concept_rows import named_once
from catalog_ui.components.examples import example_passage
from catalog_ui.components.fact_sheet import fact_list
from catalog_ui.components.passages import passages
from catalog_ui.components.records import AUDIT_PAGE, Column, feature_link, records
from catalog_ui.wording import when

Row = dict[str, Any]

_KINDS = {
    "top": "The strongest activations in the pinned shards.",
    "quantile": "Drawn from bins linearly spaced between 0 and the largest activation, the highest bin first.",
    "random": "Drawn at random from the tokens on which the feature is active, the top ones left out.",
    "out_of_context": "Positions at which the feature is silent; elsewhere in the same passage it may be active.",
}
_TABS = ("Top", "Quantile", "Random", "Silent")


def show_examples(reader: Reader, row: Row) -> None:
    """Passages by kind, tokens shaded by activation on one scale, pictures beside them."""
    st.subheader("Examples")
    for tab, (kind, note) in zip(st.tabs(_TABS), _KINDS.items(), strict=True):
        with tab:
            st.caption(note)
            frame = queries.examples(reader.catalog, row["feature_id"], kind)
            items = [example_passage(reader, example) for example in frame.to_dicts()]
            passages(items, key=f"examples-{kind}", scale=row["max_activation"] or None)


def show_neighbours(reader: Reader, row: Row) -> None:
    """Nearest features in this dictionary and in others, and those that fire together."""
    st.subheader("Neighbours")
    frame = queries.neighbors(reader.catalog, row["feature_id"])
    same, cross, together = st.tabs(["Same dictionary", "Other dictionaries", "Fires together"])
    columns = [Column("feature", "Feature", "feature"), Column("similarity", "Decoder cosine", "bar", scale=1.0)]
    for tab, scope in ((same, "same"), (cross, "cross")):
        with tab:
            rows = [
                {
                    "feature": feature_link(r["neighbor_id"], r["label"], r["recipe"] if scope == "cross" else ""),
                    "similarity": r["similarity"],
                }
                for r in frame.filter(pl.col("scope") == scope).to_dicts()
            ]
            records(rows, columns, key=f"neighbours-{scope}", empty="No neighbour is stored.")
            if rows:
                st.page_link(
                    "app_pages/compare.py",
                    label="Compare with the nearest",
                    icon=":material/compare_arrows:",
                    query_params={"a": row["feature_id"], "b": rows[0]["feature"]["id"]},
                )
    with together:
        rows = [
            {"feature": feature_link(r["other_id"], r["label"]), "jaccard": r["jaccard"], "pmi": r["pmi"]}
            for r in queries.coactivations(reader.catalog, row["feature_id"]).to_dicts()
        ]
        columns = [
            Column("feature", "Feature", "feature"),
            Column(
                "jaccard", "Jaccard", "bar", scale=1.0, help="Tokens on which both fire, of those on which either does"
            ),
            Column("pmi", "PMI", "number", help="Pointwise mutual information"),
        ]
        records(rows, columns, key="coactivations", empty="No feature fires together with this one.")


def show_origin(reader: Reader, row: Row) -> None:
    """Who wrote the label, from what, at what cost; its scores; earlier labels."""
    st.subheader("Where the label came from")
    address = {"id": row["feature_id"]}
    st.page_link(AUDIT_PAGE, label="Follow it to the corpus", icon=":material/fact_check:", query_params=address)
    if row["label_id"] is None:
        st.caption("This feature has no label.")
        return
    origin = queries.label_origin(reader.catalog, row["label_id"])
    fact_list(
        "origin",
        [
            ("Labeler", origin["labeler"]),
            ("Model", origin["model"]),
            ("Prompt version", origin["prompt_version"]),
            ("Prompt SHA-256", origin["prompt_sha256"]),
            ("Seed, attempt", f"{origin['seed']}, {origin['attempt']}"),
            ("Examples", f"{origin['n_shown']} shown, {origin['n_held_out']} held out"),
            ("Origin", origin["origin"]),
            ("Run", origin["run_id"]),
            ("Cost", f"{origin['cost_usd'] or 0:.4f} USD"),
            ("Tokens in, out", f"{origin['input_tokens'] or 0:,}, {origin['output_tokens'] or 0:,}"),
            ("Created", when(origin["created_at"])),
            ("Label", origin["label_id"]),
        ],
    )
    scores = queries.label_scores(reader.catalog, row["label_id"]).to_dicts()
    columns = [
        Column("scorer", "Scorer"),
        Column("score", "Score", "bar", scale=1.0),
        Column("n", "n", "number", digits=0),
    ]
    records(scores, columns, key="scores", empty="No scorer has read this label.")
    history = queries.label_history(reader.catalog, row["feature_id"])
    if history.height > 1:
        with st.expander(f"All {history.height} labels of this feature"):
            st.dataframe(history, hide_index=True)
    with st.expander("Prompt and raw reply"):
        for name, text in (("Prompt", origin["prompt"]), ("Reply", origin["raw_reply"])):
            st.caption(name)
            st.code(text or "none: this labeler asks no model", language=None, wrap_lines=True)


def show_concepts(reader: Reader, row: Row) -> None:
    """Precision, recall and F1 against known concepts, by slice."""
    st.subheader("Concepts")
    rows = named_once(queries.concepts_of(reader.catalog, row["feature_id"]).to_dicts())
    columns = [
        Column("concept", "Concept"),
        Column("slice", "Slice", "quiet"),
        Column("precision", "Precision", "number"),
        Column("recall", "Recall", "number"),
        Column("f1", "F1", "bar", scale=1.0),
        Column("n", "n", "number", digits=0, help="Positions that hold the concept"),
    ]
    records(rows, columns, key="concepts", empty="This feature is not the best match of any known concept.")


def show_logit_weights(reader: Reader, row: Row) -> None:
    """The tokens that the feature's decoder row raises and lowers most, through the unembedding."""
    st.subheader("Logit weights")
    frame = queries.logit_weights(reader.catalog, row["feature_id"])
    scale = frame["weight"].abs().max()
    columns = [
        Column("token", "Token", "token"),
        Column("weight", "Weight", "signed", scale=float(scale) if isinstance(scale, float) else None),
    ]
    up, down = st.tabs(["Raised", "Lowered"])
    for tab, sign in ((up, "positive"), (down, "negative")):
        with tab:
            rows = frame.filter(pl.col("sign") == sign).head(10).to_dicts()
            records(rows, columns, key=f"logits-{sign}", empty="No token is stored.")


def show_histograms(reader: Reader, row: Row) -> None:
    """The dictionary's densities with this feature among them, and the activations of its stored passages."""
    left, right = st.columns(2, gap="medium")
    with left:
        st.subheader("Density")
        st.altair_chart(_density_chart(queries.density_histogram(reader.catalog, row["dictionary_id"]), row["density"]))
        st.caption("All live features of the dictionary; the line is this one.")
    with right:
        st.subheader("Activations")
        values = queries.example_activations(reader.catalog, row["feature_id"])
        if values.is_empty():
            st.caption("No active passage is stored.")
            return
        st.altair_chart(_activation_chart(values))
        st.caption("The stored passages, not the whole corpus: only the random ones follow its distribution.")


def _density_chart(densities: pl.DataFrame, density: float) -> alt.LayerChart | alt.FacetChart:
    bars = (
        alt.Chart(densities.with_columns(end=pl.col("log_density") + 0.25).to_arrow())
        .mark_bar(color="#8B9296", opacity=0.6)
        .encode(
            x=alt.X("log_density:Q", bin="binned", title="log₁₀ of the share of tokens"),
            x2="end:Q",
            y=alt.Y("n:Q", title="features"),
        )
    )
    layers: list[alt.Chart] = [bars]
    if density:
        here = pl.DataFrame({"density": [density]}).select(pl.col("density").log10())
        layers.append(alt.Chart(here.to_arrow()).mark_rule(color="#D9772E", strokeWidth=2).encode(x="density:Q"))
    return alt.layer(*layers).properties(height=200)


def _activation_chart(values: pl.DataFrame) -> alt.Chart:
    return (
        alt.Chart(values.to_arrow())
        .mark_bar()
        .encode(
            x=alt.X("activation:Q", bin=alt.Bin(maxbins=20), title="activation"),
            y=alt.Y("count():Q", title="passages"),
            color=alt.Color("kind:N", title=None, sort=["top", "quantile", "random"], legend=alt.Legend(orient="top")),
        )
        .properties(height=200)
    )
