"""What an id, or the beginning of one, names in the small catalog."""

import pytest
from catalog_fixture import LARGE, MODEL, RUN, SMALL

from sae.catalog.names import KINDS, names_of
from sae.catalog.query import open_catalog
from sae.storage import Store


@pytest.fixture(scope="module")
def catalog(small_store):
    with open_catalog(Store(str(small_store))) as opened:
        yield opened


def test_the_beginning_of_an_id_names_all_that_begin_so(catalog):
    assert names_of(catalog, "dictionary", "aaaa") == [LARGE]
    assert names_of(catalog, "dictionary", SMALL) == [SMALL]
    assert names_of(catalog, "run", RUN) == [RUN]
    assert len(names_of(catalog, "label", "label-")) == 5


def test_of_the_short_names_of_shards_and_models_the_whole_is_wanted(catalog):
    assert names_of(catalog, "shard", "world-0000") == []
    assert names_of(catalog, "shard", "world-00001") == ["world-00001"]
    assert names_of(catalog, "model", "world-lm") == ["world-lm"]
    assert names_of(catalog, "model", MODEL) == [MODEL]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", ["aaa", "", "%", "' or 1=1 --"])
def test_short_beginnings_and_other_texts_name_nothing(catalog, kind, text):
    assert names_of(catalog, kind, text) == []
