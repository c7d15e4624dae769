"""What the Compare page reads of two dictionaries: their figures, and what became of the features."""

import polars as pl

from catalog_ui.queries import with_labels
from sae.catalog.query import Catalog

ROWS_SHOWN = 40
"""Features listed of a kind."""
STATUSES = ("carried", "split", "merged", "new", "retired")


def all_dictionaries(catalog: Catalog) -> pl.DataFrame:
    """Every dictionary that the catalog knows, the current ones first, those replaced and turned down among them."""
    return catalog.sql(
        """
        select d.* exclude (provenance),
               exists (select 1 from features f where f.dictionary_id = d.dictionary_id) as has_features
        from dictionaries d
        order by d.is_current desc, d.site, d.d_sae desc, d.recipe, d.created_at desc, d.dictionary_id limit 1000
        """
    )


def evaluation(catalog: Catalog, dictionary_id: str) -> pl.DataFrame:
    """The measured claims about a dictionary, one row a metric and seed."""
    return catalog.sql(
        """
        select metric, value, n, ci_low, ci_high, control, seed, details ->> '$.unit' as unit,
               details ->> '$.control' as control_is
        from evaluation where dictionary_id = ? order by metric, seed limit 500
        """,
        [dictionary_id],
    )


def match_counts(catalog: Catalog, old: str, new: str) -> pl.DataFrame:
    """How many features were carried, split, merged, are new or retired, and how alike the matched are: by status."""
    return catalog.sql(
        """
        select status, count(*) as n, median(cosine) as cosine, median(activation_correlation) as correlation
        from feature_matches where dictionary_id = ? and previous_dictionary_id = ? group by status
        """,
        [new, old],
    )


def matches(catalog: Catalog, old: str, new: str, status: str) -> pl.DataFrame:
    """Some features of one of `STATUSES`: those first that changed most, of new ones those that fire most often."""
    found = catalog.sql(
        f"""
        select m.previous_feature_id, m.feature_id, m.cosine, m.activation_correlation, f.density
        from feature_matches m
        left join features f on f.feature_id = m.feature_id
        where m.dictionary_id = ? and m.previous_dictionary_id = ? and m.status = ?
        order by m.activation_correlation nulls last, m.cosine nulls last, f.density desc nulls last,
                 m.previous_feature_id limit {ROWS_SHOWN}
        """,
        [new, old, status],
    )
    return with_labels(catalog, found, "feature_id")
