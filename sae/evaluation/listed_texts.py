"""The texts of a concept list as a model and a dictionary read them: one row a text.

A feature's activation on a text is its largest one over the text's tokens. With one row a text the counts of `concepts`
are those of a classifier of texts: a hit is a positive text on which the feature fires, a false firing a negative one.
Texts that a concept does not list say nothing about it.
"""

import hashlib
import math
from collections.abc import Sequence

import numpy as np
import torch
from scipy.sparse import coo_array, csr_array

from sae.config.concept_list import ListedConcept
from sae.dictionaries.dictionary import Dictionary
from sae.evaluation.truth import ALL, Truth
from sae.models.hookpoints import read_outputs
from sae.models.subject import Subject, collate

_BATCH = 16


def listed_texts(concepts: Sequence[ListedConcept]) -> list[str]:
    """Every text of a list once, in its order."""
    return list(dict.fromkeys(text for concept in concepts for text in (*concept.positive, *concept.negative)))


@torch.no_grad()
def read_texts(
    subject: Subject,
    hookpoint: str,
    dictionary: Dictionary,
    texts: Sequence[str],
    massive_norm: float = math.inf,
) -> csr_array:
    """The largest activation of each feature on each text, float32 [n texts, d_sae].

    Special tokens and massive activations (an L2 norm above `massive_norm`) are left out, as everywhere. Texts are cut
    to the model's context.
    """
    rows, columns, values = [], [], []
    encoded = [subject.codec.encode(text) for text in texts]
    order = sorted(range(len(texts)), key=lambda row: len(encoded[row]))  # alike in length: little padding
    dictionary = dictionary.to(subject.device)
    for start in range(0, len(order), _BATCH):
        batch = order[start : start + _BATCH]
        read = read_outputs(subject, collate(subject, [encoded[row] for row in batch]), [hookpoint])[hookpoint].float()
        for row, vectors in zip(batch, read, strict=True):
            vectors = vectors[: len(encoded[row])][torch.from_numpy(~encoded[row].special).to(vectors.device)]
            codes = dictionary.encode_sparse(vectors[vectors.norm(dim=1) <= massive_norm])
            largest = vectors.new_zeros(dictionary.d_sae)
            largest = largest.scatter_reduce(0, codes.features, codes.values.to(largest.dtype), "amax")
            active = largest.nonzero()[:, 0]
            rows.append(np.full(len(active), row))
            columns.append(active.cpu().numpy())
            values.append(largest[active].cpu().numpy())
    joined = tuple(np.concatenate(part) if part else np.empty(0) for part in (values, rows, columns))
    placed = (joined[1].astype(np.int64), joined[2].astype(np.int64))
    return csr_array(coo_array((joined[0].astype(np.float32), placed), shape=(len(texts), dictionary.d_sae)))


def listed_truth(concepts: Sequence[ListedConcept], seed: int) -> Truth:
    """The truth of a list's texts, one row and one document each, in the order of `listed_texts`.

    The halves are drawn by the seed, with as many positive texts of each concept in either as can be: texts are dealt
    out in turns, first those that are positive for a concept, then the rest by the first concept that lists them.
    """
    texts = {text: row for row, text in enumerate(listed_texts(concepts))}
    ordered = sorted(concepts, key=lambda concept: concept.concept_id)
    mentions = [(c, texts[text]) for c, concept in enumerate(ordered) for text in concept.positive]
    negatives = [(c, texts[text]) for c, concept in enumerate(ordered) for text in concept.negative]
    n, n_concepts, n_mentions = len(texts), len(ordered), len(mentions)
    naming = np.ones((n_concepts, n), dtype=bool)
    naming[tuple(np.array(negatives).T)] = False
    concept_of, row_of = np.array(mentions).T
    cover = coo_array((np.ones(n_mentions, dtype=bool), (np.arange(n_mentions), row_of)), shape=(n_mentions, n))
    return Truth(
        concepts=[concept.concept_id for concept in ordered],
        readable=np.ones(n, dtype=bool),
        row_document=np.arange(n),
        row_slice=np.full(n, ALL, dtype=object),
        cover=csr_array(cover),
        mention_concept=concept_of,
        mention_document=row_of,
        mention_slice=np.full(n_mentions, ALL, dtype=object),
        naming=csr_array(naming),
        choosing=_halves(ordered, texts, seed),
    )


def _halves(concepts: Sequence[ListedConcept], texts: dict[str, int], seed: int) -> np.ndarray:
    """bool [n texts]: the half that chooses."""
    choosing: dict[str, bool] = {}
    for group in ("positive", "negative"):
        for concept in concepts:
            listed = sorted(
                getattr(concept, group), key=lambda text: hashlib.sha256(f"{seed}|{text}".encode()).digest()
            )
            taken = sum(1 if choosing[text] else -1 for text in listed if text in choosing)
            for text in listed:
                if text not in choosing:
                    choosing[text] = taken <= 0
                    taken += 1 if choosing[text] else -1
    return np.array([choosing[text] for text in texts], dtype=bool)
