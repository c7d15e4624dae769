"""What the page on steering reads: completions with features held, beside those without. Values are parameters."""

import polars as pl

from sae.catalog.query import Catalog

_ASKED = """
    (?::varchar is null or dictionary_id = ?) and (?::varchar is null or prompt_id = ?)
"""
_NAMED = "(? = '' or {id} = ? or contains(lower({label}), lower(?)))"


def steered_dictionaries(catalog: Catalog) -> pl.DataFrame:
    """The dictionaries with a steered feature, current ones first: dictionary_id, site, recipe, d_sae, is_current."""
    return catalog.sql(
        """
        select dictionary_id, site, recipe, d_sae, is_current from dictionaries
        where dictionary_id in (select dictionary_id from steering)
           or dictionary_id in (select dictionary_id from interventions where kind = 'steer')
        order by is_current desc, site, d_sae desc, recipe, dictionary_id
        """
    )


def steered_prompts(catalog: Catalog) -> pl.DataFrame:
    """The prompts that are continued: prompt_id, text."""
    return catalog.sql(
        """
        select prompt_id, min(text) as text from prompts
        where prompt_id in (select prompt_id from steering) group by prompt_id order by text, prompt_id
        """
    )


def completions(
    catalog: Catalog, dictionary_id: str | None, prompt_id: str | None, words: str, limit: int
) -> pl.DataFrame:
    """Completions with one feature held, beside what the model writes by itself (null where that is not stored).

    `words`: a feature's id, or part of its label; all features where they are empty.
    """
    return catalog.sql(
        f"""
        with chosen as (select * from steering where strength <> 0 and {_ASKED})
        select s.feature_id, l.label, d.recipe, s.prompt_id, p.text as prompt, s.strength,
               own.completion as unsteered, s.completion as steered, s.logit_shift
        from chosen s
        join dictionaries d using (dictionary_id)
        left join prompts p on p.prompt_id = s.prompt_id and p.model_id = d.model_id
        left join steering own on own.feature_id = s.feature_id and own.prompt_id = s.prompt_id and own.strength = 0
        left join current_labels l on l.feature_id = s.feature_id
        where {_NAMED.format(id="s.feature_id", label="l.label")}
        order by d.is_current desc, d.site, d.d_sae desc, d.recipe, s.dictionary_id, s."index", prompt, s.prompt_id,
                 s.strength
        limit ?
        """,
        [dictionary_id, dictionary_id, prompt_id, prompt_id, words, words, words, limit],
    )


def held_together(
    catalog: Catalog, dictionary_id: str | None, prompt_id: str | None, words: str, limit: int
) -> pl.DataFrame:
    """Completions with several features held at once, and with as many random ones that move the model as far.

    `words`: the id of one of the features, or part of its label.
    """
    return catalog.sql(
        f"""
        with held as (
            select * from interventions
            where kind = 'steer' and completion is not null and len(feature_ids) > 1 and {_ASKED}
        ),
        named as (
            select i.prompt_id, i.dictionary_id, i.feature_ids, i.strength, any_value(i.completion) as steered,
                   list(coalesce(l.label, 'feature ' || split_part(i.id, ':', 2)) order by i.id) as labels
            from (select *, unnest(feature_ids) as id from held where not is_control) i
            left join current_labels l on l.feature_id = i.id
            group by all
            having bool_or({_NAMED.format(id="i.id", label="l.label")})
        )
        select n.labels, d.recipe, n.prompt_id, p.text as prompt, n.strength, n.steered,
               list_sort(list(distinct c.completion) filter (c.completion is not null)) as controls
        from named n
        join dictionaries d using (dictionary_id)
        left join prompts p on p.prompt_id = n.prompt_id and p.model_id = d.model_id
        left join held c on c.is_control and c.dictionary_id = n.dictionary_id and c.prompt_id = n.prompt_id
            and c.strength = n.strength and len(c.feature_ids) = len(n.feature_ids)
        group by n.labels, n.feature_ids, n.dictionary_id, d.is_current, d.site, d.d_sae, d.recipe, n.prompt_id, prompt,
                 n.strength, n.steered
        order by d.is_current desc, d.site, d.d_sae desc, d.recipe, n.feature_ids, prompt, n.prompt_id, n.strength
        limit ?
        """,
        [dictionary_id, dictionary_id, prompt_id, prompt_id, words, words, words, limit],
    )


def reads_pictures(catalog: Catalog, dictionary_id: str) -> bool:
    """Whether the model of a dictionary reads pictures."""
    frame = catalog.sql(
        """
        select bool_or(list_contains(m.modalities, 'image')) as reads
        from dictionaries d join models m using (model_id) where d.dictionary_id = ?
        """,
        [dictionary_id],
    )
    return bool(frame["reads"][0])
