"""Where a feature of a replaced dictionary went, for links to it that still go round."""

from typing import Any

from sae.catalog.query import Catalog

_SUCCESSORS = """
select s.*, l.label from successors s left join current_labels l on l.feature_id = s.successor_id
where s.feature_id = ? order by s.rank
"""


def successors_of(catalog: Catalog, feature_id: str) -> list[dict[str, Any]]:
    """Rows of the view `successors` with the successors' labels, the best first; none where the catalog knows none."""
    return catalog.sql(_SUCCESSORS, [feature_id]).to_dicts()


def went(rows: list[dict[str, Any]]) -> str:
    """What became of a feature, in a sentence or two.

    :param rows: of `successors_of`, at least one
    """
    first = rows[0]
    replaced = f"{first['feature_id']} belongs to a dictionary that {first['successor_dictionary_id']} has replaced."
    ids = [row["successor_id"] for row in rows]
    match first["status"]:
        case "retired":
            return f"{replaced} No feature there matches it: it is retired, and its labels with it."
        case "merged":
            return f"{replaced} It was merged into {ids[0]} ({_measure(first)}), which carries on another feature too."
        case "split":
            return f"{replaced} It has no successor of its own; {_listed(ids)} took a part of it."
    parts = f" {_listed(ids[1:])} split off from it." if len(ids) > 1 else ""
    return f"{replaced} {ids[0]} carries it on ({_measure(first)}).{parts}"


def _measure(row: dict[str, Any]) -> str:
    return f"decoder cosine {row['cosine']:.2f}, activations correlate by {row['activation_correlation']:.2f}"


def _listed(ids: list[str]) -> str:
    return ids[0] if len(ids) == 1 else f"{', '.join(ids[:-1])} and {ids[-1]}"
