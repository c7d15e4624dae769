"""What the Compare page reads of two features: how alike they are, where both are active, what each is scored on."""

from typing import Any

import polars as pl

from catalog_ui.queries import EXAMPLES, key_of
from sae.catalog.query import Catalog

SHARED_SHOWN = 8
_PASSAGES = """
    {name} as (
        select document_id, position, arg_max(example_id, activation) as example_id, max(activation) as activation
        from examples where dictionary_id = ? and "index" = ? and activation > 0
        group by document_id, position
    )
"""


def cosines(catalog: Catalog, a: str, b: str) -> list[dict[str, Any]]:
    """What each of two features has stored of the other's dictionary, for a and for b where anything is.

    feature_id; cosine and rank of the other one, null where it is not among the stored; least, the smallest stored.
    """
    rows = []
    for one, other in ((a, b), (b, a)):
        rows += catalog.sql(
            """
            select feature_id, max(similarity) filter (neighbor_id = ?) as cosine,
                   min(rank) filter (neighbor_id = ?) as rank, min(similarity) as least
            from neighbors
            where dictionary_id = ? and "index" = ? and starts_with(neighbor_id, ?)
            group by feature_id
            """,
            [other, other, *key_of(one), f"{key_of(other)[0]}:"],
        ).to_dicts()
    return rows


def family_cosine(catalog: Catalog, a: str, b: str) -> float | None:
    """The decoder cosine of two features of which one became the other; None where the catalog knows of none."""
    found = catalog.sql(
        """
        select max(cosine) as cosine from families
        where (parent_feature_id = ?1 and child_feature_id = ?2) or (parent_feature_id = ?2 and child_feature_id = ?1)
        """,
        [a, b],
    )
    return found["cosine"][0]


def together(catalog: Catalog, a: str, b: str) -> dict[str, Any] | None:
    """Jaccard index and PMI of two features of one dictionary; None where neither has the other stored."""
    rows = []
    for one, other in ((a, b), (b, a)):
        rows += catalog.sql(
            'select jaccard, pmi, rank from coactivations where dictionary_id = ? and "index" = ? and other_id = ?',
            [*key_of(one), other],
        ).to_dicts()
    return rows[0] if rows else None


def shared_passages(catalog: Catalog, a: str, b: str) -> tuple[int, pl.DataFrame]:
    """At how many positions both have a stored passage, and the strongest: example_a, example_b, the examples' ids."""
    query = f"with {_PASSAGES.format(name='a')}, {_PASSAGES.format(name='b')}"
    found = catalog.sql(
        f"""
        {query}
        select a.example_id as example_a, b.example_id as example_b, count(*) over () as n
        from a join b using (document_id, position)
        order by least(a.activation / max(a.activation) over (), b.activation / max(b.activation) over ()) desc,
                 document_id, position
        limit {SHARED_SHOWN}
        """,
        [*key_of(a), *key_of(b)],
    )
    return (found["n"][0] if found.height else 0), found.drop("n")


def examples_of(catalog: Catalog, feature_id: str, example_ids: list[str]) -> pl.DataFrame:
    """Stored passages by id, in the order given, with the columns of `EXAMPLES`."""
    return catalog.sql(
        f"""
        {EXAMPLES}
        where e.dictionary_id = ? and e."index" = ? and e.example_id in (select unnest(?::varchar[]))
        order by list_position(?::varchar[], e.example_id)
        """,
        [*key_of(feature_id), example_ids, example_ids],
    )


def concepts_beside(catalog: Catalog, a: str, b: str) -> pl.DataFrame:
    """The concepts that either was scored on: name, kind, slice, n, and the F1 of each, null where it was not."""
    return catalog.sql(
        """
        select c.name, c.kind, s.slice, max(s.n) as n,
               max(s.f1) filter (s.feature_id = ?1) as f1_a, max(s.f1) filter (s.feature_id = ?2) as f1_b
        from concept_scores s join concepts c using (concept_id)
        where s.feature_id in (?1, ?2)
        group by c.concept_id, c.name, c.kind, s.slice
        order by count(*) over (partition by c.concept_id) desc, c.name, (s.slice <> 'all'), s.slice
        limit 60
        """,
        [a, b],
    )


def logit_weights_beside(catalog: Catalog, a: str, b: str) -> pl.DataFrame:
    """The tokens that either raises or lowers most, and by how much each does; null where it is not stored."""
    one = 'select token, arg_max(weight, abs(weight)) as w from logit_weights where dictionary_id = ? and "index" = ?'
    return catalog.sql(
        f"""
        with a as ({one} group by token), b as ({one} group by token)
        select token, a.w as weight_a, b.w as weight_b
        from a full join b using (token)
        order by greatest(abs(coalesce(a.w, 0)), abs(coalesce(b.w, 0))) desc, token
        """,
        [*key_of(a), *key_of(b)],
    )


def scores_of(catalog: Catalog, feature_id: str) -> pl.DataFrame:
    """The newest score of each scorer on the label in force: scorer, score, n."""
    return catalog.sql(
        """
        select scorer, arg_max(score, s.created_at) as score, arg_max(n, s.created_at) as n
        from current_labels l join label_scores s using (label_id)
        where l.feature_id = ? group by scorer order by scorer
        """,
        [feature_id],
    )
