"""One sparse pass over a site's shards: statistics, examples and co-activations of every feature of a dictionary.

Memory follows the number of features and the block, not the number of tokens: what a pass keeps are running sums,
bounded samples (`sampling.Reservoir`) and counts of pairs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from sae.activations.shard import ActivationShard
from sae.dictionaries.dictionary import Dictionary
from sae.errors import AtlasError
from sae.features.coactivation import PairCounts
from sae.features.codes import code_blocks
from sae.features.example_sampler import ExampleSampler, ExampleSizes
from sae.features.examples import example_frame, top_tokens
from sae.features.statistics import FeatureSums


@dataclass(frozen=True)
class Activity:
    """What one pass finds. Special and massive positions take no part in any of it."""

    features: pl.DataFrame
    """Statistics: the table `features` without x, y and cluster_id."""
    examples: pl.DataFrame
    """The table `examples`, sorted by index, kind and rank."""
    coactivations: pl.DataFrame
    """The table `coactivations`."""
    n_positions: int
    """Positions read."""


def gather_activity(
    shards: Sequence[ActivationShard],
    dictionary: Dictionary,
    dictionary_id: str,
    seed: int,
    sizes: ExampleSizes | None = None,
    coactive: int = 10,
    image_paths: Mapping[str, str] | None = None,
    on_rows: Callable[[int], None] | None = None,
) -> Activity:
    """Read every shard once and gather what is known of each feature.

    :param shards: all shards of the pinned manifest, in its order; a sequence that opens them when asked is enough
    :param seed: seed of the samples; the same shards, dictionary and seed give the same frames
    :param coactive: co-active features kept for each feature
    :param image_paths: the stored picture of those documents that hold one, by document id
    :param on_rows: told the number of rows after each block
    Raises AtlasError where there is nothing to read, or the dictionary does not fit the activations.
    """
    sizes = sizes or ExampleSizes()
    n_rows = sum(len(shard.tokens) for shard in shards)
    sums = FeatureSums(dictionary.d_in, dictionary.d_sae)
    pairs = PairCounts(dictionary.d_sae, seed)
    sampler = ExampleSampler(dictionary.d_sae, n_rows, seed, sizes, sums)
    for block in code_blocks(shards, dictionary, sizes.radius):
        tokens = shards[block.shard].tokens[block.shard_rows]
        sums.add(block, tokens)
        pairs.add(block.codes[block.own][block.readable[block.own]])
        sampler.add(block)
        if on_rows is not None:
            on_rows(len(tokens))
    if sums.n_positions == 0:
        raise AtlasError("The activation set holds no readable position. Add documents to the corpora of this site.")
    examples = example_frame(sampler.chosen(), shards, dictionary_id, image_paths or {})
    norms = np.linalg.norm(dictionary.W_dec.numpy(), axis=1).astype(np.float32)
    return Activity(
        features=sums.frame(dictionary_id, norms, top_tokens(examples, dictionary.d_sae, sizes.radius)),
        examples=examples,
        coactivations=pairs.closest(coactive, dictionary_id),
        n_positions=sums.n_positions,
    )
