"""From documents to what one forward pass reads: pictures decoded, long documents cut into windows."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import pairwise

import numpy as np
import polars as pl

from sae.errors import AtlasError
from sae.models.encoding import Encoded
from sae.models.pictures import decode_picture
from sae.models.subject import Subject

_PADDING = 0.04
"""Largest share of padding in the positions of all batches together."""


@dataclass(frozen=True)
class Window:
    """A stretch of a document that the model reads as a sequence of its own."""

    encoded: Encoded
    positions: np.ndarray
    """int32 [n]: each token's position in the document."""
    repeated: np.ndarray
    """bool [n]: control tokens of the document's ends that this window repeats, to read like a document."""


def encode_documents(subject: Subject, documents: pl.DataFrame) -> Iterator[tuple[str, Encoded]]:
    """`document_id` and encoding of each document that the model can read, in their order.

    Documents with a picture are left out for a model that reads none, and so are those without a token.
    Raises AtlasError naming the document whose picture is corrupt.
    """
    columns = documents.select("document_id", "text", "modality", "image")
    for document_id, text, modality, image in columns.iter_rows():
        if image is not None and "image" not in subject.modalities:
            continue
        picture = None if image is None else decode_picture(image, f"document {document_id}")
        encoded = subject.codec.encode(text, picture, "text" if modality == "image" else modality)
        if len(encoded):
            yield document_id, encoded


def cut_windows(encoded: Encoded, size: int) -> list[Window]:
    """Cut a document into windows of at most `size` tokens; one that fits stays whole.

    The control tokens at its two ends (beginning of sequence, [CLS], [SEP]) are repeated in every window. A picture's
    patches stay together. Raises AtlasError when the control tokens or a picture alone fill a window.
    """
    n = len(encoded)
    if n <= size:
        return [Window(encoded, np.arange(n, dtype=np.int32), np.zeros(n, dtype=bool))]
    ordinary = np.flatnonzero(~encoded.special)
    head, tail = (int(ordinary[0]), n - 1 - int(ordinary[-1])) if len(ordinary) else (0, 0)
    room = size - head - tail
    if room < 1:
        raise AtlasError(
            f"A window of {size} tokens has no room beside {head + tail} control tokens: take a longer one."
        )
    windows = []
    start = head
    while start < n - tail:
        stop = _before_picture(encoded, start, min(start + room, n - tail))
        first, last = start == head, stop == n - tail
        index = np.concatenate([np.arange(head), np.arange(start, stop), np.arange(n - tail, n)])
        repeated = np.zeros(len(index), dtype=bool)
        repeated[:head] = not first
        repeated[len(index) - tail :] = not last
        windows.append(Window(_take(encoded, index), index.astype(np.int32), repeated))
        start = stop
    return windows


def length_buckets(lengths: Iterable[int], batch_tokens: int) -> list[list[int]]:
    """Indices of sequences in batches of at most `batch_tokens` padded positions, the longest first.

    Sequences of like length share a batch; full batches are split, those first that save most, until at most 4% of all
    positions are padding. Starting with the longest shows at once whether memory suffices.
    """
    given = np.fromiter(lengths, dtype=np.int64)
    order = np.argsort(-given, kind="stable")
    ranked = given[order]
    starts = _full_batches(ranked, batch_tokens)
    spans = [_best_split(ranked, start, stop) for start, stop in pairwise([*starts, len(ranked)])]
    heapify(spans)
    padding = sum((stop - start) * int(ranked[start]) for _, start, _, stop in spans) - int(ranked.sum())
    while padding > _PADDING / (1 - _PADDING) * int(ranked.sum()):
        saved, start, middle, stop = heappop(spans)
        padding += saved
        heappush(spans, _best_split(ranked, start, middle))
        heappush(spans, _best_split(ranked, middle, stop))
    return [order[start:stop].tolist() for start, stop in sorted((start, stop) for _, start, _, stop in spans)]


def _full_batches(ranked: np.ndarray, batch_tokens: int) -> list[int]:
    """Where each batch starts, when all are as large as they may be."""
    starts: list[int] = []
    longest = 0
    for index, length in enumerate(ranked.tolist()):
        if not starts or (index - starts[-1] + 1) * longest > batch_tokens:
            starts.append(index)
            longest = length
    return starts


def _best_split(ranked: np.ndarray, start: int, stop: int) -> tuple[int, int, int, int]:
    """Minus the padding that the best cut of a batch in two saves, the batch's start, the cut, its stop."""
    saved = (ranked[start] - ranked[start:stop]) * (stop - np.arange(start, stop))
    cut = int(saved.argmax())
    return -int(saved[cut]), start, start + cut, stop


def _before_picture(encoded: Encoded, start: int, stop: int) -> int:
    """`stop`, or the beginning of the picture that it would cut. Marks may stand among the patches (rows of tiles)."""
    patches = [n for n, modality in enumerate(encoded.modalities) if modality == "image"]
    if not patches or not patches[0] < stop <= patches[-1]:
        return stop
    if patches[0] == start:
        raise AtlasError("A picture has more patches than a window has room for: take longer windows.")
    return patches[0]


def _take(encoded: Encoded, index: np.ndarray) -> Encoded:
    modalities = [encoded.modalities[i] for i in index]
    return Encoded(
        token_ids=encoded.token_ids[index],
        tokens=[encoded.tokens[i] for i in index],
        spans=encoded.spans[index],
        special=encoded.special[index],
        modalities=modalities,
        image=encoded.image if "image" in modalities else None,
    )
