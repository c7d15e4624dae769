"""Harvest: run a model over documents and keep what it computes at some hookpoints."""

import mmap
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import torch
from torch import Tensor

from sae.activations.shard import TOKENS, ActivationShard, massive_limit
from sae.errors import AtlasError
from sae.models.encoding import Encoded
from sae.models.hookpoints import hook_module, hookpoint_width, read_modules
from sae.models.inputs import Window, cut_windows, encode_documents, length_buckets
from sae.models.pictures import decode_picture
from sae.models.subject import Subject, collate


@dataclass(frozen=True)
class _Sequence:
    """A window with its document's number and the first row of the shard that the document fills."""

    window: Window
    document: int
    first_row: int

    @property
    def kept(self) -> np.ndarray:
        """Indices of the positions that are kept."""
        return np.flatnonzero(~self.window.repeated)


def harvest(
    subject: Subject,
    hookpoints: Sequence[str],
    documents: pl.DataFrame,
    *,
    batch_tokens: int,
    dtype: torch.dtype = torch.float32,
    massive_norm_ratio: float = 10.0,
    on_batch: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, ActivationShard]:
    """Activations of every token of `documents`, one shard a hookpoint, rows in the documents' order.

    The forward pass ends at the last hookpoint. Batches hold sequences of like length, at most `batch_tokens` padded
    positions, right-padded and masked; a document longer than that or than the context is cut into windows, whose
    positions go on counting in the document. Documents with a picture are left out for a model that reads none.
    `dtype` is the stored format; `on_batch(done, total)` counts tokens.

    Memory: the documents, about 150 bytes a token for tables, and one batch's activations and pictures. The vectors lie
    in a nameless file of the temporary folder (TMPDIR), mapped into memory, which is gone with the shard.

    Documents without a token that the model reads make shards without a row. Raises AtlasError on an unknown hookpoint,
    and an activation that is not finite.
    """
    modules = {hookpoint: hook_module(subject, hookpoint) for hookpoint in hookpoints}
    pictures = dict(documents.filter(pl.col("image").is_not_null()).select("document_id", "image").iter_rows())
    # A picture decoded weighs many times its file: each is decoded again when its batch comes.
    encoded = [(name, replace(one, image=None)) for name, one in encode_documents(subject, documents)]
    sequences = list(_sequences([e for _, e in encoded], min(subject.codec.context_size, batch_tokens)))
    if not sequences:
        return {hookpoint: _no_rows(hookpoint_width(subject, hookpoint), dtype) for hookpoint in modules}
    total = sum(len(e) for _, e in encoded)
    document_of_row = np.repeat(np.arange(len(encoded)), [len(e) for _, e in encoded])

    values: dict[str, Tensor] = {}
    norms = {hookpoint: torch.empty(total) for hookpoint in hookpoints}
    done = 0
    for batch in length_buckets([len(s.window.encoded) for s in sequences], batch_tokens):
        members = [sequences[index] for index in batch]
        seen = [_with_picture(s.window.encoded, encoded[s.document][0], pictures) for s in members]
        with torch.inference_mode():
            read = read_modules(subject, collate(subject, seen), modules)
        rows, source = _rows_of_batch(members)
        for hookpoint, hidden in read.items():
            flat = hidden.reshape(-1, hidden.shape[-1])
            stored = flat[source.to(hidden.device)].to(dtype)
            norm = stored.float().norm(dim=1).cpu()
            _check_finite(norm, rows, document_of_row, encoded, hookpoint)
            if hookpoint not in values:
                values[hookpoint] = mapped_rows(total, hidden.shape[-1], dtype)
            values[hookpoint][rows] = stored.cpu()
            norms[hookpoint][rows] = norm
        done += len(rows)
        on_batch(done, total)

    tokens = _token_table(encoded, document_of_row, documents)
    special = torch.from_numpy(tokens["special"].to_numpy(writable=True))
    shards = {}
    for hookpoint in hookpoints:
        limit = massive_limit(norms[hookpoint], special, massive_norm_ratio)
        table = tokens.with_columns(pl.Series("massive", (norms[hookpoint] > limit).numpy()))
        shards[hookpoint] = ActivationShard(table.select(TOKENS.names()), values[hookpoint], limit)
    return shards


