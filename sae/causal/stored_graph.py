"""The way to an answer as the catalog holds it."""

from collections.abc import Sequence
from typing import Any

from sae.catalog.query import Catalog
from sae.causal.graph import Graph, way_to_answer
from sae.errors import AtlasError


def stored_graph(catalog: Catalog, prompt_id: str, dictionary_id: str) -> Graph:
    """The graph of a stored question through a dictionary and those that stored edges join to it, site after site.

    Raises AtlasError where the question was not attributed through that dictionary.
    """
    found = catalog.sql(
        """
        select p.*, d.site from prompts p
        join attribution_runs r using (prompt_id)
        join dictionaries d on d.dictionary_id = r.dictionary_id and d.model_id = p.model_id
        where p.prompt_id = ? and r.dictionary_id = ?
        """,
        [prompt_id, dictionary_id],
    )
    if found.is_empty():
        asked = catalog.sql("select distinct prompt_id from attribution_runs order by 1")["prompt_id"].to_list()
        raise AtlasError(f"No question {prompt_id!r} is attributed through {dictionary_id}. There are: {asked}.")
    prompt = found.row(0, named=True)
    levels = [(prompt["site"], dictionary_id)]
    while before := _joined(catalog, prompt_id, levels[0][1], ("target", "source"), [name for _, name in levels]):
        levels.insert(0, before)
    while after := _joined(catalog, prompt_id, levels[-1][1], ("source", "target"), [name for _, name in levels]):
        levels.append(after)
    ids = [name for _, name in levels]
    return way_to_answer(
        prompt,
        levels,
        catalog.sql(
            "select * from attributions where prompt_id = ? and dictionary_id in (select unnest(?::varchar[]))",
            [prompt_id, ids],
        ),
        catalog.sql("select * from attribution_edges where prompt_id = ?", [prompt_id]),
        _labels(catalog, ids),
    )


def _joined(
    catalog: Catalog, prompt_id: str, dictionary_id: str, sides: tuple[str, str], known: Sequence[str]
) -> tuple[str, str] | None:
    """Site and id of the dictionary at the far side of the edges: of the same recipe, else the largest."""
    here, there = sides
    found = catalog.sql(
        f"""
        select distinct d.site, d.dictionary_id, d.recipe = own.recipe as same, d.d_sae
        from attribution_edges e
        join dictionaries d on d.dictionary_id = split_part(e.{there}_feature_id, ':', 1)
        join dictionaries own on own.dictionary_id = split_part(e.{here}_feature_id, ':', 1)
        where e.prompt_id = ? and own.dictionary_id = ? and d.dictionary_id not in (select unnest(?::varchar[]))
        order by same desc, d.d_sae desc, d.dictionary_id limit 1
        """,  # the two words come from this file
        [prompt_id, dictionary_id, list(known)],
    )
    return (found["site"][0], found["dictionary_id"][0]) if found.height else None


def _labels(catalog: Catalog, ids: Sequence[str]) -> dict[str, Any]:
    rows = catalog.sql(
        "select feature_id, label from current_labels where dictionary_id in (select unnest(?::varchar[]))", [list(ids)]
    )
    return dict(rows.iter_rows())
