"""A small site whose features are known: vectors that are sums of a few dictionary rows, in short documents."""

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest
import torch

from sae.activations.shard import TOKENS, ActivationShard
from sae.dictionaries.dictionary import Dictionary


def _tokens(rng: np.random.Generator, n_documents: int, first: int) -> pl.DataFrame:
    rows = []
    for number in range(n_documents):
        language = ("en", "es")[int(rng.integers(2))]
        place = 0
        for position in range(int(rng.integers(2, 40))):
            word = f"w{int(rng.integers(12))}"
            rows.append(
                {
                    "document_id": f"doc{first + number}",
                    "position": position,
                    "token_id": int(word[1:]),
                    "token": word,
                    "start": place,
                    "end": place + len(word),
                    "language": language,
                    "modality": "image" if position == 1 and number % 3 == 0 else "text",
                    "special": position == 0,
                    "massive": bool(rng.random() < 0.02),
                }
            )
            place += len(word) + 1
    return pl.DataFrame(rows, schema=TOKENS)


@pytest.fixture
def planted_site() -> Callable[..., tuple[list[ActivationShard], Dictionary]]:
    """Makes (shards, dictionary): `n_documents` in each of two shards, orthonormal features, the last of them dead."""

    def make(n_documents: int = 40, d_sae: int = 8, seed: int = 0) -> tuple[list[ActivationShard], Dictionary]:
        rng = np.random.default_rng(seed)
        rows = np.linalg.qr(rng.normal(size=(d_sae, d_sae)))[0].astype(np.float32)
        shards = []
        for number in range(2):
            tokens = _tokens(rng, n_documents, number * n_documents)
            strength = rng.gamma(1.0, 2.0, size=(len(tokens), d_sae)) * (rng.random((len(tokens), d_sae)) < 0.3)
            strength[:, -1] = 0
            strength[:, 1] = np.maximum(strength[:, 1], strength[:, 0] * 0.5)  # 1 is active wherever 0 is
            strength[tokens["massive"].to_numpy()] *= 1000
            values = torch.from_numpy((strength @ rows).astype(np.float32))
            shards.append(ActivationShard(tokens, values))
        encoder = torch.from_numpy(rows)
        dictionary = Dictionary(
            W_enc=encoder.T.contiguous(),
            b_enc=torch.full((d_sae,), -0.01),
            W_dec=encoder,
            b_dec=torch.zeros(d_sae),
            form="standard",
            apply_b_dec_to_input=False,
        )
        return shards, dictionary

    return make
