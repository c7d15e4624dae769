from pathlib import Path

import pytest
from catalog_fixture import LARGE, SMALL, small_frames, small_parquet
from hypothesis import given, settings
from hypothesis import strategies as st

from sae.catalog import Catalog, open_catalog
from sae.catalog.publish import build_candidate, publish
from sae.catalog.search import RESULT_SCHEMA, search, search_catalog
from sae.catalog.search_text import index_terms, pairs, split_words
from sae.catalog.versions import search_folder
from sae.errors import AtlasError
from sae.storage import Store


@pytest.fixture(scope="module")
def catalog(small_store: Path):
    with open_catalog(Store(str(small_store))) as opened:
        yield opened


def indices(catalog: Catalog, text: str, limit: int = 5) -> list[int]:
    return search(catalog, text, limit, dictionary_id=LARGE)["index"].to_list()


@pytest.mark.parametrize(
    "text",
    [
        "golden gate bridge",
        "GOLDEN",
        "gold",
        "gatee",
        "brigde",
        "ゴールデンゲートブリッジ",
        "ゴールデン",
        "ゲートブリ",
        "ｺﾞｰﾙﾃﾞﾝ",
        "ゴ",
        "ゴールデンゲイトブリッジ",
        "San Francisco",
        "landmark golden",
        f"{LARGE}:0",
    ],
)
def test_the_bridge_is_found_first(catalog: Catalog, text: str):
    assert indices(catalog, text)[0] == 0


def test_the_word_itself_comes_before_its_beginnings_and_misspellings(catalog: Catalog):
    assert indices(catalog, "word10")[0] == 10
    assert set(indices(catalog, "word2", 3)) <= set(range(20, 30))


def test_an_accent_is_no_difference(catalog: Catalog):
    assert indices(catalog, "Sacraménto")[0] == indices(catalog, "sacramento")[0] == 2


def test_rows_carry_what_a_list_shows(catalog: Catalog):
    found = search(catalog, "kobe", 2)

    assert found.schema == RESULT_SCHEMA
    assert set(found["dictionary_id"]) == {LARGE, SMALL}
    assert found["label"].to_list() == ["Kobe Bryant"] * 2
    assert found["score"].is_sorted(descending=True)


def test_a_limit_and_nothing_found(catalog: Catalog):
    assert len(search(catalog, "active", 3)) == 3
    assert search(catalog, "active", 0).is_empty()
    assert search(catalog, "zzzzqqqq", 3).is_empty()
    assert search(catalog, " ?! ", 3).is_empty()


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=80))
def test_any_text_is_only_text(catalog: Catalog, text: str):
    assert search(catalog, text, 3).schema == RESULT_SCHEMA


@pytest.mark.parametrize(
    "text",
    ['"golden', "label:golden AND (", "golden^9", "*", "gol* OR *", "[a TO z]", "\\", "a" * 5000, "\ud800 golden"],
)
def test_query_syntax_has_no_meaning(catalog: Catalog, text: str):
    assert search(catalog, text, 3).schema == RESULT_SCHEMA


def test_the_stores_current_catalog_is_searched(small_store: Path):
    assert search_catalog(Store(str(small_store)), "lakers", 1)["label"].to_list() == ["Lakers"]


def test_an_index_that_is_missing_or_damaged_is_told(tmp_path: Path):
    store = Store(str(tmp_path))
    publish(store, build_candidate(store, small_frames(store), small_parquet(store), {}))
    with open_catalog(store) as catalog:
        meta = store.local(f"{search_folder(catalog.version)}/meta.json")
        meta.write_text("{}")
        with pytest.raises(AtlasError, match="is damaged"):
            search(catalog, "golden")

        meta.unlink()
        with pytest.raises(AtlasError, match="is missing"):
            search(catalog, "golden")


@given(st.text(max_size=60))
def test_splitting_is_stable(text: str):
    words = split_words(text)

    assert split_words(" ".join(words)) == words
    assert "\n" not in index_terms(text)


def test_cjk_runs_become_pairs():
    assert split_words("Zürich ガス 金門大橋in 2026") == ["zurich", "ガス", "金門大橋", "in", "2026"]
    assert pairs("金門大橋") == ["金門", "門大", "大橋", "橋"]
