from datetime import UTC, datetime

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sae.catalog.frames import conform, frame_schema
from sae.catalog.schema import TABLES
from sae.errors import AtlasError

CLUSTERS = TABLES["clusters"]


def clusters(**columns: pl.Series | list) -> pl.DataFrame:
    plain = {"dictionary_id": ["d"], "cluster_id": [0], "label": ["places"], "size": [3], "x": [0.5], "y": [1.5]}
    return pl.DataFrame(plain | columns)


def test_columns_come_in_order_with_exact_types():
    frame = clusters().select(reversed(clusters().columns))

    conformed = conform(CLUSTERS, frame)

    assert conformed.schema == frame_schema(CLUSTERS)


@given(st.permutations(range(8)))
def test_rows_are_sorted_whatever_their_order(order):
    frame = pl.DataFrame({"dictionary_id": "d", "cluster_id": order, "label": "", "size": 1, "x": 0.0, "y": 0.0})

    assert conform(CLUSTERS, frame)["cluster_id"].to_list() == list(range(8))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"size": ["three"]}, "clusters.size is String"),
        ({"size": [1.5]}, "clusters.size is Float64"),
        ({"x": ["0"]}, "clusters.x is String"),
        ({"label": [None]}, "has 1 nulls"),
        ({"label": [3]}, "clusters.label is Int64"),
        ({"size": [2**40]}, "clusters.size is Int64"),
        ({"colour": ["red"]}, "has unknown colour"),
    ],
)
def test_a_frame_of_another_form_is_refused(columns, message):
    with pytest.raises(AtlasError, match=message):
        conform(CLUSTERS, clusters(**columns))


def test_a_missing_column_is_named():
    with pytest.raises(AtlasError, match="lacks size"):
        conform(CLUSTERS, clusters().drop("size"))


def test_a_value_outside_the_few_is_refused():
    frame = pl.DataFrame({"dictionary_id": ["d"], "shard": ["s"], "data_version": ["v"], "split": ["test"]})

    with pytest.raises(AtlasError, match=r"'test'\. Allowed: train, held_out"):
        conform(TABLES["dictionary_shards"], frame)


@pytest.mark.parametrize(
    "moment",
    [
        "2026-01-02T03:04:05+00:00",
        "2026-01-02T03:04:05Z",
        datetime(2026, 1, 2, 3, 4, 5),
        datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    ],
)
def test_moments_become_utc(moment):
    frame = pl.DataFrame(
        {"run_id": ["r"], "trigger": ["manual"], "status": ["SUCCESS"], "started_at": [moment], "finished_at": [None]}
    ).with_columns(cost_usd=None)

    assert conform(TABLES["runs"], frame)["started_at"].to_list() == [datetime(2026, 1, 2, 3, 4, 5)]
