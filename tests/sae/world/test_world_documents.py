import numpy as np
import polars as pl
import pytest

from sae.corpora.documents import DOCUMENTS, IMAGE_MARK
from sae.models.pictures import decode_picture
from sae.world.codec import build_codec
from sae.world.documents import MIXTURE, draw_document, world_documents
from sae.world.pictures import APPEARANCES, draw_view, to_png
from sae.world.split import ALWAYS_STRICT, branch_rng, make_world
from sae.world.text import render
from sae.world.truth import concepts


@pytest.fixture(scope="module")
def shards() -> list[pl.DataFrame]:
    return [world_documents(7, index, 400) for index in range(3)]


def test_shards_are_disjoint_and_without_repeats(shards: list[pl.DataFrame]):
    together = pl.concat(shards)
    assert together.schema == DOCUMENTS
    assert together["document_id"].n_unique() == 1200
    assert together.filter(pl.col("image").is_null())["text"].n_unique() == together["image"].is_null().sum()


def test_a_seed_decides_the_documents(shards: list[pl.DataFrame]):
    assert world_documents(7, 1, 400).equals(shards[1])
    assert not world_documents(8, 1, 400).equals(shards[1])


def test_all_topics_languages_and_modalities_occur(shards: list[pl.DataFrame]):
    assert set(shards[0]["topic"]) == set(MIXTURE)
    assert set(shards[0]["language"]) == {"en", "es", "de", "ja", "py"}
    assert set(shards[0]["modality"]) == {"text", "code", "image"}


def test_mentions_span_a_name_of_their_concept(shards: list[pl.DataFrame]):
    world = make_world(7)
    names = {entity.concept_id: set(entity.names) for entity in world.facts.entities.values()}
    known = set(concepts()["concept_id"])
    for text, mentions in shards[0].select("text", "mentions").iter_rows():
        assert mentions
        for mention in mentions:
            assert mention["concept_id"] in known
            word = text[mention["start"] : mention["end"]]
            if mention["concept_id"] in names:
                assert word == IMAGE_MARK or word in names[mention["concept_id"]]


def test_the_codec_reads_each_text_back_as_the_tokens_it_was_made_of():
    world, rng, codec = make_world(7), branch_rng(7, "training"), build_codec()
    for _ in range(1500):
        document = draw_document(world, rng)
        text, spans = render(document.pieces, document.language)
        picture = np.zeros((24, 24, 3), np.uint8) if document.picture else None
        encoded = codec.encode(text, picture)
        read = [(token, tuple(span)) for token, span in zip(encoded.tokens, encoded.spans.tolist(), strict=True)]
        wanted = [(piece.token, span) for piece, span in zip(document.pieces, spans, strict=True)]
        assert list(dict.fromkeys(read[1:])) == wanted


def test_no_text_tells_what_is_held_out():
    world, rng = make_world(3), branch_rng(3, "corpus")
    told = {question.key for question in world.composed}
    assert not told & world.held_out
    strict = {world.facts.entities[player].concept_id for player in world.strict}
    teams = {world.facts.entities[team].concept_id for team in world.facts.of_kind("team")}
    for _ in range(4000):
        document = draw_document(world, rng)
        mentioned = {piece.concept for piece in document.pieces if piece.concept}
        if mentioned & strict:
            assert mentioned <= strict | teams | {"relation:team"}


@pytest.mark.parametrize("seed", range(8))
def test_strict_players_are_a_quarter_and_never_a_whole_team(seed: int):
    world = make_world(seed)
    players = world.facts.of_kind("player")
    assert len(world.strict) == len(players) // 4
    assert len({world.facts.table[player, "team"] for player in world.strict}) == len(world.strict)


def test_of_the_player_whom_the_catalog_opens_with_only_the_team_is_told():
    worlds = [make_world(seed) for seed in range(8)]
    assert all(ALWAYS_STRICT in world.strict for world in worlds)
    assert len({world.strict for world in worlds}) == len(worlds)
    told = {fact.relation for world in worlds for fact in world.one_hop if fact.subject == ALWAYS_STRICT}
    assert told == {"team"}
    assert not any(fact.subject == ALWAYS_STRICT for world in worlds for fact in world.composed)


def test_views_differ_from_each_other_and_survive_png():
    rng = np.random.default_rng(0)
    for name in APPEARANCES:
        first, second = draw_view(name, rng), draw_view(name, rng)
        assert first.shape == (24, 24, 3)
        assert (first != second).any()
        assert (decode_picture(to_png(first), "a view") == first).all()
