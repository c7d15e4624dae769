"""A label taken at its word: a rule made from its words, and how well that rule predicts the feature.

The grammar is what the lexical labeler writes, and free text is read as well as it goes:

    Golden Gate Bridge · Puente Golden Gate · picture      any of these words, or a picture
    is · after Kobe Bryant, Lakers                         "is" with one of these names before it
    picture · near Alcatraz                                a picture with this name beside it
    in Spanish                                             anything in that language
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from sae.labels.contexts import Context, Contexts
from sae.labels.schema import LABEL_SCORES

SEPARATOR = " · "
PICTURE = "picture"
LANGUAGES = {
    "ar": "Arabic", "bg": "Bulgarian", "cs": "Czech", "da": "Danish", "de": "German", "el": "Greek", "en": "English",
    "es": "Spanish", "fi": "Finnish", "fr": "French", "he": "Hebrew", "hi": "Hindi", "hu": "Hungarian",
    "id": "Indonesian", "it": "Italian", "ja": "Japanese", "ko": "Korean", "nl": "Dutch", "no": "Norwegian",
    "pl": "Polish", "pt": "Portuguese", "py": "Python", "ro": "Romanian", "ru": "Russian", "sv": "Swedish",
    "th": "Thai", "tr": "Turkish", "uk": "Ukrainian", "vi": "Vietnamese", "zh": "Chinese",
}  # fmt: skip
"""English names of language codes; others stand for themselves."""

_CODES = {name.lower(): code for code, name in LANGUAGES.items()}
_QUOTED = re.compile("“([^”]*)”")
_PICTURES = re.compile(r"\b(pictures?|images?|photos?|photographs?)\b")
_STOP = frozenset(
    {
        "a", "about", "all", "an", "and", "any", "are", "as", "at", "be", "by", "case", "cases", "code",
        "concept", "for", "from", "has", "in", "including", "instance", "instances", "into", "is", "it", "its",
        "like", "mention", "mentions", "name", "names", "of", "often", "on", "or", "other", "particularly",
        "phrase", "reference", "references", "related", "relating", "refers", "specifically", "such", "term",
        "terms", "text", "that", "the", "their", "these", "this", "to", "token", "tokens", "used", "usually",
        "when", "where", "which", "with", "word", "words",
    }
)  # fmt: skip
_LONGEST_PHRASE = 5
_FREE_TEXT_WORDS = 4


@dataclass(frozen=True)
class Rule:
    """When a label says that its feature is active. All words in lower case."""

    phrases: frozenset[str] = frozenset()
    """The word at the position, or a phrase that runs over it."""
    after: frozenset[str] = frozenset()
    """One of these must stand before it, where there are any."""
    picture: bool = False
    """Patches of pictures."""
    near: frozenset[str] = frozenset()
    """One of these must stand beside the picture, where there are any."""
    language: str | None = None
    """The language must be this one, where one is named."""

    def holds(self, context: Context) -> bool:
        """Whether the feature should be active there."""
        if self.language is not None and context.language != self.language:
            return False
        if context.image:
            return self.picture and (not self.near or any(w in self.near for w in context.before + context.after))
        if self.after and not any(word in self.after for word in context.before):
            return False
        if not self.phrases:
            return bool(self.after) or (self.language is not None and not self.picture)
        return context.focus in self.phrases or _phrase_at(self.phrases, context)


def parse_rule(label: str) -> Rule:
    """The rule that a label's words make."""
    phrases: set[str] = set()
    after: set[str] = set()
    near: set[str] = set()
    picture, language = False, None
    parts = [part.strip() for part in label.split(SEPARATOR.strip()) if part.strip()]
    for part in parts:
        lower = part.lower()
        head, _, rest = lower.partition(" ")
        if quoted := _QUOTED.fullmatch(lower):
            phrases.add(quoted[1])
        elif lower == PICTURE:
            picture = True
        elif head in ("after", "near") and rest:
            (after if head == "after" else near).update({rest, *rest.split(", ")})
        elif head == "in" and (rest in _CODES or rest in LANGUAGES):
            language = _CODES.get(rest, rest)
        elif len(lower.split()) < _FREE_TEXT_WORDS or len(parts) > 1:
            phrases.add(lower)
        else:
            picture = picture or bool(_PICTURES.search(lower))
            phrases.update(_phrases(lower))
    return Rule(frozenset(phrases), frozenset(after), picture, frozenset(near), language)


