"""A concept list held against a dictionary: which feature stands for each concept, and how well.

Of a list's texts one half chooses feature and threshold, the other scores them (`concepts`, here one row a text). The
control of every figure is the same procedure on texts whose roles, positive and negative, were shuffled concept by
concept: what the choice among many features finds where there is nothing to find.
"""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from scipy.sparse import csr_array

from sae.config.concept_list import ListedConcept
from sae.dictionaries.dictionary import Dictionary
from sae.evaluation.concept_summaries import HOLDS
from sae.evaluation.concepts import score_concepts
from sae.evaluation.listed_measures import Listed, absorbed, specificity, splitting
from sae.evaluation.listed_texts import listed_texts, listed_truth, read_texts
from sae.evaluation.measures import Measure, mean, share
from sae.models.subject import Subject


@dataclass(frozen=True)
class Occurrences:
    """How often concepts occur in the corpus that a dictionary was trained on."""

    counts: Mapping[str, int]
    """By concept id."""
    n_tokens: int

    def per_million(self, concept_id: str) -> float:
        """Occurrences a million tokens."""
        return 1e6 * self.counts[concept_id] / max(self.n_tokens, 1)


def count_occurrences(concepts: Sequence[ListedConcept], parts: Iterable[pl.Series], n_tokens: int) -> Occurrences:
    """Count the concepts' names, as they are written, in the texts of the parts; `n_tokens` is what these hold."""
    names = {concept.concept_id: {concept.name, *concept.names} for concept in concepts}
    counts = dict.fromkeys(names, 0)
    for texts in parts:
        joined = pl.Series(["\n".join(texts)])  # one pass a name over one long text
        for concept_id, written in names.items():
            counts[concept_id] += sum(int(joined.str.count_matches(name, literal=True).sum()) for name in written)
    return Occurrences(counts, n_tokens)


@dataclass(frozen=True)
class ListedScores:
    """What a list adds to the tables of one dictionary."""

    concepts: pl.DataFrame
    """concept_id, name, kind."""
    concept_scores: pl.DataFrame
    """Slice `all` only: rows are texts."""
    measures: list[Measure]


def evaluate_listed(
    concepts: Sequence[ListedConcept],
    subject: Subject,
    hookpoint: str,
    dictionary: Dictionary,
    dictionary_id: str,
    occurrences: Occurrences,
    n_alive: int,
    seed: int,
    massive_norm: float = math.inf,
) -> ListedScores:
    """Read a list's texts and score every concept; `n_alive` is the number of features that are not dead."""
    codes = read_texts(subject, hookpoint, dictionary, listed_texts(concepts), massive_norm)
    scores = _scores(concepts, codes, dictionary_id, seed)
    names = [(concept.concept_id, concept.name, concept.kind) for concept in concepts]
    directions = dictionary.W_dec.float().cpu().numpy()
    return ListedScores(
        pl.DataFrame(names, schema=["concept_id", "name", "kind"], orient="row"),
        scores,
        listed_measures(concepts, codes, directions, scores, occurrences, n_alive, seed),
    )


def listed_measures(
    concepts: Sequence[ListedConcept],
    codes: csr_array,
    directions: np.ndarray,
    scores: pl.DataFrame,
    occurrences: Occurrences,
    n_alive: int,
    seed: int,
) -> list[Measure]:
    """`concept_f1`, `concept_completeness`, `concept_specificity`, `concept_absorption` and `concept_splitting`.

    :param codes: float [n texts, d_sae], of the texts in the order of `listed_texts`
    :param directions: float [d_sae, d], the decoder rows
    :param scores: what `score_concepts` gives for the list

    Completeness (Scaling Monosemanticity, "Feature completeness") is the share of concepts for which some feature has
    F1 ≥ `HOLDS`; its details set it against how often concepts occur, by decade: there half of the concepts are held
    a little below one occurrence for each living feature (`one_per_feature`, occurrences a million tokens).
    """
    shuffled = [_shuffled(concept, seed) for concept in concepts]
    rows = {text: row for row, text in enumerate(listed_texts(concepts))}
    again = csr_array(codes[[rows[text] for text in listed_texts(shuffled)]])
    true = _of_concepts(concepts, codes, directions, scores, seed)
    false = _of_concepts(shuffled, again, directions, _scores(shuffled, again, "", seed), seed)
    kinds = {concept.concept_id: concept.kind for concept in concepts}
    common = {"control": "roles of the texts shuffled"}

    def by_kind(values: Mapping[str, float]) -> dict[str, float]:
        grouped = {kind: [v for c, v in values.items() if kinds[c] == kind] for kind in sorted(set(kinds.values()))}
        return {kind: float(np.mean(held)) for kind, held in grouped.items() if held}

    def drawn(metric: str, name: str, **details: object) -> Measure:
        values, control = getattr(true, name), getattr(false, name)
        measure = mean(metric, list(values.values()), "concepts", seed, by_kind=by_kind(values), **common, **details)
        return replace(measure, control=float(np.mean(list(control.values()))) if control else None)

    held = {concept: value >= HOLDS for concept, value in true.f1.items()}
    complete = share(
        "concept_completeness",
        sum(held.values()),
        len(held),
        "concepts",
        f1_at_least=HOLDS,
        by_frequency=_by_frequency(held, occurrences),
        one_per_feature=1e6 / max(n_alive, 1),
        by_kind=by_kind({concept: float(value) for concept, value in held.items()}),
        **common,
    )
    holding = [value >= HOLDS for value in false.f1.values()]
    return [
        drawn("concept_f1", "f1"),
        replace(complete, control=float(np.mean(holding)) if holding else None),
        drawn("concept_specificity", "specificity", by_level=true.levels()),
        drawn("concept_absorption", "absorption", silent=float(np.mean(list(true.silent.values()) or [0.0]))),
        drawn("concept_splitting", "splitting", f1_of_all=float(np.mean(list(true.joined.values()) or [0.0]))),
    ]