def mapped_rows(rows: int, width: int, dtype: torch.dtype) -> Tensor:
    """A tensor [rows, width] in a nameless file of the temporary folder: the system writes it back as it needs memory.

    Raises OSError where the disk has no room for all of it.
    """
    size = rows * width * dtype.itemsize
    with tempfile.TemporaryFile(prefix="feature-atlas-") as file:
        # Room is taken at once where the system can: a mapped file that runs out of it ends the process without a word.
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            file.truncate(size)
        return torch.frombuffer(mmap.mmap(file.fileno(), size), dtype=dtype).view(rows, width)


def _no_rows(width: int, dtype: torch.dtype) -> ActivationShard:
    return ActivationShard(TOKENS.to_frame(), torch.empty(0, width, dtype=dtype))


def _sequences(encoded: Sequence[Encoded], size: int) -> Iterator[_Sequence]:
    first = 0
    for number, document in enumerate(encoded):
        for window in cut_windows(document, size):
            yield _Sequence(window, number, first)
        first += len(document)


def _with_picture(encoded: Encoded, document_id: str, pictures: dict[str, bytes]) -> Encoded:
    if document_id not in pictures or "image" not in encoded.modalities:
        return encoded
    return replace(encoded, image=decode_picture(pictures[document_id], f"document {document_id}"))


def _rows_of_batch(members: Sequence[_Sequence]) -> tuple[Tensor, Tensor]:
    """The shard's rows that a batch fills, and where in the flattened batch [b * t] each of them stands."""
    length = max(len(member.window.encoded) for member in members)
    rows = [member.first_row + member.window.positions[member.kept] for member in members]
    source = [number * length + member.kept for number, member in enumerate(members)]
    return torch.from_numpy(np.concatenate(rows).astype(np.int64)), torch.from_numpy(np.concatenate(source))


def _check_finite(
    norm: Tensor, rows: Tensor, document_of_row: np.ndarray, encoded: Sequence[tuple[str, Encoded]], hookpoint: str
) -> None:
    wrong = rows[~norm.isfinite()]
    if not len(wrong):
        return
    row = int(wrong.min())
    document = int(document_of_row[row])
    position = row - int(np.searchsorted(document_of_row, document))
    raise AtlasError(
        f"{hookpoint} is not finite at position {position} of document {encoded[document][0]} ({len(wrong)} such "
        "positions in the batch). Try dtype float32 for the model and store_dtype float32 or bfloat16 for the site."
    )


def _token_table(
    encoded: Sequence[tuple[str, Encoded]], document_of_row: np.ndarray, documents: pl.DataFrame
) -> pl.DataFrame:
    languages = dict(documents.select("document_id", "language").iter_rows())
    spans = np.concatenate([e.spans for _, e in encoded])
    return pl.DataFrame(
        {
            "document_id": pl.Series([document_id for document_id, _ in encoded]).gather(document_of_row),
            "position": np.concatenate([np.arange(len(e), dtype=np.int32) for _, e in encoded]),
            "token_id": np.concatenate([e.token_ids for _, e in encoded]).astype(np.int32),
            "token": [token for _, e in encoded for token in e.tokens],
            "start": spans[:, 0].astype(np.int32),
            "end": spans[:, 1].astype(np.int32),
            "language": pl.Series([languages[document_id] for document_id, _ in encoded]).gather(document_of_row),
            "modality": [modality for _, e in encoded for modality in e.modalities],
            "special": np.concatenate([e.special for _, e in encoded]),
        }
    )
