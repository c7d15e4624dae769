import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sae.dictionaries.sparse import (
    Prefixes,
    encode_at,
    encode_at_torch,
    reconstruct,
    reconstruct_torch,
    sums_by_feature,
)
from sae.dictionaries.support import Support


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@settings(deadline=None)  # the first call compiles
@given(
    n=st.integers(1, 6),
    d=st.integers(1, 20),
    d_sae=st.integers(2, 9),
    seed=st.integers(0, 2**30),
    share=st.floats(0, 1),
)
def test_loops_and_operators_give_the_dense_products(n: int, d: int, d_sae: int, seed: int, share: float) -> None:
    mask = torch.rand(n, d_sae, generator=torch.Generator().manual_seed(seed)) < share
    x, encoder, bias, decoder = (
        random(n, d, seed=1),
        random(d_sae, d, seed=2),
        random(d_sae, seed=3),
        random(d_sae, d, seed=4),
    )
    support = Support.from_mask(mask)
    prefixes = Prefixes((1 + seed % (d_sae - 1), d_sae), (0.5, 2.0))

    dense = (x @ encoder.T + bias) * mask
    errors = [dense[:, :stop] @ decoder[:stop] - x for stop in prefixes.stops]
    towards = torch.stack([0.5 * errors[0] + 2 * errors[1], 2 * errors[1]])
    slopes = torch.where(prefixes.levels() == 0, towards[0] @ decoder.T, towards[1] @ decoder.T)[mask]

    for encode, decode in ((encode_at, reconstruct), (encode_at_torch, reconstruct_torch)):
        codes = encode(x, encoder, bias, support)
        made = decode(codes, decoder, support, x, prefixes)
        torch.testing.assert_close(codes, dense[mask], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(made.squared, torch.stack([e.square().sum() for e in errors]), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(made.towards, towards, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(made.slopes, slopes, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(sums_by_feature(dense[mask], x, support), dense.T @ x, rtol=1e-4, atol=1e-4)


def test_a_support_of_k_a_row_is_the_mask_of_those_latents() -> None:
    chosen = torch.tensor([[4, 1], [0, 2]])
    mask = torch.zeros(2, 5, dtype=torch.bool).scatter(1, chosen, True)

    by_rows, by_mask = Support.from_rows(chosen, 5), Support.from_mask(mask)

    assert by_rows.rows.tolist() == by_mask.rows.tolist() == [0, 0, 1, 1]
    assert by_rows.feature_offsets.tolist() == by_mask.feature_offsets.tolist() == [0, 1, 2, 3, 3, 4]
    assert by_mask.features.tolist() == [1, 4, 0, 2]
