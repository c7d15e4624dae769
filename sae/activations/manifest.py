"""The manifest of a site's activations: which shards, how they are split, and how they are normalised."""

import json
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Literal

import torch

from sae.activations.shard import ActivationShard
from sae.errors import AtlasError
from sae.identity import canonical_json, content_id
from sae.storage import StoredFile

Normalisation = Literal["sqrt_d", "mean_square"]


@dataclass(frozen=True)
class ShardStatistics:
    """What the normalisation needs to know of a shard; sums run over its trainable tokens."""

    n_tokens: int
    n_special: int
    n_massive: int
    n_trainable: int
    sum_norm: float
    """Sum of L2 norms."""
    sum_square: float
    """Sum of squared L2 norms."""
    sum_vector: list[float]
    """[d]."""
    massive_norm: float | None
    """L2 norm above which its positions count as massive; None where all are ordinary."""


@dataclass(frozen=True)
class ShardRecord:
    """A stored shard of a site."""

    shard: str
    """`<corpus>-<00000>`."""
    data_version: str
    tensors: StoredFile | None
    """The vectors; None at a streamed site."""
    tokens: StoredFile
    statistics: ShardStatistics


@dataclass(frozen=True)
class Streaming:
    """How the vectors of a streamed site are read again."""

    batch_tokens: int
    """Positions of one forward pass."""
    dtype: Literal["float32", "bfloat16", "float16"]

    @property
    def torch_dtype(self) -> torch.dtype:
        """The number format as torch has it."""
        return getattr(torch, self.dtype)


@dataclass(frozen=True)
class ShardEntry:
    """A shard in a manifest."""

    record: ShardRecord
    split: Literal["train", "held_out"]

    @property
    def shard(self) -> str:
        """`<corpus>-<00000>`."""
        return self.record.shard


@dataclass(frozen=True)
class ActivationSet:
    """The activations that a dictionary is trained and measured on."""

    site: str
    hookpoint: str
    d_model: int
    shards: tuple[ShardEntry, ...]
    """Sorted by name."""
    normalisation: Normalisation
    scale: float
    """Number that each activation is multiplied by before training."""
    mean: list[float]
    """[d]: mean raw activation of the trainable tokens of the train shards."""
    streamed: Streaming | None = None
    """Set where no vector is stored."""

    @property
    def id(self) -> str:
        """Hash of the whole manifest."""
        return content_id(asdict(self))

    @property
    def massive_norm(self) -> float:
        """L2 norm above which a position of another text counts as massive: the median of the train shards' limits.

        A shard without a token has none.
        """
        filled = [record.statistics for record in self.split("train") if record.statistics.n_tokens]
        limits = [statistics.massive_norm for statistics in filled]
        return median(math.inf if limit is None else limit for limit in limits)

    def split(self, name: Literal["train", "held_out"]) -> list[ShardRecord]:
        """The shards of one split."""
        return [entry.record for entry in self.shards if entry.split == name]

    def count(self, field: Literal["n_tokens", "n_special", "n_massive", "n_trainable"]) -> int:
        """A count over all shards."""
        return sum(getattr(entry.record.statistics, field) for entry in self.shards)


def measure_shard(shard: ActivationShard) -> ShardStatistics:
    """Counts and sums of a shard, in one pass with bounded memory. Raises AtlasError on a NaN."""
    trainable = shard.trainable
    total = torch.zeros(shard.d_model, dtype=torch.float64)
    sum_norm = sum_square = 0.0
    for start, block in shard.blocks():
        kept = block[trainable[start : start + len(block)]].double()
        norms = kept.norm(dim=1)
        total += kept.sum(dim=0)
        sum_norm += float(norms.sum())
        sum_square += float((norms**2).sum())
    if not math.isfinite(sum_square):
        raise AtlasError("An activation shard holds a value that is not finite. Delete the shard and run `atlas run`.")
    special, massive = shard.tokens["special"], shard.tokens["massive"]
    return ShardStatistics(
        n_tokens=len(shard.tokens),
        n_special=int(special.sum()),
        n_massive=int((massive & ~special).sum()),
        n_trainable=int(trainable.sum()),
        sum_norm=sum_norm,
        sum_square=sum_square,
        sum_vector=total.tolist(),
        massive_norm=shard.massive_norm if math.isfinite(shard.massive_norm) else None,
    )


