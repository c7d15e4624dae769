"""Where features of a replaced dictionary went: the view, and the words for it."""

import pytest
from catalog_fixture import LARGE, OLD, small_frames, small_parquet

from orchestration.cards import feature_card, print_card
from sae.catalog import open_catalog
from sae.catalog.publish import build_candidate, publish
from sae.catalog.successors import successors_of, went
from sae.errors import AtlasError
from sae.storage import Store


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    store = Store(str(tmp_path_factory.mktemp("successors")))
    publish(store, build_candidate(store, small_frames(store), small_parquet(store), {}))
    with open_catalog(store) as catalog:
        yield catalog


@pytest.mark.parametrize(
    ("index", "successors", "words"),
    [
        (1, [("carried", 1)], f"{LARGE}:1 carries it on (decoder cosine 0.98, activations correlate by 0.99)."),
        (0, [("carried", 0), ("split", 20)], f"{LARGE}:20 split off from it."),
        (29, [("merged", 1)], f"It was merged into {LARGE}:1 ("),
        (30, [("retired", None)], "No feature there matches it: it is retired"),
    ],
)
def test_each_status_leads_on_or_says_why_not(index, successors, words, catalog):
    rows = successors_of(catalog, f"{OLD}:{index}")

    found = [(row["status"], row["successor_id"]) for row in rows]
    assert found == [(status, None if i is None else f"{LARGE}:{i}") for status, i in successors]
    assert words in went(rows)
    assert went(rows).startswith(f"{OLD}:{index} belongs to a dictionary that {LARGE} has replaced.")


def test_a_feature_that_is_new_has_no_one_before_it(catalog):
    assert catalog.sql("select count(*) from successors where successor_id = ?", [f"{LARGE}:21"]).item() == 0


def test_the_card_of_an_old_feature_is_its_successors(catalog):
    card = feature_card(catalog, f"{OLD}:0")

    assert card["feature"]["feature_id"] == f"{LARGE}:0"
    first, second = print_card(card).splitlines()[:2]
    assert first == card["went"]
    assert second.startswith(f"{LARGE}:0  ")


def test_the_card_of_a_retired_feature_says_so(catalog):
    assert "it is retired" in print_card(feature_card(catalog, f"{OLD}:30"))


def test_an_id_that_nothing_has_is_an_error(catalog):
    with pytest.raises(AtlasError, match="No feature"):
        feature_card(catalog, f"{OLD}:31")
