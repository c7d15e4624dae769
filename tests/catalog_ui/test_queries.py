"""Queries with values that try to be SQL."""

from collections.abc import Iterator

import polars as pl
import pytest
from catalog_fixture import LARGE

from catalog_ui import (
    audit_queries,
    dictionary_pair_queries,
    feature_pair_queries,
    likeness_queries,
    provenance_queries,
    queries,
    steering_queries,
)
from sae.catalog.query import Catalog, open_catalog
from sae.storage import Store

INJECTIONS = ("' or 1=1 --", "'; drop table features; --", '"', "%", "\\", "\x00")


@pytest.fixture
def catalog(small_store) -> Iterator[Catalog]:
    with open_catalog(Store(str(small_store))) as opened:
        yield opened


@pytest.mark.parametrize("text", INJECTIONS)
def test_values_are_never_read_as_sql(catalog, text):
    assert queries.feature(catalog, f"{text}:1") is None
    assert queries.summaries(catalog, [text]).is_empty()
    assert queries.map_points(catalog, text).is_empty()
    assert queries.examples(catalog, f"{text}:1", "top").is_empty()
    assert queries.examples(catalog, f"{LARGE}:1", text).is_empty()
    assert queries.attributions(catalog, text, text).is_empty()
    assert queries.best_known(catalog, text, 5) == []
    assert steering_queries.completions(catalog, None, None, text, 5).is_empty()
    assert steering_queries.completions(catalog, text, text, "", 5).is_empty()
    assert steering_queries.held_together(catalog, None, None, text, 5).is_empty()
    assert not steering_queries.reads_pictures(catalog, text)


@pytest.mark.parametrize("text", INJECTIONS)
def test_values_of_the_pages_that_compare_and_audit_are_never_read_as_sql(catalog, text):
    feature, other = f"{text}:1", f"{LARGE}:1"
    assert feature_pair_queries.cosines(catalog, feature, feature) == []
    assert feature_pair_queries.together(catalog, other, feature) is None
    assert feature_pair_queries.shared_passages(catalog, feature, other)[0] == 0
    assert feature_pair_queries.examples_of(catalog, other, [text]).is_empty()
    assert dictionary_pair_queries.matches(catalog, text, LARGE, text).is_empty()
    assert likeness_queries.likeness(catalog, text, LARGE).n_mutual == 0
    assert likeness_queries.splits(catalog, text, text).parents == 0
    assert provenance_queries.shards_of(catalog, text, 5).is_empty()
    assert audit_queries.label_passages(catalog, other, text, text).is_empty()
    assert audit_queries.history(catalog, feature).is_empty()
    assert audit_queries.run(catalog, text) is None


def test_labels_in_force_are_found_for_the_features_of_a_column(catalog):
    frame = pl.DataFrame({"other": [f"{LARGE}:1", None, "nothing", f"{LARGE}:0"]})

    labelled = queries.with_labels(catalog, frame, "other")

    assert labelled["label"].to_list() == ["Alcatraz", None, None, "Golden Gate Bridge, San Francisco"]


def test_a_feature_is_one_row_even_where_its_model_has_two_names(catalog):
    row = queries.feature(catalog, f"{LARGE}:1")

    assert row is not None
    assert row["model"] == "world-lm"
    assert queries.dictionaries(catalog).height == 2


def test_the_human_label_and_its_origin_are_found(catalog):
    row = queries.feature(catalog, f"{LARGE}:0")
    assert row is not None

    origin = queries.label_origin(catalog, row["label_id"])

    assert origin["labeler"] == "human"
    assert origin["parent_label_id"] == f"label-{LARGE[:4]}-0"
    assert queries.label_history(catalog, f"{LARGE}:0").height == 3
