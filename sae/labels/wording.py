"""Choosing the words of a label from a feature's examples, and writing the label and its explanation."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sae.labels.contexts import Context
from sae.labels.log_odds import Corpus
from sae.labels.rule import LANGUAGES, PICTURE, SEPARATOR, parse_rule

_LONGEST_WORD = 40


@dataclass(frozen=True)
class LexicalSettings:
    """What lexical labels depend on beside the examples and the corpus."""

    prior: float = 10.0
    """Weight of the corpus in the log-odds, in words."""
    z: float = 1.96
    """Least z-score of a word's log-odds."""
    words: int = 4
    """Most words that a label lists."""
    least_share: float = 0.08
    """Least share of a feature's activation at a word (or at pictures) that the label lists."""
    context_words: int = 3
    """Most words of the context that a label lists."""
    least_context: float = 0.15
    """Least share of a feature's activation that a word of the context must add."""
    context_cover: float = 0.6
    """Words of the context are listed where together they stand in this share of it."""
    covered: float = 0.4
    """Below this share of a feature's activation at its listed words the context alone names the feature."""
    sufficient: float = 0.5
    """The words alone are the label where the feature is active at this share of their occurrences."""
    one_language: float = 0.9
    """Share of its activation in one language from which a feature without distinctive words is named by it."""


@dataclass(frozen=True)
class Shown:
    """The shown examples of one feature."""

    example_ids: list[str]
    contexts: list[Context]
    activations: list[float]
    """0 where the feature is silent."""

    @property
    def active(self) -> list[tuple[Context, float]]:
        """Those where the feature is active, with the activation over its maximum."""
        largest = max(self.activations, default=0.0) or 1.0
        pairs = zip(self.contexts, self.activations, strict=True)
        return [(context, activation / largest) for context, activation in pairs if activation > 0]


def describe(shown: Shown, n_active: float, corpus: Corpus, settings: LexicalSettings) -> tuple[str, str]:
    """Label and explanation of one feature.

    :param n_active: number of words of the corpus at which it is active
    """
    active = shown.active
    total = sum(weight for _, weight in active) or 1.0
    pictures = [(context, weight) for context, weight in active if context.image]
    text = [(context, weight) for context, weight in active if not context.image]
    picture_share = sum(weight for _, weight in pictures) / total
    has_pictures = picture_share >= settings.least_share
    words = _focus_words(text, total, corpus, settings)
    after = _words_before(text, words, n_active * (1 - picture_share), corpus, settings)
    if after and sum(words.values()) < settings.covered * (1 - picture_share):
        words = {}
    near = _context_words(pictures, lambda c: c.before + c.after, set(words), corpus, settings) if has_pictures else []
    language = None
    if not after and not has_pictures and sum(words.values()) < settings.covered:
        language = _language(active, total, corpus, settings)
        words = {} if language else words or _most_active(text, total)
    spelling = _spelling(shown, {*words, *after, *near})
    after, near = [spelling[word] for word in after], [spelling[word] for word in near]
    parts = [_shown_word(spelling[word]) for word in words]
    if after:
        parts.append("after " + ", ".join(_shortened(word) for word in after))
    if has_pictures:
        parts.append(PICTURE)
        if near:
            parts.append("near " + ", ".join(_shortened(word) for word in near))
    if language:
        parts.append(f"in {LANGUAGES.get(language, language)}")
    label = SEPARATOR.join(parts)
    return label, _explanation(spelling, words, after, picture_share if has_pictures else 0, near, language, active)


def _focus_words(
    text: list[tuple[Context, float]], total: float, corpus: Corpus, settings: LexicalSettings
) -> dict[str, float]:
    """The distinctive words at the positions, with their shares, largest first."""
    weights: dict[str, float] = {}
    for context, weight in text:
        weights[context.focus] = weights.get(context.focus, 0.0) + weight
    distinctive = {
        word: weight / total
        for word, weight in weights.items()
        if weight >= settings.least_share * total and corpus.z(word, weight, total) >= settings.z
    }
    return dict(sorted(distinctive.items(), key=lambda item: (-item[1], item[0]))[: settings.words])


