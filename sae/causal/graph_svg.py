"""A graph of the way to an answer as one self-contained SVG: no script, no link, no font or style from elsewhere.

Positions go from left to right, sites from the bottom to the top, the answer on top. Labels and tokens are untrusted
text: they enter as text nodes, without control characters, cut to the width of their box.
"""

import re
import unicodedata
from collections import defaultdict
from xml.etree import ElementTree as ET

from sae.causal.graph import ANSWER, Edge, Graph, Node

_BOX, _LINE, _GAP, _MARGIN = (172, 42), 16, 14, 24
_TOP = 76
"""Where the answer's box begins."""
_LEVEL_GAP = 110
"""Room for edges between two levels."""
_UNREADABLE = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ud800-\udfff\ufeff\ufffe\uffff]")
_FOR, _AGAINST, _INK, _MUTED, _PAPER, _CARD, _FRAME = (
    "#2f7d4f",
    "#b5423c",
    "#1d2733",
    "#5d6b7a",
    "#ffffff",
    "#f4f7fa",
    "#c4cdd6",
)
_STYLE = {"font-family": "system-ui, 'Noto Sans', 'Noto Sans CJK JP', sans-serif"}


def graph_svg(graph: Graph) -> str:
    """The drawing, as text of an SVG file."""
    places, middles, levels, width, height = _places(graph)
    svg = ET.Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "viewBox": f"0 0 {width} {height}",
            "width": str(width),
            "height": str(height),
            "role": "img",
            **_STYLE,
        },
    )
    against = f"minus {graph.baseline}" if graph.baseline else "against the mean logit"
    heading = f"{graph.text} → {graph.predicted.strip()}"
    ET.SubElement(svg, "title").text = _clean(heading)
    ET.SubElement(svg, "rect", {"width": str(width), "height": str(height), "fill": _PAPER})
    _text(svg, _MARGIN, 28, heading, 15, _INK, width // 8, bold=True)
    note = f"logit of {graph.target} {against}: {graph.logit_diff:+.2f}; green for the answer, red against it"
    _text(svg, _MARGIN, 48, note, 12, _MUTED, width // 7)
    answer = (width / 2, float(_TOP))
    strongest = max((abs(edge.carries) for edge in graph.edges), default=1.0) or 1.0
    for edge in sorted(graph.edges, key=lambda edge: abs(edge.carries)):
        _curve(svg, edge, places, answer, strongest)
    _box(svg, answer[0] - _BOX[0] / 2, answer[1], graph.target, f"{graph.logit_diff:+.2f} logits", _INK, 2)
    for node in graph.nodes:
        colour = _FOR if node.attribution >= 0 else _AGAINST
        below = f"{node.activation:.2f} active, {node.attribution:+.2f}"
        _box(svg, *places[node.id], node.label or node.feature_id, below, colour, 1, title=_whole(node))
    for name, y in levels:
        _text(svg, _MARGIN, y - 8, name, 11, _MUTED, 60)
    for position, middle in middles.items():
        _text(svg, middle, height - 18, graph.tokens[position], 13, _INK, 24, bold=True, middle=True)
    return ET.tostring(svg, encoding="unicode")


def _places(graph: Graph) -> tuple[dict[str, tuple[float, float]], dict[int, float], list[tuple[str, float]], int, int]:
    """Top left corner of each node, middle of each position, name and top of each level, width and height.

    The nodes of a position stand side by side, so that every edge can be followed.
    """
    cells: defaultdict[tuple[int, int], list[Node]] = defaultdict(list)
    for node in sorted(graph.nodes, key=lambda node: -abs(node.attribution)):
        cells[node.position, node.level].append(node)
    places, middles, x = {}, {}, float(_MARGIN)
    tops = {
        level: float(_TOP + (len(graph.sites) - level) * (_BOX[1] + _LEVEL_GAP)) for level in range(len(graph.sites))
    }
    for position in sorted({position for position, _ in cells}):
        wide = max(len(nodes) for (at, _), nodes in cells.items() if at == position) * (_BOX[0] + _GAP)
        middles[position] = x + (wide - _GAP) / 2
        for level in tops:
            nodes = cells.get((position, level), [])
            start = x + (wide - len(nodes) * (_BOX[0] + _GAP)) / 2
            for number, node in enumerate(nodes):
                places[node.id] = (start + number * (_BOX[0] + _GAP), tops[level])
        x += wide + _GAP
    levels = [(site, tops[level]) for level, site in enumerate(graph.sites)]
    height = int(max(tops.values(), default=float(_TOP))) + _BOX[1] + 56
    return places, middles, levels, max(int(x) + _MARGIN, 760), height


def _curve(
    svg: ET.Element,
    edge: Edge,
    places: dict[str, tuple[float, float]],
    answer: tuple[float, float],
    strongest: float,
) -> None:
    x, y = places[edge.source]
    to = answer if edge.target == ANSWER else (places[edge.target][0] + _BOX[0] / 2, places[edge.target][1])
    start, end = (x + _BOX[0] / 2, y), (to[0], to[1] + _BOX[1])
    bend = max(24.0, (start[1] - end[1]) / 2)
    share = abs(edge.carries) / strongest
    path = ET.SubElement(
        svg,
        "path",
        {
            "d": f"M{start[0]:.0f} {start[1]:.0f} C{start[0]:.0f} {start[1] - bend:.0f} "
            f"{end[0]:.0f} {end[1] + bend:.0f} {end[0]:.0f} {end[1]:.0f}",
            "fill": "none",
            "stroke": _FOR if edge.carries >= 0 else _AGAINST,
            "stroke-width": f"{1 + 5 * share:.1f}",
            "stroke-opacity": f"{0.3 + 0.5 * share:.2f}",
        },
    )
    ET.SubElement(path, "title").text = f"weight {edge.weight:+.3f}, carries {edge.carries:+.3f} logits"


def _box(
    svg: ET.Element, x: float, y: float, label: str, below: str, colour: str, stroke: int, title: str = ""
) -> None:
    group = ET.SubElement(svg, "g")
    if title:
        ET.SubElement(group, "title").text = title
    shape = {"x": f"{x:.0f}", "y": f"{y:.0f}", "width": str(_BOX[0]), "height": str(_BOX[1]), "rx": "6"}
    ET.SubElement(group, "rect", {**shape, "fill": _CARD, "stroke": _FRAME, "stroke-width": str(stroke)})
    ET.SubElement(group, "rect", {**shape, "width": "4", "rx": "2", "fill": colour})
    _text(group, x + 12, y + _LINE + 2, label, 12, _INK, 24)
    _text(group, x + 12, y + 2 * _LINE + 2, below, 11, _MUTED, 28)


def _text(
    parent: ET.Element,
    x: float,
    y: float,
    text: str,
    size: int,
    colour: str,
    columns: int,
    bold: bool = False,
    middle: bool = False,
) -> None:
    attributes = {"x": f"{x:.0f}", "y": f"{y:.0f}", "font-size": str(size), "fill": colour}
    if bold:
        attributes["font-weight"] = "600"
    if middle:
        attributes["text-anchor"] = "middle"
    ET.SubElement(parent, "text", attributes).text = _cut(_clean(text), columns)


def _whole(node: Node) -> str:
    return _clean(f"{node.feature_id} at {node.token!r}: {node.label or 'no label'}")


def _clean(text: str) -> str:
    """Without what XML or a reader cannot show."""
    return _UNREADABLE.sub(" ", text)


def _cut(text: str, columns: int) -> str:
    """At most `columns` columns; East Asian letters take two."""
    used, kept = 0, []
    for letter in text:
        used += 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        if used > columns:
            return "".join(kept).rstrip() + "…"
        kept.append(letter)
    return "".join(kept)
