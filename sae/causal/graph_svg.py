"""A graph of the way to an answer as one self-contained SVG: no script, no link, no font or style from elsewhere.

Sites go from left to right, to the answer; the tokens of the prompt from the top to the bottom, each with the features
at it. Labels and tokens are untrusted text: they enter as text nodes, without control characters, cut to the width of
their box.
"""

import re
import unicodedata
from collections import defaultdict
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from sae.causal.graph import ANSWER, Edge, Graph, Node

_BOX, _LINE, _GAP, _MARGIN = (216, 40), 16, 8, 24
_TOP = 96
"""Where the first token begins."""
_TOKENS = 104
"""Width of the column of tokens."""
_BETWEEN = 100
"""Room for edges between two sites."""
_BAND_GAP = 20
"""Room between the features of two tokens."""
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


@dataclass(frozen=True)
class _Layout:
    """Where things stand, in pixels."""

    boxes: dict[str, tuple[float, float]]
    """Top left corner of each node's box, and of the answer's."""
    tokens: dict[int, float]
    """Top of the band of each position."""
    sites: list[tuple[str, float]]
    """Name of each level and the left of its column."""
    width: int
    height: int


def graph_svg(graph: Graph) -> str:
    """The drawing, as text of an SVG file."""
    layout = _layout(graph)
    width, height = str(layout.width), str(layout.height)
    svg = ET.Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "viewBox": f"0 0 {width} {height}",
            "width": width,
            "height": height,
            "role": "img",
            **_STYLE,
        },
    )
    against = f"minus {graph.baseline}" if graph.baseline else "against the mean logit"
    heading = f"{graph.text} → {graph.predicted.strip()}"
    ET.SubElement(svg, "title").text = _clean(heading)
    ET.SubElement(svg, "rect", {"width": width, "height": height, "fill": _PAPER})
    _text(svg, _MARGIN, 28, heading, 15, _INK, layout.width // 8, bold=True)
    note = f"logit of {graph.target} {against}: {graph.logit_diff:+.2f}; green for the answer, red against it"
    _text(svg, _MARGIN, 48, note, 12, _MUTED, layout.width // 7)
    for position, top in layout.tokens.items():
        _rule(svg, top - _BAND_GAP / 2, layout.width)
        _text(svg, _MARGIN, top + 1.5 * _LINE, graph.tokens[position], 13, _INK, 13, bold=True)
    for name, left in layout.sites:
        _text(svg, left, _TOP - _BAND_GAP, name, 11, _MUTED, 28)
    strongest = max((abs(edge.carries) for edge in graph.edges), default=1.0) or 1.0
    for edge in sorted(graph.edges, key=lambda edge: abs(edge.carries)):
        _curve(svg, edge, layout.boxes[edge.source], layout.boxes[edge.target], strongest)
    _box(svg, *layout.boxes[ANSWER], graph.target, f"{graph.logit_diff:+.2f} logits", _INK, 2)
    for node in graph.nodes:
        colour = _FOR if node.attribution >= 0 else _AGAINST
        below = f"{node.activation:.2f} active, {node.attribution:+.2f}"
        _box(svg, *layout.boxes[node.id], node.label or node.feature_id, below, colour, 1, title=_whole(node))
    return ET.tostring(svg, encoding="unicode")


def _layout(graph: Graph) -> _Layout:
    """The features of a token and a site stand one below the other, so that every edge can be followed."""
    cells: defaultdict[tuple[int, int], list[Node]] = defaultdict(list)
    for node in sorted(graph.nodes, key=lambda node: -abs(node.attribution)):
        cells[node.position, node.level].append(node)
    lefts = [float(_MARGIN + _TOKENS + level * (_BOX[0] + _BETWEEN)) for level in range(len(graph.sites) + 1)]
    boxes: dict[str, tuple[float, float]] = {}
    tokens: dict[int, float] = {}
    top = float(_TOP)
    for position in sorted({position for position, _ in cells}):
        tokens[position] = top
        for level, left in enumerate(lefts):
            for row, node in enumerate(cells.get((position, level), [])):
                boxes[node.id] = (left, top + row * (_BOX[1] + _GAP))
        rows = max(len(nodes) for (at, _), nodes in cells.items() if at == position)
        top += rows * (_BOX[1] + _GAP) - _GAP + _BAND_GAP
    bottom = max(top - _BAND_GAP, float(_TOP + _BOX[1]))
    boxes[ANSWER] = (lefts[-1], (_TOP + bottom - _BOX[1]) / 2)
    sites = list(zip(graph.sites, lefts, strict=False))
    return _Layout(boxes, tokens, sites, int(lefts[-1]) + _BOX[0] + _MARGIN, int(bottom) + _MARGIN)


def _rule(svg: ET.Element, y: float, width: int) -> None:
    line = {"x": str(_MARGIN), "y": f"{y:.0f}", "width": str(width - 2 * _MARGIN), "height": "1", "fill": _CARD}
    ET.SubElement(svg, "rect", line)


def _curve(
    svg: ET.Element, edge: Edge, source: tuple[float, float], target: tuple[float, float], strongest: float
) -> None:
    start, end = (source[0] + _BOX[0], source[1] + _BOX[1] / 2), (target[0], target[1] + _BOX[1] / 2)
    bend = (end[0] - start[0]) / 2
    share = abs(edge.carries) / strongest
    path = ET.SubElement(
        svg,
        "path",
        {
            "d": f"M{start[0]:.0f} {start[1]:.0f} C{start[0] + bend:.0f} {start[1]:.0f} "
            f"{end[0] - bend:.0f} {end[1]:.0f} {end[0]:.0f} {end[1]:.0f}",
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
    _text(group, x + 12, y + _LINE + 1, label, 12, _INK, 31)
    _text(group, x + 12, y + 2 * _LINE + 1, below, 11, _MUTED, 31)


def _text(
    parent: ET.Element, x: float, y: float, text: str, size: int, colour: str, columns: int, bold: bool = False
) -> None:
    attributes = {"x": f"{x:.0f}", "y": f"{y:.0f}", "font-size": str(size), "fill": colour}
    if bold:
        attributes["font-weight"] = "600"
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
