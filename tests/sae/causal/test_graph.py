"""The way to an answer: what is kept of it, and how it is drawn."""

from itertools import combinations
from xml.etree import ElementTree as ET

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sae.causal.edges import EDGES
from sae.causal.graph import ANSWER, Graph, way_to_answer
from sae.causal.graph_svg import graph_svg
from sae.causal.tables import ATTRIBUTIONS

TOKENS = ["<bos>", "Kobe Bryant", "is"]
PROMPT = {
    "text": "Kobe Bryant is",
    "tokens": TOKENS,
    "target": "Sacramento",
    "baseline": "Albany",
    "predicted": "Sacramento",
    "logit_diff": 6.5,
}
LEVELS = [("m.layers.4", "early"), ("m.layers.5", "late")]
NAMESPACE = "{http://www.w3.org/2000/svg}"


def attribution(dictionary: str, index: int, position: int, activation: float, value: float) -> tuple:
    feature = (dictionary, f"{dictionary}:{index}", index, position, TOKENS[position])
    return ("p", *feature, activation, value, None, None, 1)


ATTRIBUTED = pl.DataFrame(
    [
        attribution("late", 1, 2, 4.0, 2.0),
        attribution("late", 2, 2, 2.0, -1.0),
        attribution("late", 3, 1, 1.0, 0.1),
        attribution("early", 7, 1, 5.0, 0.5),
        attribution("early", 8, 2, 1.0, 0.2),
        attribution("early", 9, 2, 1.0, 0.0),
    ],
    schema=ATTRIBUTIONS,
    orient="row",
)
JOINED = pl.DataFrame(
    [
        ("p", "early:7", 1, "late:1", 2, 1.0),
        ("p", "early:8", 2, "late:1", 2, 0.5),
        ("p", "early:7", 1, "late:2", 2, 0.2),
        ("p", "early:9", 2, "late:3", 1, 0.9),
        ("p", "early:6", 2, "late:1", 2, 9.0),
    ],
    schema=EDGES,
    orient="row",
)


def way(**more: int) -> Graph:
    return way_to_answer(PROMPT, LEVELS, ATTRIBUTED, JOINED, {"late:1": "California", "early:7": "Lakers"}, **more)


def test_an_edge_carries_the_change_times_what_a_unit_of_the_target_is_worth():
    carried = {(edge.source, edge.target): edge.carries for edge in way().edges}
    assert carried["early:7@1", "late:1@2"] == pytest.approx(1.0 * 2.0 / 4.0)
    assert carried["early:7@1", "late:2@2"] == pytest.approx(0.2 * -1.0 / 2.0)
    assert carried["late:1@2", ANSWER] == 2.0


def test_only_what_leads_to_the_answer_is_kept():
    graph = way(into_answer=1, into_feature=1)
    assert [(edge.source, edge.target) for edge in graph.edges] == [("late:1@2", ANSWER), ("early:7@1", "late:1@2")]
    assert [node.id for node in graph.nodes] == ["early:7@1", "late:1@2"]
    assert [node.label for node in graph.nodes] == ["Lakers", "California"]


def test_each_kept_feature_shows_its_strongest_sources():
    between = [edge for edge in way(into_feature=1).edges if edge.target != ANSWER]
    assert [(edge.source, edge.target) for edge in between] == [
        ("early:7@1", "late:1@2"),
        ("early:7@1", "late:2@2"),
        ("early:9@2", "late:3@1"),
    ]


def test_an_earlier_level_keeps_the_features_that_carry_most():
    graph = way(of_level=1)
    assert {edge.source for edge in graph.edges if edge.target != ANSWER} == {"early:7@1"}


def test_edges_of_features_that_are_not_attributed_are_left_out():
    assert not any("early:6" in edge.source for edge in way().edges)


def test_one_site_gives_a_graph_of_one_level():
    graph = way_to_answer(PROMPT, LEVELS[1:], ATTRIBUTED, JOINED.clear(), {})
    assert {edge.target for edge in graph.edges} == {ANSWER}
    assert len(graph.nodes) == 3


def test_the_json_holds_nodes_and_edges():
    found = way().to_json()
    assert set(found["nodes"][0]) >= {"feature_id", "label", "position", "token", "activation"}
    assert set(found["edges"][0]) >= {"source", "target", "weight"}


def test_the_drawing_names_every_node_and_draws_every_edge():
    graph = way()
    svg = ET.fromstring(graph_svg(graph))
    texts = [text.text for text in svg.iter(f"{NAMESPACE}text")]
    assert {"California", "Lakers", "Kobe Bryant", "Sacramento", "m.layers.4", "m.layers.5"} <= set(texts)
    assert len(list(svg.iter(f"{NAMESPACE}path"))) == len(graph.edges)


@settings(deadline=None, max_examples=30)
@given(
    features=st.lists(
        st.tuples(st.sampled_from(["early", "late"]), st.integers(0, 9), st.integers(0, 2)), min_size=1, unique=True
    )
)
def test_no_box_covers_another_and_all_stand_in_the_drawing(features: list[tuple[str, int, int]]):
    rows = [attribution(*feature, 1.0, 1.0) for feature in features]
    early = [row for row in rows if row[1] == "early"]
    joined = [("p", row[2], row[4], other[2], other[4], 1.0) for row in early for other in rows if other[1] == "late"]
    attributed = pl.DataFrame(rows, schema=ATTRIBUTIONS, orient="row")
    graph = way_to_answer(PROMPT, LEVELS, attributed, pl.DataFrame(joined, schema=EDGES, orient="row"), {})

    svg = ET.fromstring(graph_svg(graph))

    rounded = [rect for rect in svg.iter(f"{NAMESPACE}rect") if rect.get("rx") == "6"]
    boxes = [tuple(float(rect.get(name, "")) for name in ("x", "y", "width", "height")) for rect in rounded]
    assert len(boxes) == len(graph.nodes) + 1
    width, height = float(svg.get("width", "")), float(svg.get("height", ""))
    assert all(x >= 0 and y >= 0 and x + w <= width and y + h <= height for x, y, w, h in boxes)
    for (x, y, w, h), (other_x, other_y, _, _) in combinations(boxes, 2):
        assert abs(x - other_x) >= w or abs(y - other_y) >= h


@settings(deadline=None, max_examples=60)
@given(label=st.text(max_size=60), token=st.text(min_size=1, max_size=20), text=st.text(max_size=80))
def test_untrusted_text_stays_text(label: str, token: str, text: str):
    hostile = "</text><script>alert(1)</script>&x;" + label
    rows = ATTRIBUTED.with_columns(token=pl.lit(hostile))
    prompt = PROMPT | {"text": hostile + text, "tokens": [token, hostile, token], "predicted": token, "target": hostile}
    graph = way_to_answer(prompt, LEVELS, rows, JOINED, {"late:1": hostile, "early:7": label})

    svg = ET.fromstring(graph_svg(graph))

    assert {element.tag.removeprefix(NAMESPACE) for element in svg.iter()} <= {
        "svg", "title", "rect", "text", "g", "path",
    }  # fmt: skip
    names = {name for element in svg.iter() for name in element.attrib}
    assert not any(name.startswith("on") or "href" in name or name == "style" for name in names)


def test_a_prompt_without_any_feature_is_drawn_all_the_same():
    graph = way_to_answer(PROMPT, LEVELS, ATTRIBUTED.clear(), JOINED.clear(), {})
    assert ET.fromstring(graph_svg(graph)).tag == f"{NAMESPACE}svg"
