import pytest
import torch

from sae.dictionaries.losses import normalised_error, overlap, sparsity, squared_error, total_variance


def test_squared_error_sums_over_dimensions_and_averages_over_tokens() -> None:
    x, reconstruction = torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[0.0, 0.0], [0.0, 3.0]])

    assert squared_error(x, reconstruction) == (1 + 4 + 9) / 2


def test_normalised_error_is_one_for_the_mean() -> None:
    x = torch.tensor([[1.0, 2.0], [3.0, 6.0]])

    assert total_variance(x) == 1 + 4 + 1 + 4
    assert normalised_error(x, x.mean(dim=0).expand_as(x)) == 1
    assert normalised_error(x, x) == 0


def test_normalised_error_of_equal_tokens_is_finite_where_they_are_met() -> None:
    assert normalised_error(torch.ones(3, 2), torch.ones(3, 2)) == 0


def test_sparsity_weighs_codes_by_the_decoder_norm() -> None:
    codes, decoder = torch.tensor([[1.0, 2.0], [0.0, 4.0]]), torch.tensor([[3.0, 4.0], [0.0, 0.5]])

    assert sparsity(codes, decoder) == (1 * 5 + 2 * 0.5 + 4 * 0.5) / 2


def test_overlap_counts_each_ordered_pair_beyond_a_cosine_of_a_tenth() -> None:
    decoder = torch.tensor([[2.0, 0.0], [0.6, 0.8], [-1.0, 0.0]])

    assert overlap(decoder) == pytest.approx(2 * (0.6 - 0.1) ** 2 / 3)


def test_overlap_presses_two_rows_apart() -> None:
    decoder = torch.tensor([[1.0, 0.0], [0.8, 0.6]], requires_grad=True)

    overlap(decoder).backward()

    assert decoder.grad is not None
    moved = decoder.detach() - 0.1 * decoder.grad
    assert torch.cosine_similarity(moved[0], moved[1], dim=0) < 0.8
