"""The way to an answer, site by site, as a picture: inside one, an SVG can run nothing and load nothing."""

import streamlit as st

from sae.causal.graph import Graph
from sae.causal.graph_svg import graph_svg


def show_way(graph: Graph, name: str) -> None:
    """Draw a graph, and offer it as the file `<name>.svg`."""
    st.subheader("The way to the answer")
    drawing = graph_svg(graph)
    st.image(drawing, width="content")
    if len(graph.sites) > 1:
        st.caption(
            "From left to right: features of an earlier site, those of a later one that they act on, the answer."
        )
    else:
        st.caption(
            "The model is read at one site, so there is one level of features. A later site under `sites` adds one."
        )
    st.download_button("SVG", drawing, file_name=f"{name}.svg", mime="image/svg+xml", icon=":material/download:")
