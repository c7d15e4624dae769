"""Map, the home page: every feature of a dictionary where its decoder row puts it, coloured by cluster or density."""

from typing import Any

import streamlit as st

from catalog_ui import queries
from catalog_ui.access import Reader, require_reader
from catalog_ui.components.dictionaries import choose_dictionary, dictionary_figures
from catalog_ui.components.examples import example_passage
from catalog_ui.components.fact_sheet import Chip, heading
from catalog_ui.components.feature_map import LABELS_SENT, POINTS_SHOWN, encode_map, feature_map
from catalog_ui.components.passages import passages
from catalog_ui.components.records import FEATURE_PAGE
from catalog_ui.wording import figure, one_in, share
from sae.identity import feature_id


@st.cache_data(max_entries=8, show_spinner="Reading the map")
def _payload(
    _reader: Reader, store: str, version: str, dictionary_id: str, colour: str, highlight: str
) -> tuple[bytes, int, int]:
    """The encoded map, how many features are on it and how many there are; cached by store and version."""
    points = queries.map_points(_reader.catalog, dictionary_id)
    shown = points if points.height <= POINTS_SHOWN else points.top_k(POINTS_SHOWN, by="density").sort("index")
    clusters = queries.clusters(_reader.catalog, dictionary_id)
    mode = "density" if colour == "density" else "cluster"
    return encode_map(shown, clusters, dictionary_id, mode, highlight), shown.height, points.height


def _feature_card(reader: Reader, selected: str) -> None:
    row = queries.feature(reader.catalog, selected)
    if row is None:
        return
    heading(
        "card",
        row["label"] or "No label",
        row["explanation"] or "",
        [Chip(row["cluster"] or "no cluster")] + ([Chip("dead", "bad")] if row["is_dead"] else []),
        [
            ("Fires on", one_in(row["density"])),
            ("Largest activation", figure(row["max_activation"])),
            ("Confidence", share(row["confidence"])),
        ],
        size="card",
    )
    top = queries.examples(reader.catalog, selected, "top").head(3)
    passages([example_passage(reader, example) for example in top.to_dicts()], key="card-examples")
    st.page_link(FEATURE_PAGE, label="Open the feature", icon=":material/arrow_forward:", query_params={"id": selected})


def _dictionary_card(reader: Reader, dictionary: dict[str, Any]) -> None:
    heading(
        "dictionary",
        dictionary["recipe"],
        "Click a point to see its label and its strongest examples.",
        facts=[
            ("Model", dictionary["model"]),
            ("Hookpoint", dictionary["hookpoint"]),
            *dictionary_figures(dictionary),
        ],
        size="card",
    )
    st.dataframe(
        queries.clusters(reader.catalog, dictionary["dictionary_id"]).select("label", "size"),
        hide_index=True,
        height=300,
        column_config={
            # Names are long: a width of their own keeps the sizes in sight.
            "label": st.column_config.TextColumn("Cluster", width=230),
            "size": st.column_config.NumberColumn("Features", width=70),
        },
    )


def _notes(dictionary: dict[str, Any], shown: int, on_map: int) -> str:
    notes = [f"{on_map:,} of {dictionary['d_sae']:,} features; near means alike in decoder direction (UMAP)."]
    if shown < on_map:
        notes.append(f"The {shown:,} that fire most often are shown.")
    if shown > LABELS_SENT:
        notes.append("Click a point for its label.")
    return " ".join(notes)


reader = require_reader()
st.title("Map")
controls = st.columns([3, 1.4, 2], vertical_alignment="bottom")
with controls[0]:
    dictionary = choose_dictionary(reader)
with controls[1]:
    colour = st.segmented_control(
        "Colour by", ["cluster", "density"], default="cluster", required=True, key="colour", bind="query-params"
    )
with controls[2]:
    highlight = st.text_input(
        "Highlight labels that contain", key="highlight", bind="query-params", placeholder="bridge"
    )

dictionary_id = dictionary["dictionary_id"]
payload, shown, on_map = _payload(
    reader, reader.store, reader.version, dictionary_id, colour or "cluster", highlight or ""
)
left, right = st.columns([2.5, 1], gap="medium")
picked = None
with left:
    if on_map:
        picked = feature_map(payload, key=f"map-{dictionary_id}")
        st.caption(_notes(dictionary, shown, on_map))
    else:
        st.info("No feature of this dictionary has a place on the map. `atlas run` makes the map.")
with right:
    if picked is None:
        _dictionary_card(reader, dictionary)
    else:
        _feature_card(reader, feature_id(dictionary_id, picked))