def _words_before(
    text: list[tuple[Context, float]],
    words: dict[str, float],
    n_active: float,
    corpus: Corpus,
    settings: LexicalSettings,
) -> list[str]:
    """Words of the context, where the words at the positions do not tell when the feature is active."""
    if not text:
        return []
    occurrences = sum(corpus.count(word) for word in words)
    n_text = len(text)
    at_words = [(context, weight) for context, weight in text if context.focus in words]
    if occurrences and n_active * len(at_words) / n_text >= settings.sufficient * occurrences:
        return []
    covered = sum(words.values()) >= settings.covered
    return _context_words(at_words if covered else text, lambda c: c.before, set(words), corpus, settings)


def _context_words(
    examples: list[tuple[Context, float]],
    read: Callable[[Context], list[str]],
    apart_from: set[str],
    corpus: Corpus,
    settings: LexicalSettings,
) -> list[str]:
    """Up to `context_words` distinctive words, each of which adds examples; none where they reach too few."""
    total = sum(weight for _, weight in examples)
    windows = [(set(read(context)), weight) for context, weight in examples]
    weights: dict[str, float] = {}
    size = 0.0
    for window, weight in windows:
        size += weight * len(window)
        for word in window:
            weights[word] = weights.get(word, 0.0) + weight
    least = settings.least_context * total
    scores = {
        word: z
        for word, weight in weights.items()
        if weight >= least
        and word not in apart_from
        and any(letter.isalpha() for letter in word)
        and not word.startswith("<")
        and (z := corpus.z(word, weight, size)) >= settings.z
    }
    chosen: list[str] = []
    for word in sorted(scores, key=lambda word: (-scores[word], word)):
        new = sum(weight for window, weight in windows if word in window and window.isdisjoint(chosen))
        if new >= least and len(chosen) < settings.context_words:
            chosen.append(word)
    reached = sum(weight for window, weight in windows if not window.isdisjoint(chosen))
    return chosen if reached >= settings.context_cover * total else []


def _language(
    active: list[tuple[Context, float]], total: float, corpus: Corpus, settings: LexicalSettings
) -> str | None:
    weights: dict[str, float] = {}
    for context, weight in active:
        weights[context.language] = weights.get(context.language, 0.0) + weight
    language, weight = max(weights.items(), key=lambda item: (item[1], item[0]))
    # Half as much again as the corpus would give: in a corpus of one language the language tells nothing.
    distinctive = weight / total >= 1.5 * corpus.languages.get(language, 0.0)
    return language if distinctive and weight / total >= settings.one_language else None


def _most_active(text: list[tuple[Context, float]], total: float) -> dict[str, float]:
    """The words with the most activation, where no word is distinctive."""
    weights: dict[str, float] = {}
    for context, weight in text:
        weights[context.focus] = weights.get(context.focus, 0.0) + weight / total
    return dict(sorted(weights.items(), key=lambda item: (-item[1], item[0]))[:2])


def _spelling(shown: Shown, words: set[str]) -> dict[str, str]:
    """How each of some words is written where it comes first (the strongest examples come first)."""
    spelling: dict[str, str] = {}
    for context in shown.contexts:
        if len(spelling) == len(words):
            break
        for word, written in context.spellings():
            if word in words:
                spelling.setdefault(word, written)
    return spelling


def _shown_word(word: str) -> str:
    """A word as a part of a label: quoted where it would read as something else."""
    word = _shortened(word)
    plain = any(letter.isalnum() for letter in word) and parse_rule(word).phrases == {word.lower()}
    return word if plain else f"“{word.replace(SEPARATOR.strip(), '').replace('”', '')}”"


def _shortened(word: str) -> str:
    return word[:_LONGEST_WORD]


def _explanation(
    spelling: dict[str, str],
    words: dict[str, float],
    after: Iterable[str],
    picture_share: float,
    near: Iterable[str],
    language: str | None,
    active: list[tuple[Context, float]],
) -> str:
    """One sentence that says what the label's words hold."""
    places = [f"“{_shortened(spelling[word])}” ({share:.0%})" for word, share in words.items()]
    if after := list(after):
        names = " or ".join(f"“{_shortened(word)}”" for word in after)
        places.append(f"words that follow {names}" if not places else f"there mostly after {names}")
    if picture_share:
        beside = " or ".join(f"“{_shortened(word)}”" for word in near)
        places.append(f"pictures ({picture_share:.0%})" + (f" near {beside}" if beside else ""))
    if language:
        places.append(f"text in {LANGUAGES.get(language, language)}")
    languages = sorted({context.language for context, _ in active})
    names = ", ".join(LANGUAGES.get(code, code) for code in languages)
    return f"Active on {', '.join(places)}, in {len(active)} shown examples ({names}); shares are of its activation."
