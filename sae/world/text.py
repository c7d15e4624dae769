"""Sentences: frames filled with names, as lists of tokens that know what they mean, and their text."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from sae.world.facts import LANGUAGES, Entity, Fact, Facts, concept_id
from sae.world.phrases import PHRASES, RELATION_WORDS, SPORT_WORDS, split_frame

CONTEXT_WEIGHT = 0.1
"""Loss weight of a token that is neither an answer nor an apposition."""
_OTHER_LANGUAGE = 0.75
_ASIDE = 0.6
_NO_SPACE_BEFORE = frozenset(",.:?)")
_NO_SPACE_AFTER = frozenset("(¿")


@dataclass(frozen=True)
class Piece:
    """One token: its text, the concept it names (or None), and its weight in the training loss."""

    token: str
    concept: str | None = None
    weight: float = CONTEXT_WEIGHT
    gap: str | None = None
    """White space before it; None where the letters decide."""


@dataclass(frozen=True)
class Subject:
    """What stands in the slot X: one token, and the apposition after it (empty where there is none)."""

    piece: Piece
    apposition: tuple[Piece, ...] = ()


def direct_sentence(facts: Facts, fact: Fact, language: str, frame: int, subject: Subject) -> list[Piece]:
    """A one-hop fact; `frame` 0 is a statement, 1 the short form."""
    phrasing = PHRASES[language]
    slots = {"{rel}": [relation_piece(fact.relation, language)], "{x}": _subject_pieces(subject)}
    return _fill(phrasing.direct[frame], slots | {"{a}": [answer_piece(facts, fact.answer)]})


def composed_sentence(facts: Facts, fact: Fact, language: str, subject: Subject, aside: bool) -> list[Piece]:
    """A fact of the place where the subject is, or that place; `aside` names the place on the way."""
    phrasing = PHRASES[language]
    place = fact.place or ""
    entity = facts.entities[fact.subject]
    clause = phrasing.clauses[entity.kind]
    frame = phrasing.located if fact.relation is None else phrasing.composed[0]
    words = phrasing.subjects if fact.relation is None else phrasing.places
    frame = frame.replace("{clause}", clause).replace("{place}", words[place])
    frame = frame.replace("{aside}", phrasing.aside if aside else "")
    slots = {"{x}": _subject_pieces(subject), "{a}": [answer_piece(facts, fact.answer)]}
    if "{sport}" in frame:
        sport = facts.sport(fact.subject)
        word = SPORT_WORDS[sport][LANGUAGES.index(language)]
        slots["{sport}"] = [Piece(word, concept_id("sport", sport))]
    if fact.relation is not None:
        slots["{rel}"] = [relation_piece(fact.relation, language)]
    if aside:
        slots["{name}"] = [answer_piece(facts, facts.place(fact.subject, place) or "")]
    return _fill(frame, slots)


def alias_sentence(facts: Facts, name: str, language: str, subject: Subject, other: str) -> list[Piece]:
    """Two names of one thing."""
    answer = Piece(other, facts.entities[name].concept_id, 1.0)
    return _fill(PHRASES[language].alias, {"{x}": _subject_pieces(subject), "{a}": [answer]})


def relation_piece(relation: str | None, language: str) -> Piece:
    """The relation's name in a language."""
    assert relation is not None
    return Piece(RELATION_WORDS[relation][LANGUAGES.index(language)], concept_id("relation", relation))


def answer_piece(facts: Facts, name: str) -> Piece:
    """An answer, by its canonical name in every language."""
    return Piece(name, facts.entities[name].concept_id, 1.0)


def draw_name(entity: Entity, language: str, rng: Random) -> str:
    """A name in a random language: in three of four sentences in another one than the sentence's."""
    if rng.random() < _OTHER_LANGUAGE:
        language = rng.choice([other for other in LANGUAGES if other != language])
    return entity.in_language(language)


def draw_aside(rng: Random) -> bool:
    """Whether a composed sentence names the place on the way."""
    return rng.random() < _ASIDE


def alias_apposition(entity: Entity, used: str, language: str, rng: Random) -> tuple[Piece, ...]:
    """Another of the entity's names in brackets; empty where it has only the one in use."""
    others = list(dict.fromkeys(name for name in entity.names if name != used))
    return _bracketed([Piece(rng.choice(others), entity.concept_id, 1.0)], language) if others else ()


def chain_apposition(facts: Facts, names: Sequence[str], language: str) -> tuple[Piece, ...]:
    """What the subject belongs to, upwards, in brackets."""
    return _bracketed([answer_piece(facts, name) for name in names], language) if names else ()


def render(pieces: Sequence[Piece], language: str) -> tuple[str, list[tuple[int, int]]]:
    """The text of some pieces and the span of each in it, in characters. Japanese sets no spaces round its letters."""
    text, spans = "", []
    for index, piece in enumerate(pieces):
        if index:
            text += gap_between(text[-1], piece.token[0], language == "ja") if piece.gap is None else piece.gap
        spans.append((len(text), len(text) + len(piece.token)))
        text += piece.token
    return text, spans


def gap_between(before: str, after: str, japanese: bool) -> str:
    """The white space between two tokens that end and begin with these letters."""
    tight = before in _NO_SPACE_AFTER or after in _NO_SPACE_BEFORE
    return "" if tight or (japanese and (is_wide(before) or is_wide(after))) else " "


def is_wide(letter: str) -> bool:
    """Whether a letter is one of East Asia's, which are set without spaces."""
    return letter >= "⺀"


def _bracketed(names: Sequence[Piece], language: str) -> tuple[Piece, ...]:
    phrasing = PHRASES[language]
    inside: list[Piece] = []
    for name in names:
        inside += [Piece(phrasing.comma), name] if inside else [name]
    return (Piece(phrasing.brackets[0]), *inside, Piece(phrasing.brackets[1]))


def _subject_pieces(subject: Subject) -> list[Piece]:
    return [subject.piece, *subject.apposition]


def _fill(frame: str, slots: dict[str, list[Piece]]) -> list[Piece]:
    return [piece for token in split_frame(frame) for piece in (slots[token] if "{" in token else [Piece(token)])]
