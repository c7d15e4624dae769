"""What the page of a feature reads of its family: the same feature in smaller dictionaries, and what it splits into."""

import polars as pl

from sae.catalog.query import Catalog

_SPLITS = """
    select f.parent_feature_id, f.child_feature_id, f.cosine
    from families f
    join dictionaries small on small.dictionary_id = split_part(f.parent_feature_id, ':', 1)
    join dictionaries large on large.dictionary_id = split_part(f.child_feature_id, ':', 1)
    where not exists (
        select 1 from dictionaries d
        where d.is_current and d.site = small.site and d.d_sae > small.d_sae and d.d_sae < large.d_sae
    )
"""
"""Families from one size to the next: what skips a size between is told by the steps through it."""

_GENERATIONS = 8


def family(catalog: Catalog, feature_id: str) -> pl.DataFrame:
    """The tree of splits that a feature belongs to: feature_id, depth, cosine, label, recipe, d_sae.

    From its oldest ancestor down, each feature before its children and these by falling cosine, which is that with the
    one above; the feature alone where nothing split.
    """
    return catalog.sql(
        f"""
        with recursive splits as ({_SPLITS}),
        origin as (
            select ? as feature_id, 0 as height
            union all
            select s.parent_feature_id, o.height + 1
            from origin o join (
                select child_feature_id, arg_max(parent_feature_id, cosine) as parent_feature_id
                from splits group by child_feature_id
            ) s on s.child_feature_id = o.feature_id
            where o.height < {_GENERATIONS}
        ),
        tree as (
            select feature_id, 0 as depth, null::double as cosine, []::varchar[] as path
            from (select feature_id from origin order by height desc limit 1)
            union all
            select s.child_feature_id, t.depth + 1, s.cosine,
                   list_append(t.path, printf('%.6f %s', 1 - s.cosine, s.child_feature_id))
            from tree t join splits s on s.parent_feature_id = t.feature_id
            where t.depth < {_GENERATIONS}
        )
        select t.feature_id, t.depth, t.cosine, l.label, d.recipe, d.d_sae
        from tree t
        left join current_labels l on l.feature_id = t.feature_id
        left join dictionaries d on d.dictionary_id = split_part(t.feature_id, ':', 1)
        order by t.path
        """,
        [feature_id],
    )