def build_activation_set(
    site: str,
    hookpoint: str,
    normalisation: Normalisation,
    records: Sequence[ShardRecord],
    streamed: Streaming | None = None,
) -> ActivationSet:
    """Split the shards and work out the normalisation.

    Of each corpus the last eighth of its shards by name, at least one, is held out; shards without a token that counts
    are not counted, and of no consequence. The scale and the mean come from
    the trainable tokens of the train shards: `sqrt_d` makes their mean norm sqrt(d) (Anthropic, April 2024 update),
    `mean_square` their mean squared norm d (Templeton et al. 2024, "Scaling Monosemanticity").
    Raises AtlasError on a corpus without a token, and when no train token is left.
    """
    _check_corpora(site, records)
    held_out = _held_out([record.shard for record in records if record.statistics.n_trainable])
    entries = tuple(
        ShardEntry(record, "held_out" if record.shard in held_out else "train")
        for record in sorted(records, key=lambda record: record.shard)
    )
    train = [entry.record.statistics for entry in entries if entry.split == "train"]
    n = sum(statistics.n_trainable for statistics in train)
    if n == 0 or sum(statistics.sum_square for statistics in train) == 0:
        raise AtlasError(f"{site} has no token to train on: each corpus needs two shards or more with ordinary tokens.")
    d_model = len(train[0].sum_vector)
    mean_norm = math.fsum(statistics.sum_norm for statistics in train) / n
    mean_square = math.fsum(statistics.sum_square for statistics in train) / n
    return ActivationSet(
        site=site,
        hookpoint=hookpoint,
        d_model=d_model,
        shards=entries,
        normalisation=normalisation,
        scale=math.sqrt(d_model) / mean_norm if normalisation == "sqrt_d" else math.sqrt(d_model / mean_square),
        mean=[math.fsum(sums) / n for sums in zip(*(statistics.sum_vector for statistics in train), strict=True)],
        streamed=streamed,
    )


def activation_set_to_json(activation_set: ActivationSet) -> str:
    """Canonical JSON, the same for equal manifests."""
    return canonical_json(asdict(activation_set))


def activation_set_from_json(text: str) -> ActivationSet:
    """Read `activation_set_to_json`. Raises AtlasError on anything else."""
    try:
        fields = json.loads(text)
        shards = tuple(ShardEntry(record_from_dict(entry["record"]), entry["split"]) for entry in fields.pop("shards"))
        streamed = fields.pop("streamed", None)
        return ActivationSet(shards=shards, streamed=streamed and Streaming(**streamed), **fields)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise AtlasError("The activation set's manifest is damaged. Delete it and run `atlas run`.") from error


def record_from_dict(fields: dict) -> ShardRecord:
    """The inverse of `dataclasses.asdict` for a record."""
    return ShardRecord(
        shard=fields["shard"],
        data_version=fields["data_version"],
        tensors=fields["tensors"] and StoredFile(**fields["tensors"]),
        tokens=StoredFile(**fields["tokens"]),
        statistics=ShardStatistics(**fields["statistics"]),
    )


def _check_corpora(site: str, records: Sequence[ShardRecord]) -> None:
    tokens: dict[str, int] = defaultdict(int)
    for record in records:
        tokens[record.shard.rpartition("-")[0]] += record.statistics.n_tokens
    for corpus, n in tokens.items():
        if not n:
            raise AtlasError(
                f"The corpus {corpus} has no token that is read at {site}. Check its source in the config, or take it "
                "out of the site's corpora."
            )


def _held_out(shards: Sequence[str]) -> set[str]:
    by_corpus: dict[str, list[str]] = defaultdict(list)
    for shard in sorted(shards):
        by_corpus[shard.rpartition("-")[0]].append(shard)
    return {shard for names in by_corpus.values() for shard in names[-max(1, len(names) // 8) :]}
