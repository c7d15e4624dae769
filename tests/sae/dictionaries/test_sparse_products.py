import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from sae.dictionaries.sparse import Support, sparse_decode, sparse_encode


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).requires_grad_()


@given(
    n=st.integers(1, 6), d=st.integers(1, 5), d_sae=st.integers(1, 8), seed=st.integers(0, 2**30), share=st.floats(0, 1)
)
def test_values_and_all_gradients_are_those_of_the_dense_products(
    n: int, d: int, d_sae: int, seed: int, share: float
) -> None:
    mask = torch.rand(n, d_sae, generator=torch.Generator().manual_seed(seed)) < share
    parts = [random(n, d, seed=1), random(d_sae, d, seed=2), random(d_sae, seed=3), random(d_sae, d, seed=4)]
    dense_parts = [part.detach().clone().requires_grad_() for part in parts]
    towards = random(n, d, seed=5).detach()

    x, encoder, bias, decoder = parts
    support = Support.from_mask(mask)
    sparse = sparse_decode(sparse_encode(x, encoder, bias, support).relu(), decoder, support)
    (sparse * towards).sum().backward()

    x, encoder, bias, decoder = dense_parts
    dense = ((x @ encoder.T + bias).relu() * mask) @ decoder
    (dense * towards).sum().backward()

    torch.testing.assert_close(sparse, dense)
    for part, dense_part in zip(parts, dense_parts, strict=True):
        torch.testing.assert_close(part.grad, dense_part.grad, rtol=1e-4, atol=1e-5)


def test_a_support_of_k_a_row_is_the_mask_of_those_latents() -> None:
    chosen = torch.tensor([[4, 1], [0, 2]])
    mask = torch.zeros(2, 5, dtype=torch.bool).scatter(1, chosen, True)

    by_rows, by_mask = Support.from_rows(chosen, 5), Support.from_mask(mask)

    assert by_rows.rows.tolist() == by_mask.rows.tolist() == [0, 0, 1, 1]
    assert by_rows.feature_offsets.tolist() == by_mask.feature_offsets.tolist() == [0, 1, 2, 3, 3, 4]
    assert by_mask.features.tolist() == [1, 4, 0, 2]
