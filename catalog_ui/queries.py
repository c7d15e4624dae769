"""Every query of the pages. Values are always parameters, never part of a query's text."""

from collections.abc import Sequence
from typing import Any

import polars as pl

from sae.catalog.query import Catalog

_MODEL_NAMES = "select model_id, min(name) as model from models group by model_id"
_BEST_CONCEPT = """
    select feature_id, max(f1) as f1, arg_max(name, f1) as concept
    from concept_scores join concepts using (concept_id)
    where slice = 'all'
    group by feature_id
"""

EXAMPLES = """
    select e.example_id, e.rank, e.bin, e.document_id, e.position, e.activation, e.tokens, e.activations,
           e.language, e.modality, e.image_path, d.corpus, d.source, d.topic
    from examples e left join documents d using (document_id)
"""
"""Stored passages with their document's source: what `components.examples` draws."""


def dictionaries(catalog: Catalog) -> pl.DataFrame:
    """The accepted dictionaries, current ones first, with their model's name and how many features are alive."""
    return catalog.sql(
        f"""
        select d.dictionary_id, d.site, d.recipe, d.hookpoint, d.architecture, d.d_sae, d.fvu, d.l0, d.dead_fraction,
               d.loss_recovered, d.is_current, d.created_at, m.model
        from dictionaries d left join ({_MODEL_NAMES}) m using (model_id)
        where d.rejected_because is null
          and exists (select 1 from features f where f.dictionary_id = d.dictionary_id)
        order by d.is_current desc, d.d_sae desc, d.tokens_trained desc, d.site, d.recipe, d.created_at desc
        """
    )


def map_points(catalog: Catalog, dictionary_id: str) -> pl.DataFrame:
    """One row a feature that has a place on the map: index, x, y, cluster_id, density, label."""
    return catalog.sql(
        """
        select f."index", f.x, f.y, coalesce(f.cluster_id, -1) as cluster_id, f.density, l.label
        from features f left join current_labels l using (feature_id)
        where f.dictionary_id = ? and f.x is not null and f.y is not null
        order by f."index"
        """,
        [dictionary_id],
    )


def clusters(catalog: Catalog, dictionary_id: str) -> pl.DataFrame:
    """The named clusters of a dictionary, largest first."""
    return catalog.sql(
        """
        select cluster_id, label, size, x, y from clusters
        where dictionary_id = ? and cluster_id >= 0 order by size desc, cluster_id
        """,
        [dictionary_id],
    )


def summaries(catalog: Catalog, feature_ids: Sequence[str]) -> pl.DataFrame:
    """What a list shows of each feature: label, explanation, density, top activation, best concept and its F1."""
    return catalog.sql(
        f"""
        with best as ({_BEST_CONCEPT})
        select f.feature_id, f.dictionary_id, f."index", f.density, f.max_activation, f.is_dead, f.top_tokens,
               l.label, l.explanation, l.confidence, best.f1, best.concept, d.site, d.recipe
        from features f
        join dictionaries d using (dictionary_id)
        left join current_labels l using (feature_id)
        left join best using (feature_id)
        where f.feature_id in (select unnest(?::varchar[]))
        """,
        [list(feature_ids)],
    )


def best_known(catalog: Catalog, dictionary_id: str | None, limit: int) -> list[str]:
    """Features with the highest concept F1 on all text, then the highest label confidence."""
    frame = catalog.sql(
        f"""
        with best as ({_BEST_CONCEPT})
        select f.feature_id
        from features f
        left join best using (feature_id)
        left join current_labels l using (feature_id)
        where not f.is_dead and (?::varchar is null or f.dictionary_id = ?)
        order by best.f1 desc nulls last, l.confidence desc nulls last, f.feature_id
        limit ?
        """,
        [dictionary_id, dictionary_id, limit],
    )
    return frame["feature_id"].to_list()


def feature(catalog: Catalog, feature_id: str) -> dict[str, Any] | None:
    """One feature with its label, its dictionary and its cluster's name; None where there is no such feature."""
    frame = catalog.sql(
        f"""
        select f.*, d.site, d.recipe, d.hookpoint, d.d_sae, d.is_current, m.model, c.label as cluster,
               l.label_id, l.label, l.explanation, l.confidence
        from features f
        join dictionaries d using (dictionary_id)
        left join ({_MODEL_NAMES}) m using (model_id)
        left join clusters c on c.dictionary_id = f.dictionary_id and c.cluster_id = f.cluster_id
        left join current_labels l using (feature_id)
        where f.feature_id = ?
        """,
        [feature_id],
    )
    return frame.row(0, named=True) if frame.height else None


def label_origin(catalog: Catalog, label_id: str) -> dict[str, Any]:
    """Where a label came from: labeler, model, prompt, seed, tokens, cost, run, and how many examples it was shown."""
    frame = catalog.sql(
        """
        select l.*, count(e.example_id) filter (where e.use = 'shown') as n_shown,
               count(e.example_id) filter (where e.use = 'held_out') as n_held_out
        from labels l left join label_examples e using (label_id)
        where l.label_id = ?
        group by all
        """,
        [label_id],
    )
    return frame.row(0, named=True)


def label_history(catalog: Catalog, feature_id: str) -> pl.DataFrame:
    """All labels that a feature has had, newest first."""
    return catalog.sql(
        """
        select label_id, label, labeler, model, status, origin, confidence, seed, attempt, created_at
        from labels where feature_id = ? order by created_at desc, attempt desc
        """,
        [feature_id],
    )


