"""What the Audit page reads: where a label or a dictionary came from, and what came of it."""

from typing import Any

import polars as pl

from catalog_ui.queries import EXAMPLES, key_of
from sae.catalog.query import Catalog

EXAMPLES_SHOWN = 8
"""Passages shown of those that a label was written from, and of those that it was scored on."""
_GENERATIONS = 20


def label(catalog: Catalog, label_id: str) -> dict[str, Any]:
    """A label with all it was made from, and how many examples it was shown and scored on."""
    return catalog.sql(
        """
        select l.*,
               (select count(*) from label_examples where label_id = $label and use = 'shown') as n_shown,
               (select count(*) from label_examples where label_id = $label and use = 'held_out') as n_held_out
        from labels l where l.label_id = $label
        """,
        {"label": label_id},
    ).row(0, named=True)


def ancestors(catalog: Catalog, label_id: str) -> pl.DataFrame:
    """The labels that a label was carried from or corrects, its parent first: label_id, label, labeler, origin…"""
    return catalog.sql(
        f"""
        with recursive line as (
            select parent_label_id as label_id, 1 as step from labels where label_id = ?
            union all
            select l.parent_label_id, step + 1 from line join labels l using (label_id) where step < {_GENERATIONS}
        )
        select line.label_id, l.feature_id, l.label, l.labeler, l.origin, l.status, l.created_at
        from line left join labels l using (label_id) where line.label_id is not null order by step
        """,
        [label_id],
    )


def descendants(catalog: Catalog, label_id: str) -> pl.DataFrame:
    """The labels that were carried from a label or correct it; columns as of `ancestors`."""
    return catalog.sql(
        """
        select label_id, feature_id, label, labeler, origin, status, created_at
        from labels where parent_label_id = ? order by created_at desc, label_id limit 50
        """,
        [label_id],
    )


def history(catalog: Catalog, feature_id: str) -> pl.DataFrame:
    """Every label that a feature has had, the newest first, and which of them is in force."""
    return catalog.sql(
        """
        select l.label_id, l.label, l.labeler, l.model, l.status, l.origin, l.created_at,
               l.label_id = (select label_id from current_labels where feature_id = $feature) as in_force
        from labels l where l.dictionary_id = $dictionary and l."index" = $index
        order by l.created_at desc, l.attempt desc, l.label_id limit 50
        """,
        _named(feature_id),
    )


def reviews(catalog: Catalog, feature_id: str) -> pl.DataFrame:
    """What people said of the labels of a feature, the newest first."""
    return catalog.sql(
        """
        select r.verdict, r.reviewer, r.proposed_label, r.note, r.created_at, r.label_id, l.label
        from labels l join label_reviews r using (label_id)
        where l.dictionary_id = $dictionary and l."index" = $index and l.feature_id = $feature
        order by r.created_at desc, r.review_id limit 50
        """,
        _named(feature_id),
    )


def label_passages(catalog: Catalog, feature_id: str, label_id: str, use: str) -> pl.DataFrame:
    """Passages that a label was written from (`shown`) or scored on (`held_out`), strongest first, as `EXAMPLES`."""
    return catalog.sql(
        f"""
        {EXAMPLES}
        join label_examples u on u.example_id = e.example_id
        where e.dictionary_id = ? and e."index" = ? and u.label_id = ? and u.use = ?
        order by e.activation desc, e.example_id limit {EXAMPLES_SHOWN}
        """,
        [*key_of(feature_id), label_id, use],
    )


def example_sources(catalog: Catalog, feature_id: str, label_id: str) -> pl.DataFrame:
    """The shards and languages of a label's examples: shard, language, shown, held_out."""
    return catalog.sql(
        """
        select d.shard, e.language, count(*) filter (u.use = 'shown') as shown,
               count(*) filter (u.use = 'held_out') as held_out
        from examples e join label_examples u on u.example_id = e.example_id
        left join documents d using (document_id)
        where e.dictionary_id = ? and e."index" = ? and u.label_id = ?
        group by all order by shown + held_out desc, d.shard, e.language limit 30
        """,
        [*key_of(feature_id), label_id],
    )


def run(catalog: Catalog, run_id: str | None) -> dict[str, Any] | None:
    """A run of the orchestrator; None where it is not recorded."""
    return next(iter(catalog.sql("select * from runs where run_id = ?", [run_id]).to_dicts()), None)


def model(catalog: Catalog, model_id: str) -> dict[str, Any] | None:
    """A subject model, with all of its names; None where the catalog has none of that id."""
    found = catalog.sql(
        """
        select * exclude (name), list(name order by name) as names from models where model_id = ? group by all
        """,
        [model_id],
    )
    return next(iter(found.to_dicts()), None)


def of_feature(catalog: Catalog, feature_id: str) -> pl.DataFrame:
    """How many rows of each table stand for a feature: what, n."""
    return catalog.sql(
        """
        select * from (
            select 'labels' as what, count(*) as n from labels where dictionary_id = $dictionary and "index" = $index
            union all select 'examples', count(*) from examples where dictionary_id = $dictionary and "index" = $index
            union all select 'concept scores', count(*) from concept_scores
                where dictionary_id = $dictionary and "index" = $index
            union all select 'questions that it answers', count(distinct prompt_id) from attributions
                where feature_id = $feature
            union all select 'interventions', count(*) from interventions where list_contains(feature_ids, $feature)
            union all select 'steered texts', count(*) from steering where feature_id = $feature
            union all select 'features of a larger dictionary', count(*) from families
                where parent_feature_id = $feature
        ) where n > 0
        """,
        _named(feature_id),
    )


def of_dictionary(catalog: Catalog, dictionary_id: str) -> pl.DataFrame:
    """How many rows of each table stand for a dictionary: what, n."""
    return catalog.sql(
        """
        select * from (
            select 'features' as what, count(*) as n from features where dictionary_id = $name
            union all select 'labels', count(*) from labels where dictionary_id = $name
            union all select 'examples', count(*) from examples where dictionary_id = $name
            union all select 'measured claims', count(*) from evaluation where dictionary_id = $name
            union all select 'questions answered through it', count(*) from attribution_runs where dictionary_id = $name
            union all select 'interventions', count(*) from interventions where dictionary_id = $name
            union all select 'features matched to those of older ones', count(*) from feature_matches
                where dictionary_id = $name
        ) where n > 0
        """,
        {"name": dictionary_id},
    )


def _named(feature_id: str) -> dict[str, Any]:
    dictionary_id, index = key_of(feature_id)
    return {"feature": feature_id, "dictionary": dictionary_id, "index": index}