@dataclass
class _Found:
    """Figures by concept id."""

    f1: dict[str, float]
    specificity: dict[str, float]
    absorption: dict[str, float]
    silent: dict[str, float]
    splitting: dict[str, float]
    joined: dict[str, float]
    counts: np.ndarray

    def levels(self) -> list[dict[str, float | int | None]]:
        """Share of texts that show the concept, by quarter of the feature's maximum, all concepts together."""
        return [{"share": float(shown / n) if n else None, "n": int(n)} for shown, n in self.counts]


def _of_concepts(
    concepts: Sequence[ListedConcept], codes: csr_array, directions: np.ndarray, scores: pl.DataFrame, seed: int
) -> _Found:
    rows = {text: row for row, text in enumerate(listed_texts(concepts))}
    halves = listed_truth(concepts, seed).choosing
    found = _Found({}, {}, {}, {}, {}, {}, np.zeros((4, 2), dtype=np.int64))
    chosen = {c: (i, f1) for c, i, f1 in scores.select("concept_id", "index", "f1").iter_rows()}
    for concept in concepts:
        if concept.concept_id not in chosen:
            continue
        feature, found.f1[concept.concept_id] = chosen[concept.concept_id]
        listed = _listed(concept, rows, codes, halves)
        share_of, counts = specificity(listed, feature)
        if share_of is not None:
            found.specificity[concept.concept_id] = share_of
        found.counts += counts
        taken, silent, n = absorbed(listed, feature, _cosines(directions, listed.features, feature))
        found.absorption[concept.concept_id], found.silent[concept.concept_id] = taken / n, silent / n
        number, _, joined = splitting(listed)
        found.splitting[concept.concept_id], found.joined[concept.concept_id] = float(number), joined
    return found


def _listed(concept: ListedConcept, rows: Mapping[str, int], codes: csr_array, halves: np.ndarray) -> Listed:
    at = np.array([rows[text] for text in (*concept.positive, *concept.negative)])
    part = csr_array(codes[at])
    features = np.unique(part.indices).astype(np.int64)
    return Listed(
        part[:, features].toarray() if len(features) else np.zeros((len(at), 0), np.float32),
        np.arange(len(at)) < len(concept.positive),
        halves[at],
        features,
    )


def _scores(concepts: Sequence[ListedConcept], codes: csr_array, dictionary_id: str, seed: int) -> pl.DataFrame:
    """`concept_scores`, of slice `all` alone: the texts have no other."""
    found = score_concepts(listed_truth(concepts, seed), codes, dictionary_id)
    return found.unique("concept_id", maintain_order=True)


def _shuffled(concept: ListedConcept, seed: int) -> ListedConcept:
    """As many positive texts, drawn from all of the concept's, for each concept anew."""
    texts = [*concept.positive, *concept.negative]
    own = int.from_bytes(hashlib.sha256(concept.concept_id.encode()).digest()[:8])
    drawn = np.random.default_rng([seed, own]).permutation(len(texts))
    cut = len(concept.positive)
    positive, negative = ([texts[i] for i in sorted(part)] for part in (drawn[:cut], drawn[cut:]))
    return concept.model_copy(update={"positive": tuple(positive), "negative": tuple(negative)})


def _by_frequency(held: Mapping[str, bool], occurrences: Occurrences) -> list[dict[str, float | int | None]]:
    """Share of concepts held by decade of occurrences a million tokens; `from` is null for those that never occur."""
    decades: dict[float | None, list[bool]] = {}
    for concept, value in held.items():
        often = occurrences.per_million(concept)
        decades.setdefault(10.0 ** math.floor(math.log10(often)) if often else None, []).append(value)
    ordered = sorted(decades.items(), key=lambda item: -1.0 if item[0] is None else item[0])
    return [{"from": start, "n": len(values), "share": sum(values) / len(values)} for start, values in ordered]


def _cosines(directions: np.ndarray, features: np.ndarray, feature: int) -> np.ndarray:
    rows, own = directions[features], directions[feature]
    scale = np.linalg.norm(rows, axis=1) * np.linalg.norm(own)
    return np.divide(rows @ own, scale, out=np.zeros(len(rows)), where=scale > 0)
