import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sae.dictionaries.dictionary import Dictionary, fold_scale
from sae.errors import AtlasError

FORMS = ("standard", "topk", "jumprelu", "gated")


def hand_made(form: str, **parts: object) -> Dictionary:
    """Two inputs, three latents: the axes and their sum."""
    axes = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    fields = {"W_enc": axes.T.contiguous(), "b_enc": torch.tensor([0.0, 0.0, -1.0]), "W_dec": axes}
    return Dictionary(**fields, b_dec=torch.tensor([1.0, 1.0]), form=form, **parts)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("form", "parts", "expected"),
    [
        ("standard", {}, [2.0, 1.0, 2.0]),
        ("standard", {"apply_b_dec_to_input": False}, [3.0, 2.0, 4.0]),
        ("topk", {"k": 1, "apply_b_dec_to_input": False}, [0.0, 0.0, 4.0]),
        ("jumprelu", {"threshold": torch.tensor([2.0, 0.5, 1.9])}, [0.0, 1.0, 2.0]),
        (
            "gated",
            {"r_mag": torch.tensor([2.0, 0.5, 2.0]).log(), "b_mag": torch.tensor([-1.0, -1.0, 0.5])},
            [3, 0, 6.5],
        ),
    ],
)
def test_codes_are_those_computed_by_hand(form: str, parts: dict, expected: list[float]) -> None:
    dictionary = hand_made(form, **parts)

    codes = dictionary.encode(torch.tensor([[3.0, 2.0]]))

    assert codes.tolist() == [expected]
    assert dictionary.decode(codes).tolist() == [[expected[0] + expected[2] + 1, expected[1] + expected[2] + 1]]


def test_topk_never_gives_a_negative_code() -> None:
    codes = hand_made("topk", k=3).encode(torch.tensor([[-5.0, 2.0]]))

    assert codes.tolist() == [[0.0, 1.0, 0.0]]


@given(form=st.sampled_from(FORMS), n=st.integers(0, 9), seed=st.integers(0, 2**31), data=st.data())
def test_sparse_codes_are_the_dense_ones(make_dictionary, form: str, n: int, seed: int, data: st.DataObject) -> None:
    d_in, d_sae = data.draw(st.integers(1, 7)), data.draw(st.integers(1, 12))
    dictionary = make_dictionary(form, d_in, d_sae, seed)
    x = torch.randn(n, d_in, generator=torch.Generator().manual_seed(seed + 1))

    rows, features, values = dictionary.encode_sparse(x)

    dense = torch.zeros(n, d_sae)
    dense[rows, features] = values
    assert torch.equal(dense, dictionary.encode(x))
    assert torch.equal(rows * d_sae + features, (rows * d_sae + features).sort().values)
    assert (values > 0).all()


def test_sparse_codes_are_the_dense_ones_over_several_blocks(make_dictionary) -> None:
    dictionary = make_dictionary("topk")
    x = torch.randn(5000, 6, generator=torch.Generator().manual_seed(1))

    rows, features, values = dictionary.encode_sparse(x)

    dense = torch.zeros(5000, 10)
    dense[rows, features] = values
    torch.testing.assert_close(dense, dictionary.encode(x), rtol=1e-5, atol=1e-5)
    assert int(rows.max()) == 4999


def test_codes_of_a_batch_of_sequences_are_those_of_its_rows(make_dictionary) -> None:
    dictionary = make_dictionary("jumprelu")
    x = torch.randn(2, 5, 6, generator=torch.Generator().manual_seed(1))

    assert dictionary.encode(x).shape == (2, 5, 10)
    torch.testing.assert_close(dictionary.encode(x).flatten(0, 1), dictionary.encode(x.flatten(0, 1)))


@pytest.mark.parametrize("form", FORMS)
def test_a_codes_gradient_is_its_encoder_column_where_it_is_active_and_zero_elsewhere(
    make_dictionary, form: str
) -> None:
    dictionary = make_dictionary(form)
    x = torch.randn(6, generator=torch.Generator().manual_seed(3))

    codes = dictionary.encode(x)
    found = torch.func.jacrev(dictionary.encode)(x)

    gain = torch.ones(10) if dictionary.r_mag is None else dictionary.r_mag.exp()
    assert (codes > 0).any()
    torch.testing.assert_close(found, (dictionary.W_enc * gain * (codes > 0)).T)


@given(form=st.sampled_from(FORMS), exponent=st.integers(-8, 8), seed=st.integers(0, 2**31), before=st.booleans())
def test_folding_a_power_of_two_is_exact(make_dictionary, form: str, exponent: int, seed: int, before: bool) -> None:
    trained = make_dictionary(form, seed=seed, apply_b_dec_to_input=before)
    rows = torch.tensor([[1.0, 0, 0, 0, 0, 0], [0, 0, -1.0, 0, 0, 0]]).repeat(5, 1)
    trained = Dictionary(**{**vars(trained), "W_dec": 2.0 * rows})
    scale = 2.0**exponent
    x = torch.randn(4, 6, generator=torch.Generator().manual_seed(seed))

    folded = fold_scale(trained, scale)

    assert torch.equal(folded.W_dec.norm(dim=1), torch.ones(10))
    assert torch.equal(folded.encode(x / scale), trained.encode(x) * 2 / scale)
    assert torch.equal(folded.decode(folded.encode(x / scale)), trained.decode(trained.encode(x)) / scale)


@given(scale=st.floats(1e-3, 1e3), seed=st.integers(0, 2**31))
def test_folding_any_scale_keeps_the_reconstruction(make_dictionary, scale: float, seed: int) -> None:
    trained = make_dictionary("standard", seed=seed)
    trained = Dictionary(**{**vars(trained), "W_dec": trained.W_dec * torch.linspace(0.1, 3, 10)[:, None]})
    x = torch.randn(4, 6, generator=torch.Generator().manual_seed(seed))

    folded = fold_scale(trained, scale)

    reconstruction = folded.decode(folded.encode(x / scale)) * scale
    torch.testing.assert_close(reconstruction, trained.decode(trained.encode(x)), rtol=1e-4, atol=1e-4)


def test_folding_leaves_rows_of_norm_zero_alone() -> None:
    dictionary = hand_made("standard")
    dictionary = Dictionary(**{**vars(dictionary), "W_dec": torch.zeros(3, 2)})

    assert fold_scale(dictionary, 2.0).W_dec.tolist() == [[0, 0]] * 3


@pytest.mark.parametrize(
    ("form", "parts", "named"),
    [
        ("jumprelu", {}, "threshold is missing"),
        ("jumprelu", {"threshold": torch.zeros(2)}, "threshold is of shape"),
        ("gated", {"r_mag": torch.zeros(3)}, "b_mag is missing"),
        ("topk", {}, "wants k"),
        ("topk", {"k": 4}, "wants k"),
    ],
)
def test_parts_that_do_not_fit_are_refused(form: str, parts: dict, named: str) -> None:
    with pytest.raises(AtlasError, match=named):
        hand_made(form, **parts)
