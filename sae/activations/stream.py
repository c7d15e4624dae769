"""Streamed activations: no vector is stored, the model reads a shard's documents again when its values are due."""

import math
from collections.abc import Callable
from functools import partial

import polars as pl
from torch import Tensor

from sae.activations.harvest import harvest
from sae.activations.manifest import ShardRecord, Streaming
from sae.activations.shard import ActivationShard, ReadValues, read_tokens
from sae.errors import AtlasError
from sae.models.subject import Subject
from sae.storage import Store

_IDENTITY = ("document_id", "position", "token_id")


class StreamedActivations:
    """The `ActivationSource` of a streamed site: tokens and marks from the store, vectors from the model.

    The same documents, batches and threads give the vectors that the first pass measured, bit for bit on one machine.
    Memory: the vectors of the shard that was harvested last, kept until another one's are due.
    """

    def __init__(
        self,
        store: Store,
        subject: Subject,
        hookpoint: str,
        streaming: Streaming,
        documents: Callable[[str], pl.DataFrame],
    ):
        """`documents` gives those of a shard, by its name, as the first pass read them."""
        self._store = store
        self._subject = subject
        self._hookpoint = hookpoint
        self._streaming = streaming
        self._documents = documents
        self._held: tuple[str, Tensor] | None = None

    def open(self, record: ShardRecord) -> ActivationShard:
        """A shard whose vectors are harvested when they are due; a shuffled reading takes it whole.

        Raises AtlasError where the table of tokens is damaged or missing, and, when the vectors are due, where the
        model reads other tokens than it did in the first pass.
        """
        tokens = self._tokens(record)
        limit = record.statistics.massive_norm
        values = ReadValues(
            read=partial(self._values, record),
            d_model=len(record.statistics.sum_vector),
            dtype=self._streaming.torch_dtype,
            chunk_rows=max(1, len(tokens)),
        )
        return ActivationShard(tokens, values, math.inf if limit is None else limit)

    def _tokens(self, record: ShardRecord) -> pl.DataFrame:
        return read_tokens(self._store.verify(record.tokens))

    def _values(self, record: ShardRecord) -> Tensor:
        if self._held is not None and self._held[0] == record.shard:
            return self._held[1]
        self._held = None
        harvested = harvest(
            self._subject,
            [self._hookpoint],
            self._documents(record.shard),
            batch_tokens=self._streaming.batch_tokens,
            dtype=self._streaming.torch_dtype,
        )[self._hookpoint]
        if not harvested.tokens.select(_IDENTITY).equals(self._tokens(record).select(_IDENTITY)):
            raise AtlasError(
                f"{self._subject.name} reads the documents of {record.shard} as other tokens than when they were "
                "counted. Run `atlas run --force --select activations`."
            )
        self._held = record.shard, harvested.values
        return harvested.values
