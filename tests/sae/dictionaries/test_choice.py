from types import ModuleType

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sae.dictionaries import choice, choice_torch
from sae.dictionaries.choice import above, batch_topk, topk
from sae.dictionaries.support import Support

SHAPES = {"n": st.integers(1, 5), "d_sae": st.integers(1, 300), "k": st.integers(1, 40), "seed": st.integers(0, 2**30)}
TYPES = (torch.float32, torch.bfloat16)
WAYS = pytest.mark.parametrize("way", [choice, choice_torch], ids=["loops", "operators"])


def scores_of(scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Input, encoder and bias whose products are these scores."""
    return torch.eye(len(scores)), scores.T.contiguous(), torch.zeros(scores.shape[1])


def random_scores(n: int, d_sae: int, seed: int, dtype: torch.dtype) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randint(-6, 7, (n, d_sae), generator=generator).float()
    fine = torch.randn(n, d_sae, generator=generator)
    return (coarse if seed % 2 else fine).to(dtype).float()


def mask(support: Support) -> Tensor:
    chosen = torch.zeros(support.n, support.d_sae, dtype=torch.bool)
    chosen[support.rows, support.features] = True
    assert int(chosen.sum()) == len(support)
    return chosen


@WAYS
@pytest.mark.parametrize("dtype", TYPES)
@settings(deadline=None)  # the first call compiles
@given(**SHAPES)
def test_topk_takes_the_largest_positive_scores_of_each_row(
    way: ModuleType, dtype: torch.dtype, n: int, d_sae: int, k: int, seed: int
) -> None:
    scores, k = random_scores(n, d_sae, seed, dtype), min(k, d_sae)

    chosen = mask(way.topk(*scores_of(scores), k, dtype))

    expected = scores.topk(k, dim=1).values.relu()
    taken = (scores * chosen).relu().topk(k, dim=1).values
    assert torch.equal(taken, expected)
    assert (chosen.sum(dim=1) <= k).all()


@WAYS
@pytest.mark.parametrize("dtype", TYPES)
@settings(deadline=None)  # the first call compiles
@given(**SHAPES)
def test_batch_topk_takes_the_largest_positive_scores_of_the_batch_in_each_group(
    way: ModuleType, dtype: torch.dtype, n: int, d_sae: int, k: int, seed: int
) -> None:
    scores = random_scores(n, d_sae + 1, seed, dtype)
    groups = (1 + seed % d_sae, d_sae - seed % d_sae)

    support = way.batch_topk(*scores_of(scores), groups, (k, 2), dtype)

    chosen = mask(support)
    order = support.rows * (d_sae + 1) + support.features
    assert (order.diff() > 0).all()
    for part, taken, wanted in zip(scores.split(groups, 1), chosen.split(groups, 1), (k, 2), strict=True):
        expected = part.flatten().topk(min(wanted * n, part.numel())).values.relu()
        assert torch.equal((part * taken).flatten().topk(len(expected)).values, expected)
        assert (part[taken] > 0).all()


def test_batch_topk_keeps_the_strongest_of_the_batch_and_no_zero() -> None:
    scores = torch.tensor([[5.0, 4.0, 3.0], [1.0, 0.0, 0.0]])

    one, three = (mask(batch_topk(*scores_of(scores), (3,), (k,), torch.float32)) for k in (1, 3))

    assert one.tolist() == [[True, True, False], [False, False, False]]
    assert three.tolist() == [[True, True, True], [True, False, False]]


def test_choices_span_blocks_of_rows() -> None:
    generator = torch.Generator().manual_seed(0)
    x, encoder = torch.randn(700, 8, generator=generator), torch.randn(90, 8, generator=generator)
    bias = torch.randn(90, generator=generator)
    scores = x @ encoder.T + bias

    by_row = mask(topk(x, encoder, bias, 5, torch.float32))
    by_batch = mask(batch_topk(x, encoder, bias, (90,), (5,), torch.float32))

    assert (by_row.sum(dim=1) == 5).all()
    torch.testing.assert_close((scores * by_row).sum(), scores.topk(5, dim=1).values.sum())
    torch.testing.assert_close((scores * by_batch).sum(), scores.flatten().topk(3500).values.sum())
    assert torch.equal(mask(above(x, encoder, bias, torch.float32)), scores > 0)


@WAYS
@settings(deadline=None)  # the first call compiles
@given(**SHAPES)
def test_keep_largest_zeroes_the_rest(way: ModuleType, n: int, d_sae: int, k: int, seed: int) -> None:
    scores, k = random_scores(n, d_sae, seed, torch.float32), min(k, d_sae)

    kept = way.keep_largest_(scores.clone(), k).relu()

    assert torch.equal(kept.topk(k, dim=1).values, scores.topk(k, dim=1).values.relu())
    assert ((kept > 0).sum(dim=1) <= k).all()


def test_a_nan_is_chosen_rather_than_lost() -> None:
    scores = torch.tensor([[1.0, float("nan"), 2.0]])

    assert mask(topk(*scores_of(scores), 2, torch.float32))[0, 1]
