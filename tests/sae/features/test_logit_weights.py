import numpy as np
import polars as pl
import pytest
import torch
import torch.nn.functional as F

from sae.errors import AtlasError
from sae.features.logit_weights import logit_weights
from sae.features.neighbors import live_directions


def test_weights_are_the_products_shifted_to_median_zero():
    generator = torch.Generator().manual_seed(0)
    W_dec = torch.randn(6, 4, generator=generator)
    unembedding = torch.randn(31, 4, generator=generator)
    dead = np.array([False, False, True, False, False, False])

    frame = logit_weights(live_directions(W_dec, dead, "d"), unembedding, str, size=5)

    assert len(frame) == 5 * 10
    for index in (0, 1, 3, 4, 5):
        weights = F.normalize(W_dec, dim=1)[index] @ unembedding.T
        weights = weights - weights.median()
        rows = frame.filter(pl.col("index") == index)
        positive, negative = (rows.filter(pl.col("sign") == sign) for sign in ("positive", "negative"))
        assert positive["token_id"].to_list() == weights.argsort(descending=True)[:5].tolist()
        assert negative["token_id"].to_list() == weights.argsort()[:5].tolist()
        assert positive["weight"].to_list() == pytest.approx(
            weights.sort(descending=True).values[:5].tolist(), abs=1e-5
        )
    assert frame["token"].to_list() == [str(i) for i in frame["token_id"]]


def test_an_unembedding_of_another_width_is_refused():
    directions = live_directions(torch.eye(4), np.zeros(4, bool), "d")

    with pytest.raises(AtlasError, match="4 dimensions"):
        logit_weights(directions, torch.zeros(10, 5), str)
