"""What the Health page reads: whether what is published is sound and current. All sums are made in SQL."""

from typing import Any

import polars as pl

from sae.catalog.query import Catalog

ROWS_SHOWN = 25


def facts(catalog: Catalog) -> dict[str, str]:
    """The catalog's own facts but for the config: version, content id, when it was built."""
    return dict(catalog.sql("select key, value from atlas where key <> 'config'").iter_rows())


def dictionaries(catalog: Catalog) -> pl.DataFrame:
    """Every dictionary with its figures, its checks and its labels: first those turned down, then the current ones.

    A candidate that was turned down has the checks on the candidate, the dictionary that stays has all the others.
    """
    return catalog.sql(
        """
        with verdicts as (
            select partition, asset = 'dictionary_candidate' as of_candidate, count(*) as n,
                   count(*) filter (not passed) as failed
            from checks group by all
        ), rows as (
            select d.* exclude (provenance), d.site || '.' || d.recipe as pair,
                   count(d.rejected_because) over (partition by d.site, d.recipe) > 0 as has_rejected
            from dictionaries d
        ), judged as (
            select r.*, coalesce(sum(v.n), 0)::bigint as checks, coalesce(sum(v.failed), 0)::bigint as failed
            from rows r left join verdicts v on v.partition = r.pair
                and (case when r.rejected_because is not null then v.of_candidate
                          else r.is_current and not (v.of_candidate and r.has_rejected) end)
            group by all
        )
        select * from judged
        order by rejected_because is null, not is_current, site, d_sae desc, created_at desc, dictionary_id limit 200
        """
    )


def coverage(catalog: Catalog) -> pl.DataFrame:
    """By dictionary: how many features are live, and how many of these have a label in force."""
    return catalog.sql(
        """
        with live as (
            select dictionary_id, count(*) filter (not is_dead) as live from features group by 1
        ), labelled as (
            select dictionary_id, count(*) as labelled
            from current_labels anti join (select feature_id from features where is_dead) using (feature_id) group by 1
        )
        select dictionary_id, live, coalesce(labelled, 0) as labelled
        from live left join labelled using (dictionary_id)
        """
    )


def label_attempts(catalog: Catalog) -> pl.DataFrame:
    """How the attempts at labels ended, by who made them: labeler, model, status, n, cost_usd."""
    return catalog.sql(
        """
        select labeler, model, status, count(*) as n, sum(cost_usd) as cost_usd
        from labels group by labeler, model, status order by status = 'ok', n desc limit 50
        """
    )


def least_score(catalog: Catalog) -> float | None:
    """`checks.label_score`, the least score that is wanted of a label; None where the config sets none."""
    return catalog.sql("select max(value) as least from thresholds where name = 'label_score'")["least"][0]


def scores(catalog: Catalog) -> pl.DataFrame:
    """The scores of labels by scorer and dictionary: n, quartiles, and how many lie under `checks.label_score`."""
    return catalog.sql(
        """
        select d.site, d.recipe, s.scorer, count(*) as n,
               quantile_cont(s.score, 0.25) as low, median(s.score) as median, quantile_cont(s.score, 0.75) as high,
               count(*) filter (s.score < (select max(value) from thresholds where name = 'label_score')) as under
        from label_scores s
        join labels l using (label_id)
        join dictionaries d using (dictionary_id)
        where s.score is not null
        group by d.site, d.recipe, d.d_sae, s.scorer
        order by s.scorer, d.site, d.d_sae desc, d.recipe limit 200
        """
    )


def labels_to_review(catalog: Catalog) -> tuple[dict[str, int], pl.DataFrame]:
    """How many labels are to be reviewed, by dictionary, and those that score worst.

    One question for both: the view looks at every score.
    """
    found = catalog.sql(
        f"""
        with review as materialized (select * from labels_to_review),
        counts as (select dictionary_id, count(distinct label_id) as to_review from review group by 1),
        worst as (select * from review order by score, n desc, feature_id limit {ROWS_SHOWN})
        select dictionary_id, to_review, label_id, feature_id, label, labeler, scorer, score, n
        from counts full join worst using (dictionary_id) order by score, n desc, feature_id
        """
    )
    counts = dict(found.select("dictionary_id", "to_review").unique().iter_rows())
    return counts, found.drop_nulls("label_id")


