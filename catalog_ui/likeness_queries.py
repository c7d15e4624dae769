"""Which features of two dictionaries of one site lie in the same direction, by the neighbours that are stored."""

from dataclasses import dataclass

import polars as pl

from catalog_ui.queries import with_labels
from sae.catalog.query import Catalog

ROWS_SHOWN = 25
"""Features listed of a kind."""
BIN = 0.05
"""Width of a histogram's bins of cosine."""
_BEST = """
    {name} as materialized (
        select "index", feature_id, arg_max(neighbor_id, similarity) as other_id, max(similarity)::double as cosine
        from neighbors
        where dictionary_id = ? and scope = 'cross' and starts_with(neighbor_id, ?)
        group by "index", feature_id
    )
"""


@dataclass(frozen=True)
class Likeness:
    """How near the features of two dictionaries lie to each other.

    Frames of pairs have feature_id, other_id, cosine, label and other_label; those of `old` first, but for `only_new`.
    """

    histogram: pl.DataFrame
    """of (old or new), cosine (left edge of the bin), n: features by the cosine with their nearest of the other."""
    n_mutual: int
    mutual: pl.DataFrame
    """Pairs that are each other's nearest, the most alike first."""
    only_old: pl.DataFrame
    """Features of the old one whose nearest of the new one is furthest."""
    only_new: pl.DataFrame


def likeness(catalog: Catalog, old: str, new: str) -> Likeness:
    """Compare two dictionaries by their neighbours; one question, for it looks at those of every feature."""
    found = catalog.sql(
        f"""
        with {_BEST.format(name="ours")}, {_BEST.format(name="theirs")},
        pairs as materialized (
            select ours.feature_id, ours.other_id, ours.cosine from ours join theirs
            on theirs.feature_id = ours.other_id and theirs.other_id = ours.feature_id
        )
        (select 'mutual' as part, feature_id, other_id, cosine, null::bigint as n from pairs
         order by cosine desc, feature_id limit {ROWS_SHOWN})
        union all select 'n_mutual', null, null, null, count(*) from pairs
        union all (select 'only_old', feature_id, other_id, cosine, null from ours
                   order by cosine, "index" limit {ROWS_SHOWN})
        union all (select 'only_new', feature_id, other_id, cosine, null from theirs
                   order by cosine, "index" limit {ROWS_SHOWN})
        union all select 'old', null, null, floor(cosine / {BIN}) * {BIN}, count(*) from ours group by all
        union all select 'new', null, null, floor(cosine / {BIN}) * {BIN}, count(*) from theirs group by all
        """,
        [old, f"{new}:", new, f"{old}:"],
    )
    labelled = with_labels(catalog, with_labels(catalog, found, "feature_id"), "other_id", "other_label")
    pairs = {name: labelled.filter(part=name).drop("part", "n") for name in ("mutual", "only_old", "only_new")}
    bins = found.filter(pl.col("part").is_in(["old", "new"])).select("cosine", "n", of="part").sort("of", "cosine")
    return Likeness(
        bins,
        found.filter(part="n_mutual")["n"][0],
        pairs["mutual"].sort("cosine", "feature_id", descending=[True, False]),
        pairs["only_old"].sort("cosine", "feature_id"),
        pairs["only_new"].sort("cosine", "feature_id"),
    )


@dataclass(frozen=True)
class Splits:
    """How features of a small dictionary split in a larger one."""

    parents: int
    """Features of the smaller one that have children."""
    children: int
    most: pl.DataFrame
    """Those that split most: feature_id, label, n, becomes (the nearest children's labels, or their ids)."""


def splits(catalog: Catalog, small: str, large: str) -> Splits:
    """The families from one dictionary to a larger one."""
    found = catalog.sql(
        f"""
        with kin as materialized (
            select parent_feature_id as feature_id, child_feature_id, cosine from families
            where starts_with(parent_feature_id, ?) and starts_with(child_feature_id, ?)
        ), parents as (
            select feature_id, count(*) as n, max(cosine) as nearest,
                   count(*) over () as parents, sum(count(*)) over ()::bigint as children
            from kin group by feature_id order by n desc, nearest desc, feature_id limit {ROWS_SHOWN}
        )
        select p.*, k.child_feature_id from parents p join kin k using (feature_id)
        qualify row_number() over (partition by feature_id order by k.cosine desc, k.child_feature_id) <= 4
        order by n desc, nearest desc, feature_id, k.cosine desc
        """,
        [f"{small}:", f"{large}:"],
    )
    if found.is_empty():
        return Splits(0, 0, found)
    named = with_labels(catalog, with_labels(catalog, found, "feature_id"), "child_feature_id", "child")
    most = named.group_by("feature_id", "label", "n", maintain_order=True).agg(
        pl.coalesce("child", "child_feature_id").alias("becomes")
    )
    return Splits(found["parents"][0], found["children"][0], most)
