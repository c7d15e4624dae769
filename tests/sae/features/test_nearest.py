from unittest.mock import patch

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from sae.errors import AtlasError
from sae.features import nearest as module
from sae.features.nearest import nearest, nearest_on_device


def _unit(n, d, seed):
    return F.normalize(torch.randn(n, d, generator=torch.Generator().manual_seed(seed)), dim=1)


def _brute_force(left, right, size, same):
    similarity = left @ right.T
    if same:
        similarity.fill_diagonal_(-torch.inf)
    size = min(size, len(right) - same)
    found = similarity.sort(dim=1, descending=True, stable=True)
    return found.values[:, :size], found.indices[:, :size]


@settings(deadline=None, max_examples=60)
@given(
    n=st.integers(1, 150),
    m=st.integers(1, 150),
    size=st.integers(1, 8),
    tile=st.integers(1, 160),
    same=st.booleans(),
    on_device=st.booleans(),
    coarse=st.booleans(),
)
def test_nearest_equals_brute_force_and_equal_ones_come_in_their_order(n, m, size, tile, same, on_device, coarse):
    # Of whole numbers products are exact, and many are equal.
    left = _unit(n, 6, 1) if not coarse else (_unit(n, 6, 1) * 2).round()
    right = left if same else (_unit(m, 6, 2) if not coarse else (_unit(m, 6, 2) * 2).round())

    with patch.object(module, "_TILE", tile), patch.object(module, "_DEVICE_TILE", tile):
        if on_device and len(right) > same:
            cosines, indices = nearest_on_device(left, right, min(size, len(right) - same), same)
        else:
            cosines, indices = nearest(left, right, size, exclude_same=same)

    wanted, at = _brute_force(left, right, size, same)
    torch.testing.assert_close(cosines, wanted)
    if coarse:
        assert torch.equal(indices, at)


def test_the_result_does_not_depend_on_the_number_of_threads():
    vectors, threads = _unit(300, 16, 0), torch.get_num_threads()
    one = nearest(vectors, vectors, 5, exclude_same=True)

    try:
        torch.set_num_threads(3)
        three = nearest(vectors, vectors, 5, exclude_same=True)
    finally:
        torch.set_num_threads(threads)

    assert torch.equal(one[1], three[1])


@pytest.mark.parametrize("same", [True, False])
def test_a_row_that_is_not_finite_is_refused(same):
    vectors = _unit(20, 8, 0)
    vectors[3, 2] = torch.nan

    with pytest.raises(AtlasError, match="not finite"):
        nearest(vectors, vectors if same else _unit(20, 8, 1), 3, exclude_same=same)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_finds_the_same():
    left, right = _unit(700, 32, 0), _unit(900, 32, 1)

    cosines, indices = nearest(left.cuda(), right.cuda(), 10)

    wanted, _ = _brute_force(left, right, 10, False)
    torch.testing.assert_close(cosines, wanted, atol=1e-3, rtol=0)
    assert indices.device.type == "cpu"
