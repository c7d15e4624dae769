"""The views over labels, against frames whose answer is known."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from catalog_fixture import LARGE, RUN, T0, WEAK, small_frames, small_parquet

from sae.catalog import open_catalog
from sae.catalog.frames import frame_schema
from sae.catalog.publish import build_candidate, publish
from sae.catalog.schema import TABLES
from sae.labels.current import current_labels
from sae.storage import Store

WEAK_ONES = [f"label-{dictionary}-{WEAK}" for dictionary in ("aaaa", "bbbb")]
OLD, HUMAN, NEWER = "label-aaaa-0", "label-human", "label-newer"


@pytest.fixture
def published(tmp_path: Path):
    """Publishes the small catalog with some reviews and more scores; opens it."""
    store = Store(str(tmp_path))

    def build(
        reviews: Sequence[tuple[str, str]],
        scores: Sequence[tuple[str, str, float]] = (),
        renewals: Sequence[tuple[str, int]] = (),
    ):
        frames = small_frames(store)
        said = [
            (f"r{hour}", label, "ada", verdict, None, None, T0 + timedelta(hours=hour))
            for hour, (label, verdict) in enumerate(reviews)
        ]
        more = [(label, scorer, score, 20, None, "judge", 0, RUN, T0) for label, scorer, score in scores]
        frames["label_reviews"] = pl.DataFrame(said, frame_schema(TABLES["label_reviews"]), orient="row")
        again = [(label, number, RUN, T0 + timedelta(days=9 + number)) for label, number in renewals]
        frames["label_renewals"] = pl.DataFrame(again, frame_schema(TABLES["label_renewals"]), orient="row")
        frames["label_scores"] = pl.concat(
            [frames["label_scores"], pl.DataFrame(more, frame_schema(TABLES["label_scores"]), orient="row")]
        )
        publish(store, build_candidate(store, frames, small_parquet(store), {}))
        return open_catalog(store), frames

    return build


@pytest.mark.parametrize(
    ("reviews", "renewals", "current"),
    [
        ([], [], HUMAN),
        ([(HUMAN, "reject")], [], NEWER),
        ([(HUMAN, "reject"), (OLD, "accept")], [], OLD),
        ([(HUMAN, "reject"), (HUMAN, "accept")], [], HUMAN),
        ([(OLD, "accept")], [], HUMAN),
        ([(HUMAN, "reject"), (OLD, "reject"), (NEWER, "reject")], [], None),
        ([(HUMAN, "reject")], [(OLD, 1)], OLD),
        ([(HUMAN, "reject")], [(OLD, 1), (NEWER, 2)], NEWER),
        ([(HUMAN, "reject")], [(OLD, 1), (NEWER, 2), (OLD, 3)], OLD),
        ([], [(OLD, 1)], HUMAN),
    ],
)
def test_the_view_and_the_library_agree_on_the_current_label(reviews, renewals, current, published):
    catalog, frames = published(reviews, renewals=renewals)

    with catalog:
        shown = catalog.sql("select * from current_labels")
    asked = shown.filter(pl.col("feature_id") == f"{LARGE}:0")["label_id"].to_list()

    assert asked == ([current] if current else [])
    library = current_labels(frames["labels"], frames["label_reviews"], frames["label_renewals"])
    assert shown["label_id"].to_list() == library["label_id"].to_list()


def test_labels_under_the_threshold_are_listed_and_still_current(published):
    weak = {
        "label-aaaa-3": [("detection", 0.55), ("fuzzing", 0.7)],
        "label-aaaa-4": [("detection", 0.6)],
        "label-aaaa-5": [("simulation", 0.1), ("specificity", 0.2)],
        "label-aaaa-6": [("fuzzing", 0.2)],
        HUMAN: [("detection", 0.1)],
    }
    scores = [(label, scorer, score) for label, found in weak.items() for scorer, score in found]

    catalog, _ = published([("label-aaaa-6", "accept")], scores)

    with catalog:
        listed = catalog.sql(
            "select label_id, scorer, score, threshold from labels_to_review order by score desc"
        ).rows()
        current = set(catalog.sql("select label_id from current_labels")["label_id"])
    assert listed == [("label-aaaa-3", "detection", 0.55, 0.6), *((name, "rule", 0.5, 0.6) for name in WEAK_ONES)]
    assert set(weak) <= current


def test_a_rule_counts_where_no_model_judged(published):
    catalog, _ = published([], [(WEAK_ONES[1], "fuzzing", 0.9)])

    with catalog:
        assert catalog.sql("select label_id, scorer from labels_to_review").rows() == [(WEAK_ONES[0], "rule")]