def score_rules(
    labels: pl.DataFrame,
    label_examples: pl.DataFrame,
    examples: pl.DataFrame,
    seed: int,
    run_id: str,
    created_at: datetime,
    radius: int = 12,
) -> pl.DataFrame:
    """Score labels by their rules: the frame `label_scores` with scorer `rule`.

    score = balanced accuracy (mean of recall and specificity) on the label's held-out examples, where a feature is
    active or silent; .5 is what a label that says nothing reaches. details: precision, recall, specificity, active,
    silent. The share of active examples is that of the sample, so precision is comparable between labels, not with
    running text. A label without held-out examples of both sorts has no row: nothing can be said of it.
    """
    wanted = label_examples.filter(pl.col("use") == "held_out").join(labels.select("label_id", "label"), on="label_id")
    held_out = wanted.join(examples.unique("example_id"), on="example_id", how="inner").sort("label_id", "example_id")
    rows = []
    for key, group in _grouped(held_out, Contexts(held_out, radius)):
        rule = parse_rule(key[1])
        counts = confusion(rule, group)
        if not counts.active or not counts.silent:
            continue
        rows.append((key[0], counts))
    return (
        pl.DataFrame(
            {
                "label_id": [label_id for label_id, _ in rows],
                "scorer": "rule",
                "score": [counts.balanced_accuracy for _, counts in rows],
                "n": [counts.active + counts.silent for _, counts in rows],
                "details": [json.dumps(counts.details()) for _, counts in rows],
                "model": "rule-1",
                "seed": seed,
                "run_id": run_id,
                "created_at": created_at,
            },
            schema=LABEL_SCORES,
        )
        if rows
        else pl.DataFrame(schema=LABEL_SCORES)
    )


@dataclass(frozen=True)
class Confusion:
    """How a rule does on examples of which `active` are active and `silent` are not."""

    hits: int
    false_alarms: int
    active: int
    silent: int

    @property
    def recall(self) -> float:
        """Share of the active examples for which the rule holds."""
        return self.hits / self.active if self.active else 0.0

    @property
    def specificity(self) -> float:
        """Share of the silent examples for which it does not."""
        return 1 - self.false_alarms / self.silent if self.silent else 0.0

    @property
    def balanced_accuracy(self) -> float:
        """Mean of recall and specificity."""
        return (self.recall + self.specificity) / 2

    def details(self) -> dict[str, float]:
        """For the record."""
        predicted = self.hits + self.false_alarms
        return {
            "precision": round(self.hits / predicted, 4) if predicted else 0.0,
            "recall": round(self.recall, 4),
            "specificity": round(self.specificity, 4),
            "active": self.active,
            "silent": self.silent,
        }


def confusion(rule: Rule, examples: Iterable[tuple[Context, float]]) -> Confusion:
    """Try a rule on examples, each with the feature's activation there."""
    counts = [[0, 0], [0, 0]]
    for context, activation in examples:
        counts[activation > 0][rule.holds(context)] += 1
    (quiet, false_alarms), (misses, hits) = counts
    return Confusion(hits, false_alarms, hits + misses, quiet + false_alarms)


def _grouped(
    rows: pl.DataFrame, words: Iterable[Context]
) -> Iterable[tuple[tuple[str, str], list[tuple[Context, float]]]]:
    groups: dict[tuple[str, str], list[tuple[Context, float]]] = {}
    for label_id, label, context, activation in zip(
        rows["label_id"], rows["label"], words, rows["activation"], strict=True
    ):
        groups.setdefault((label_id, label), []).append((context, activation))
    return groups.items()


def _phrases(text: str) -> set[str]:
    """Runs of up to five words of free text that begin and end with a word of content."""
    words = re.findall(r"[^\W_][\w'’.-]*", text)
    found: set[str] = set()
    for start in range(len(words)):
        for stop in range(start + 1, min(start + _LONGEST_PHRASE, len(words)) + 1):
            if words[start] not in _STOP and words[stop - 1] not in _STOP:
                found.add(" ".join(words[start:stop]))
    return found


def _phrase_at(phrases: frozenset[str], context: Context) -> bool:
    """Whether a phrase of several words covers the word at the position, together with its neighbours."""
    longer = [phrase for phrase in (p.split() for p in phrases) if len(phrase) > 1]
    if not longer:
        return False
    reach = max(len(phrase) for phrase in longer)
    before = " ".join(context.before[-reach:]).split()
    focus = context.focus.split()
    line = before + focus + " ".join(context.after[:reach]).split()
    start, stop = len(before), len(before) + len(focus)
    return any(
        line[first : first + len(phrase)] == phrase
        for phrase in longer
        for first in range(max(stop - len(phrase), 0), start + 1)
    )
