"""The way to an answer as a graph: features as nodes at their positions, level by level, pruned to what can be read.

Circuit graphs of this kind are drawn in "Features as computational intermediates" (Scaling Monosemanticity). An edge
into the answer is a feature's attribution; an edge between two features is the change of the later one's activation
that the earlier one accounts for. What an edge carries of the answer, by which it is kept or left out, is that change
times the attribution of a unit of the later one's activation.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

INTO_ANSWER = 8
"""Features of the last level that are kept, by |attribution|."""
INTO_FEATURE = 4
"""Edges into each kept feature, by what they carry: each shows where it came from, not only the strongest."""
OF_LEVEL = 12
"""Features of an earlier level that are kept, by what their edges carry together."""
ANSWER = "answer"


@dataclass(frozen=True)
class Node:
    """A feature at a position."""

    id: str
    """`<feature_id>@<position>`."""
    feature_id: str
    label: str | None
    position: int
    token: str
    activation: float
    attribution: float
    """Of the answer to it, in logits."""
    level: int
    """Number of its site, from 0, in the model's order."""


@dataclass(frozen=True)
class Edge:
    """What one node does to a later one, or to the answer."""

    source: str
    target: str
    """A node's id, or `answer`."""
    weight: float
    """Change of the target's activation; of the answer's logit difference where the target is the answer."""
    carries: float
    """Part of the logit difference that goes this way, in logits."""


@dataclass(frozen=True)
class Graph:
    """The way to one answer."""

    text: str
    tokens: list[str]
    target: str
    baseline: str | None
    predicted: str
    logit_diff: float
    sites: list[str]
    """Names of the levels, the earliest first."""
    nodes: list[Node]
    edges: list[Edge]

    def to_json(self) -> dict[str, Any]:
        """The graph as a JSON object."""
        return asdict(self)


def way_to_answer(
    prompt: Mapping[str, Any],
    levels: Sequence[tuple[str, str]],
    attributions: pl.DataFrame,
    edges: pl.DataFrame,
    labels: Mapping[str, str],
    into_answer: int = INTO_ANSWER,
    into_feature: int = INTO_FEATURE,
    of_level: int = OF_LEVEL,
) -> Graph:
    """The graph of one prompt.

    :param prompt: its row of `prompts`
    :param levels: (site, dictionary_id) in the model's order
    :param attributions: rows of `attributions` of this prompt
    :param edges: rows of `attribution_edges` of this prompt
    """
    number = {dictionary_id: level for level, (_, dictionary_id) in enumerate(levels)}
    nodes = {node.id: node for node in _nodes(attributions, number, labels)}
    last = [node for node in nodes.values() if node.level == len(levels) - 1]
    kept = [
        Edge(node.id, ANSWER, node.attribution, node.attribution)
        for node in sorted(last, key=lambda node: -abs(node.attribution))[:into_answer]
    ]
    between = _between(edges, nodes)
    reached = {edge.source for edge in kept}
    for level in range(len(levels) - 1, 0, -1):
        targets = sorted(name for name in reached if nodes[name].level == level)
        into = _strongest_into(between, targets, into_feature, of_level)
        kept += into
        reached |= {edge.source for edge in into}
    return Graph(
        text=prompt["text"],
        tokens=list(prompt["tokens"]),
        target=prompt["target"],
        baseline=prompt["baseline"],
        predicted=prompt["predicted"],
        logit_diff=prompt["logit_diff"],
        sites=[site for site, _ in levels],
        nodes=sorted((nodes[name] for name in reached), key=lambda node: (node.level, node.position, node.id)),
        edges=kept,
    )


def _nodes(attributions: pl.DataFrame, number: Mapping[str, int], labels: Mapping[str, str]) -> list[Node]:
    return [
        Node(
            id=f"{row['feature_id']}@{row['position']}",
            feature_id=row["feature_id"],
            label=labels.get(row["feature_id"]),
            position=row["position"],
            token=row["token"],
            activation=row["activation"],
            attribution=row["attribution"],
            level=number[row["dictionary_id"]],
        )
        for row in attributions.to_dicts()
        if row["dictionary_id"] in number
    ]


def _between(edges: pl.DataFrame, nodes: Mapping[str, Node]) -> list[Edge]:
    found = []
    for row in edges.to_dicts():
        source = f"{row['source_feature_id']}@{row['source_position']}"
        target = nodes.get(f"{row['target_feature_id']}@{row['target_position']}")
        if target is not None and source in nodes:
            carries = row["weight"] * target.attribution / target.activation
            found.append(Edge(source, target.id, row["weight"], carries))
    return found


def _strongest_into(between: Sequence[Edge], targets: Collection[str], into_feature: int, of_level: int) -> list[Edge]:
    """The strongest edges into each target, of those from the `of_level` sources that carry most."""
    ranked = sorted((edge for edge in between if edge.target in targets), key=lambda edge: -abs(edge.carries))
    into: dict[str, list[Edge]] = {target: [] for target in targets}
    for edge in ranked:
        if len(into[edge.target]) < into_feature:
            into[edge.target].append(edge)
    strongest = [edge for edges in into.values() for edge in edges]
    carried = dict.fromkeys((edge.source for edge in strongest), 0.0)
    for edge in strongest:
        carried[edge.source] += abs(edge.carries)
    sources = sorted(carried, key=lambda source: -carried[source])[:of_level]
    return [edge for edge in strongest if edge.source in sources]