def label_scores(catalog: Catalog, label_id: str) -> pl.DataFrame:
    """The scores of one label."""
    return catalog.sql(
        "select scorer, score, n, model, seed from label_scores where label_id = ? order by scorer", [label_id]
    )


def examples(catalog: Catalog, feature_id: str, kind: str) -> pl.DataFrame:
    """The stored passages of one kind in their order, with the document's source."""
    return catalog.sql(
        f"""
        {EXAMPLES}
        where e.dictionary_id = ? and e."index" = ? and e.kind = ?
        order by e.bin desc nulls last, e.rank
        """,
        [*key_of(feature_id), kind],
    )


def example_activations(catalog: Catalog, feature_id: str) -> pl.DataFrame:
    """Kind and activation of every stored passage at which the feature is active."""
    return catalog.sql(
        """
        select kind, activation from examples
        where dictionary_id = ? and "index" = ? and activation > 0 and kind in ('top', 'quantile', 'random')
        """,
        [*key_of(feature_id)],
    )


def density_histogram(catalog: Catalog, dictionary_id: str) -> pl.DataFrame:
    """How many live features have each density: log10 bins of a quarter decade, by their left edge."""
    return catalog.sql(
        """
        select floor(log10(density) * 4) / 4 as log_density, count(*) as n
        from features where dictionary_id = ? and density > 0
        group by 1 order by 1
        """,
        [dictionary_id],
    )


def logit_weights(catalog: Catalog, feature_id: str) -> pl.DataFrame:
    """The tokens whose logits the feature raises and lowers most: sign, rank, token, weight."""
    return catalog.sql(
        'select sign, rank, token, weight from logit_weights where dictionary_id = ? and "index" = ? order by rank',
        [*key_of(feature_id)],
    )


def neighbors(catalog: Catalog, feature_id: str) -> pl.DataFrame:
    """Nearest features by cosine of the decoder rows, in the same dictionary and in others."""
    frame = catalog.sql(
        """
        select n.scope, n.rank, n.neighbor_id, n.similarity, d.recipe
        from neighbors n
        left join dictionaries d on d.dictionary_id = split_part(n.neighbor_id, ':', 1)
        where n.dictionary_id = ? and n."index" = ? order by n.scope, n.rank
        """,
        [*key_of(feature_id)],
    )
    return with_labels(catalog, frame, "neighbor_id")


def coactivations(catalog: Catalog, feature_id: str) -> pl.DataFrame:
    """Features that fire on the same tokens: Jaccard index and pointwise mutual information."""
    frame = catalog.sql(
        'select rank, other_id, jaccard, pmi from coactivations where dictionary_id = ? and "index" = ? order by rank',
        [*key_of(feature_id)],
    )
    return with_labels(catalog, frame, "other_id")


def concepts_of(catalog: Catalog, feature_id: str) -> pl.DataFrame:
    """Concepts that the feature was scored on, one row a concept and slice."""
    return catalog.sql(
        """
        select c.name, c.kind, s.slice, s.precision, s.recall, s.f1, s.n
        from concept_scores s join concepts c using (concept_id)
        where s.feature_id = ? order by c.name, (s.slice <> 'all'), s.slice
        """,
        [feature_id],
    )


def prompts(catalog: Catalog) -> pl.DataFrame:
    """The stored questions that have an attribution."""
    return catalog.sql(
        f"""
        select p.*, m.model
        from prompts p left join ({_MODEL_NAMES}) m using (model_id)
        where exists (
            select 1 from attribution_runs r join dictionaries d using (dictionary_id)
            where r.prompt_id = p.prompt_id and d.model_id = p.model_id
        )
        order by p.prompt_id
        """
    )


def attribution_runs(catalog: Catalog, prompt_id: str) -> pl.DataFrame:
    """The dictionaries through which a prompt was attributed."""
    return catalog.sql(
        """
        select r.*, d.site, d.recipe, d.d_sae, d.is_current
        from attribution_runs r join dictionaries d using (dictionary_id)
        where r.prompt_id = ? order by d.is_current desc, d.d_sae desc, d.tokens_trained desc, d.dictionary_id
        """,
        [prompt_id],
    )


def attributions(catalog: Catalog, prompt_id: str, dictionary_id: str) -> pl.DataFrame:
    """Features on the way to an answer, the strongest for or against it first, with their labels."""
    return catalog.sql(
        """
        select a.feature_id, a.position, a.token, a.activation, a.attribution, a.ablation_effect, a.rank, l.label
        from attributions a left join current_labels l using (feature_id)
        where a.prompt_id = ? and a.dictionary_id = ? order by abs(a.attribution) desc, a.rank
        """,
        [prompt_id, dictionary_id],
    )


def with_labels(catalog: Catalog, frame: pl.DataFrame, column: str, name: str = "label") -> pl.DataFrame:
    """A frame with the labels in force of the features of a column, null where there is none.

    Asked for by a list of ids, which the view is filtered by; a join would first find the label of every feature.
    """
    found = catalog.sql(
        "select feature_id, label from current_labels where list_contains(?::varchar[], feature_id)",
        [frame[column].drop_nulls().to_list()],
    )
    labels = found.rename({"feature_id": column, "label": name})
    return frame.join(labels, on=column, how="left", maintain_order="left")


def key_of(feature_id: str) -> tuple[str, int]:
    """The columns by which tables about features are sorted."""
    dictionary_id, _, index = feature_id.rpartition(":")
    return dictionary_id, int(index)