def failed_checks(catalog: Catalog) -> pl.DataFrame:
    """The checks that did not pass, errors first."""
    return catalog.sql(
        """
        select * from checks where not passed
        order by severity <> 'ERROR', asset, partition, name limit 100
        """
    )


def checks(catalog: Catalog) -> pl.DataFrame:
    """All checks, summed over the partitions: how many passed, and the range of what was measured."""
    return catalog.sql(
        """
        select asset, name, count(*) as n, count(*) filter (not passed) as failed, min(value) as low,
               max(value) as high, any_value(threshold) as threshold, max(checked_at) as checked_at,
               max(severity = 'ERROR') as is_error
        from checks group by asset, name order by failed desc, asset, name limit 200
        """
    )


def runs(catalog: Catalog) -> pl.DataFrame:
    """The latest runs, those that did not succeed first, with the assets that still hold what they made."""
    return catalog.sql(
        f"""
        with shown as (
            select * from runs order by status = 'SUCCESS', started_at desc, run_id limit {ROWS_SHOWN}
        ), made as (
            select run_id, list_sort(list(distinct asset)) as assets
            from lineage where run_id in (select run_id from shown) group by run_id
        )
        select run_id, trigger, status, started_at, cost_usd, epoch(finished_at) - epoch(started_at) as seconds, assets
        from shown left join made using (run_id) order by status = 'SUCCESS', started_at desc, run_id
        """
    )


def all_runs(catalog: Catalog) -> dict[str, Any]:
    """All runs in sum: n, failed, cost_usd."""
    return catalog.sql(
        "select count(*) as n, count(*) filter (status <> 'SUCCESS') as failed, sum(cost_usd) as cost_usd from runs"
    ).row(0, named=True)


def times(catalog: Catalog) -> pl.DataFrame:
    """What making each asset took, the longest first: cells, seconds in all and of the longest, memory, cost."""
    return catalog.sql(
        """
        select asset, count(*) as cells, sum(epoch(finished_at) - epoch(started_at)) as seconds,
               max(epoch(finished_at) - epoch(started_at)) as longest, max(peak_memory_bytes) / 1e9 as peak_gb,
               sum(cost_usd) as cost_usd, max(finished_at) as finished_at
        from lineage group by asset order by seconds desc nulls last, asset
        """
    )


def corpora(catalog: Catalog) -> pl.DataFrame:
    """By corpus: its shards, documents and tokens, how many shards no current dictionary has read, how many retired."""
    return catalog.sql(
        """
        with read as (
            select distinct shard from dictionary_shards join dictionaries using (dictionary_id) where is_current
        )
        select corpus, count(*) filter (retired_at is null) as shards,
               (sum(n_documents) filter (retired_at is null))::bigint as documents,
               (sum(n_tokens) filter (retired_at is null))::bigint as tokens,
               count(*) filter (retired_at is null and read.shard is null) as unread,
               count(*) filter (retired_at is not null) as retired,
               count(*) filter (retired_at is not null and read.shard is not null) as pinned
        from shards left join read using (shard) group by corpus order by corpus limit 100
        """
    )


def retired_shards(catalog: Catalog) -> pl.DataFrame:
    """The shards that left their corpus or were replaced, the latest first, and how many dictionaries pin them."""
    return catalog.sql(
        f"""
        select s.shard, s.n_documents, s.created_at, s.retired_at,
               count(distinct d.dictionary_id) filter (d.is_current) as pinned_by
        from shards s
        left join dictionary_shards p using (shard)
        left join dictionaries d on d.dictionary_id = p.dictionary_id
        where s.retired_at is not null
        group by s.shard, s.sha256, s.n_documents, s.created_at, s.retired_at
        order by s.retired_at desc, s.shard limit {ROWS_SHOWN}
        """
    )
