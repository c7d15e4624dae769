"""Feature splitting from the families of the catalog to the rows of the page's tree."""

from collections.abc import Iterator

import polars as pl
import pytest
from catalog_fixture import LARGE, SMALL, small_frames, small_parquet
from page_elements import components

from catalog_ui.components.family_tree import family_rows
from catalog_ui.family_queries import family
from sae.catalog.publish import build_candidate
from sae.catalog.query import Catalog, open_catalog
from sae.storage import Store

MIDDLE = "eeee000011112222"


@pytest.fixture(scope="module")
def catalog(tmp_path_factory) -> Iterator[Catalog]:
    """Three sizes: SMALL's first feature becomes two of MIDDLE; one of these becomes two of LARGE, the other one."""
    store = Store(str(tmp_path_factory.mktemp("families")))
    store.open_schema()
    frames = small_frames(store)
    sizes = {SMALL: 60, MIDDLE: 120, LARGE: 240}
    dictionaries, features = frames["dictionaries"], frames["features"]
    middle = dictionaries.filter(dictionary_id=SMALL).with_columns(
        dictionary_id=pl.lit(MIDDLE), recipe=pl.lit("middle")
    )
    frames["dictionaries"] = pl.concat([dictionaries, middle]).with_columns(
        d_sae=pl.col("dictionary_id").replace_strict(sizes, return_dtype=dictionaries.schema["d_sae"])
    )
    copied = features.filter(dictionary_id=SMALL).with_columns(
        dictionary_id=pl.lit(MIDDLE), feature_id=MIDDLE + ":" + pl.col("index").cast(pl.String)
    )
    frames["features"] = pl.concat([features, copied])
    pairs = [
        (f"{SMALL}:0", f"{MIDDLE}:1", 0.7),
        (f"{SMALL}:0", f"{MIDDLE}:2", 0.9),
        (f"{MIDDLE}:2", f"{LARGE}:3", 0.8),
        (f"{MIDDLE}:2", f"{LARGE}:0", 0.95),
        (f"{MIDDLE}:1", f"{LARGE}:4", 0.6),
        (f"{SMALL}:0", f"{LARGE}:0", 0.85),  # past the size between
        (f"{SMALL}:5", f"{LARGE}:4", 0.55),
    ]
    frames["families"] = pl.DataFrame(pairs, schema=frames["families"].schema, orient="row")
    version = build_candidate(store, frames, small_parquet(store), {"config": "seed: 0"})
    with open_catalog(store, version) as opened:
        yield opened


@pytest.mark.parametrize("feature", [f"{SMALL}:0", f"{MIDDLE}:2", f"{LARGE}:3"])
def test_whichever_feature_is_asked_the_whole_family_stands_from_its_ancestor_down(catalog, feature):
    tree = family(catalog, feature)

    assert tree.select("feature_id", "depth").rows() == [
        (f"{SMALL}:0", 0),
        (f"{MIDDLE}:2", 1),
        (f"{LARGE}:0", 2),
        (f"{LARGE}:3", 2),
        (f"{MIDDLE}:1", 1),
        (f"{LARGE}:4", 2),
    ]
    assert tree["cosine"].to_list() == pytest.approx([None, 0.9, 0.95, 0.8, 0.7, 0.6])


def test_a_feature_that_nothing_came_of_is_alone(catalog):
    assert family(catalog, f"{LARGE}:30")["feature_id"].to_list() == [f"{LARGE}:30"]
    assert family(catalog, "' or 1=1 --")["feature_id"].to_list() == ["' or 1=1 --"]


def test_rows_are_links_with_their_depth_and_the_label_as_it_is():
    tree = pl.DataFrame(
        {
            "feature_id": ["a:0", "b:1"],
            "depth": [0, 1],
            "cosine": [None, 0.9],
            "label": ["<b>x</b>", None],
            "recipe": ["small", "large"],
            "d_sae": [10, 20],
        }
    )

    first, second = family_rows(tree, here="b:1")

    assert first["feature"] == {"id": "a:0", "label": "<b>x</b>", "note": "small", "depth": 0}
    assert second["feature"]["note"] == "large, this feature"
    assert second["feature"]["depth"] == 1


def test_the_page_shows_what_a_feature_becomes(open_page):
    tables = components(open_page("feature", id=f"{SMALL}:1"), "records")

    (rows,) = (shown["rows"] for shown in tables if shown["columns"][-1]["title"] == "Cosine with the one above")
    assert [row["feature"]["id"] for row in rows] == [f"{SMALL}:1", f"{LARGE}:1"]
    assert [row["feature"]["depth"] for row in rows] == [0, 1]
