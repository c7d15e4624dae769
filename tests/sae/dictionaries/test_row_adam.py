import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sae.dictionaries import row_adam
from sae.dictionaries.initialisation import unit_rows
from sae.dictionaries.matryoshka import MatryoshkaSAE
from sae.dictionaries.row_adam import RowAdam
from sae.dictionaries.standard import StandardSAE
from sae.dictionaries.step import Architecture
from sae.dictionaries.topk import TopKSAE

FLOAT32 = torch.float32
D, D_SAE = 7, 11


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def build(name: str, seed: int) -> Architecture:
    start = unit_rows(D_SAE, D, seed), random(D, seed=seed)
    match name:
        case "topk":
            return TopKSAE(*start, 3, 0.5, 2, 1.0, FLOAT32)
        case "matryoshka":
            return MatryoshkaSAE(*start, (4, 7), (2, 2), (1.0, 0.5), 3.0, 0.5, 2, 1.0, FLOAT32)
        case _:
            return StandardSAE(*start, 0.5, 1.0, FLOAT32)


def trained(name: str, seed: int, clip: float | None, steps: int = 4) -> tuple[Architecture, list[Tensor]]:
    sae, norms = build(name, seed), []
    optimiser = RowAdam(sae, clip)
    for step in range(steps):
        x = 3 * random(16, D, seed=seed + step)
        made = sae.step(x, torch.arange(D_SAE) < 2, 1.0)
        norm = optimiser.take(sae, made, step, 1e-2, measure=True)
        assert norm is not None
        norms.append(norm)
    return sae, norms


@pytest.mark.parametrize("name", ["topk", "matryoshka", "standard"])
@settings(deadline=None, max_examples=25)  # the first call compiles
@given(seed=st.integers(0, 2**30), clip=st.sampled_from([None, 0.05, 1e3]))
def test_loops_take_the_steps_that_whole_gradients_would(name: str, seed: int, clip: float | None) -> None:
    looped, norms = trained(name, seed, clip)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_adam, "_Looped", row_adam._Whole)
        whole, whole_norms = trained(name, seed, clip)

    torch.testing.assert_close(torch.stack(norms), torch.stack(whole_norms), rtol=1e-3, atol=1e-4)
    for (key, parameter), expected in zip(looped.named_parameters(), whole.parameters(), strict=True):
        # Adam turns a gradient near 0 into a full step either way: a few entries may differ by that much.
        near = torch.isclose(parameter, expected, rtol=1e-3, atol=1e-4)
        assert near.float().mean() > 0.95, key


@pytest.mark.parametrize("clip", [None, 0.5])
def test_steps_are_those_of_torchs_adam(clip: float | None) -> None:
    ours, theirs = build("standard", 0), build("standard", 0)
    optimiser = RowAdam(ours, clip)
    parameters = {name: torch.nn.Parameter(p.clone()) for name, p in theirs.named_parameters()}
    reference = torch.optim.Adam(parameters.values(), lr=1e-2)

    for step in range(5):
        made = ours.step(3 * random(16, D, seed=step), torch.zeros(D_SAE, dtype=torch.bool), 1.0)
        decoder, encoder = made.rows.dense(ours.decoder)
        for name, gradient in {"decoder": decoder, "encoder": encoder, **made.others}.items():
            parameters[name].grad = gradient.clone()
        if clip is not None:
            torch.nn.utils.clip_grad_norm_(parameters.values(), clip)
        reference.step()
        optimiser.take(ours, made, step, 1e-2, measure=False)

    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter.detach(), parameters[name].detach(), rtol=1e-3, atol=1e-4)


def test_unit_rows_keep_their_norm_and_gradients_along_them_are_left_out() -> None:
    sae = build("topk", 0)
    optimiser = RowAdam(sae, None)

    optimiser.take(sae, sae.step(random(16, D, seed=1), torch.zeros(D_SAE, dtype=torch.bool), 1.0), 0, 1e-2, False)

    torch.testing.assert_close(sae.decoder.norm(dim=1), torch.ones(D_SAE))
    first = optimiser.get_buffer("first_decoder")
    torch.testing.assert_close((first * unit_rows(D_SAE, D, 0)).sum(dim=1), torch.zeros(D_SAE), rtol=0, atol=1e-6)


def test_the_division_among_threads_leaves_every_bit_as_it_is() -> None:
    before = torch.get_num_threads()
    weights = []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        weights.append(trained("topk", 5, 1.0)[0].decoder)
    torch.set_num_threads(before)

    assert torch.equal(*weights)
