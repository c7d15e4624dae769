"""Gradients written by hand against automatic differentiation of the dense formulas."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sae.dictionaries import latents as latents_module
from sae.dictionaries.gated import GatedSAE
from sae.dictionaries.initialisation import unit_rows
from sae.dictionaries.jumprelu import JumpReLUSAE
from sae.dictionaries.losses import normalised_error, overlap, sparsity, squared_error, total_variance
from sae.dictionaries.matryoshka import MatryoshkaSAE
from sae.dictionaries.standard import L1SAE, StandardSAE
from sae.dictionaries.step import Architecture, Step
from sae.dictionaries.topk import BatchTopKSAE, TopKSAE

FLOAT32 = torch.float32
SHAPES = {"n": st.integers(2, 7), "d": st.integers(2, 9), "d_sae": st.integers(4, 12), "seed": st.integers(0, 2**30)}


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def start(d: int, d_sae: int, seed: int) -> tuple[Tensor, Tensor]:
    return unit_rows(d_sae, d, seed), random(d, seed=seed)


def shaken(sae: Architecture, seed: int) -> Architecture:
    """Parameters away from their start, where gradients would cancel or coincide."""
    for number, parameter in enumerate(sae.parameters()):
        parameter += 0.2 * random(*parameter.shape, seed=seed + number)
    return sae


def assert_gradients(sae: Architecture, made: Step, loss_of: Callable[[dict[str, Tensor]], Tensor]) -> None:
    leaves = {name: p.detach().clone().requires_grad_() for name, p in sae.named_parameters()}
    loss = loss_of(leaves)
    names = list(leaves)
    expected = dict(
        zip(names, torch.autograd.grad(loss, [leaves[name] for name in names], allow_unused=True), strict=True)
    )
    decoder, encoder = made.rows.dense(sae.decoder)
    found = {"decoder": decoder, "encoder": encoder, **made.others}

    torch.testing.assert_close(made.loss, loss.detach(), rtol=1e-4, atol=1e-4)
    assert set(found) == set(names)
    for name in names:
        wanted = torch.zeros_like(found[name]) if expected[name] is None else expected[name]
        torch.testing.assert_close(found[name], wanted, rtol=1e-3, atol=1e-3, msg=lambda m, name=name: f"{name}: {m}")


def pre_activations(p: dict[str, Tensor], x: Tensor) -> Tensor:
    return (x - p["b_dec"]) @ p["encoder"].T + p["b_enc"]


@pytest.mark.parametrize("kind", [TopKSAE, BatchTopKSAE])
@settings(deadline=None)  # the first call compiles
@given(**SHAPES, n_dead=st.integers(0, 4))
def test_topk(kind: type[TopKSAE], n: int, d: int, d_sae: int, seed: int, n_dead: int) -> None:
    sae = shaken(kind(*start(d, d_sae, seed), 2, 0.5, 2, 1.0, FLOAT32), seed)
    x, dead = 3 * random(n, d, seed=seed + 99), torch.arange(d_sae) < n_dead

    made = sae.step(x, dead, 0.5)

    def loss(p: dict[str, Tensor]) -> Tensor:
        z = pre_activations(p, x)
        count = 2 if kind is TopKSAE else 2 * n
        flat = z if kind is TopKSAE else z.flatten()
        mask = torch.zeros_like(flat).scatter(-1, flat.topk(count, dim=-1).indices, 1.0).view_as(z)
        reconstruction = (z * mask).relu() @ p["decoder"] + p["b_dec"]
        missed = missed_by(p, x, x - reconstruction, dead)
        return normalised_error(x, reconstruction) + 0.5 * missed / total_variance(x)

    assert_gradients(sae, made, loss)


@pytest.mark.parametrize("per_group", [True, False])
@settings(deadline=None)  # the first call compiles
@given(**SHAPES, n_dead=st.integers(0, 4))
def test_matryoshka(per_group: bool, n: int, d: int, d_sae: int, seed: int, n_dead: int) -> None:
    groups, k = (2, d_sae - 2), ((1, 2) if per_group else 2)
    sae = shaken(MatryoshkaSAE(*start(d, d_sae, seed), groups, k, (1.0, 0.3), 2.0, 0.5, 2, 1.0, FLOAT32), seed)
    x, dead = 3 * random(n, d, seed=seed + 99), torch.arange(d_sae) < n_dead

    made = sae.step(x, dead, 0.5)

    def loss(p: dict[str, Tensor]) -> Tensor:
        z = pre_activations(p, x)
        ranked = z.split(groups, dim=1) if per_group else (z,)
        counts = (n, 2 * n) if per_group else (2 * n,)
        masks = [
            torch.zeros(part.numel()).scatter(0, part.flatten().topk(count).indices, 1.0).view_as(part)
            for part, count in zip(ranked, counts, strict=True)
        ]
        codes = (z * torch.cat(masks, dim=1)).relu()
        total = 2 * overlap(p["decoder"])
        for stop, weight in ((2, 1.0), (d_sae, 0.3)):
            total = total + weight * squared_error(x, codes[:, :stop] @ p["decoder"][:stop] + p["b_dec"])
        return total + 0.5 * missed_by(p, x, x - codes @ p["decoder"] - p["b_dec"], dead) / n

    assert_gradients(sae, made, loss)


def missed_by(p: dict[str, Tensor], x: Tensor, error: Tensor, dead: Tensor) -> Tensor:
    """AuxK with k = 2, as in Gao et al. 2024, appendix A.2."""
    n_dead = int(dead.sum())
    if not n_dead:
        return torch.zeros(())
    z = (x - p["b_dec"].detach()) @ p["encoder"][dead].T + p["b_enc"][dead]
    k = min(2, n_dead)
    kept = torch.zeros_like(z).scatter(1, z.topk(k, dim=1).indices, 1.0)
    return k / 2 * (error.detach() - (z * kept).relu() @ p["decoder"][dead]).square().sum()


@pytest.mark.parametrize("share", [1.0, -1.0])
@settings(deadline=None)  # the first call compiles
@given(**SHAPES)
def test_standard(share: float, n: int, d: int, d_sae: int, seed: int) -> None:
    sae = shaken(StandardSAE(*start(d, d_sae, seed), 0.7, 1.0, FLOAT32), seed)
    x = 3 * random(n, d, seed=seed + 99)

    made = step_with(share, sae, x)

    def loss(p: dict[str, Tensor]) -> Tensor:
        codes = (x @ p["encoder"].T + p["b_enc"]).relu()
        reconstruction = codes @ p["decoder"] + p["b_dec"]
        return squared_error(x, reconstruction) + 0.35 * sparsity(codes, p["decoder"])

    assert_gradients(sae, made, loss)


@pytest.mark.parametrize("share", [1.0, -1.0])
@settings(deadline=None)  # the first call compiles
@given(**SHAPES)
def test_l1(share: float, n: int, d: int, d_sae: int, seed: int) -> None:
    sae = shaken(L1SAE(*start(d, d_sae, seed), 0.7, 1.0, 1.0, FLOAT32), seed)
    x = 3 * random(n, d, seed=seed + 99)

    made = step_with(share, sae, x)

    def loss(p: dict[str, Tensor]) -> Tensor:
        codes = pre_activations(p, x).relu()
        return squared_error(x, codes @ p["decoder"] + p["b_dec"]) + 0.35 * codes.sum(dim=1).mean()

    assert_gradients(sae, made, loss)


@pytest.mark.parametrize("share", [1.0, -1.0])
@settings(deadline=None)  # the first call compiles
@given(**SHAPES)
def test_gated(share: float, n: int, d: int, d_sae: int, seed: int) -> None:
    sae = shaken(GatedSAE(*start(d, d_sae, seed), 0.7, 1.0, 1.0, FLOAT32), seed)
    x = 3 * random(n, d, seed=seed + 99)

    made = step_with(share, sae, x)

    def loss(p: dict[str, Tensor]) -> Tensor:
        product = (x - p["b_dec"]) @ p["encoder"].T
        gate = (product + p["b_enc"]).relu()
        codes = (gate > 0) * (p["r_mag"].exp() * product + p["b_mag"]).relu()
        frozen = gate @ p["decoder"].detach() + p["b_dec"].detach()
        reconstruction = codes @ p["decoder"] + p["b_dec"]
        return squared_error(x, reconstruction) + 0.35 * gate.sum(dim=1).mean() + squared_error(x, frozen)

    assert_gradients(sae, made, loss)


class _JumpReLU(torch.autograd.Function):
    """Equation 11 of Rajamanoharan et al. 2024, as automatic differentiation wants it."""

    @staticmethod
    def forward(ctx, z, threshold, bandwidth):
        ctx.save_for_backward(z, threshold)
        ctx.bandwidth = bandwidth
        return z * (z > threshold)

    @staticmethod
    def backward(ctx, *gradients):
        z, threshold = ctx.saved_tensors
        window = (((z - threshold) / ctx.bandwidth).abs() < 0.5).float()
        to_threshold = -(threshold / ctx.bandwidth) * window * gradients[0]
        return (z > threshold) * gradients[0], to_threshold.sum(dim=0), None


class _Step(torch.autograd.Function):
    """Equation 12."""

    @staticmethod
    def forward(ctx, z, threshold, bandwidth):
        ctx.save_for_backward(z, threshold)
        ctx.bandwidth = bandwidth
        return (z > threshold).float()

    @staticmethod
    def backward(ctx, *gradients):
        z, threshold = ctx.saved_tensors
        window = (((z - threshold) / ctx.bandwidth).abs() < 0.5).float()
        return None, (-(1 / ctx.bandwidth) * window * gradients[0]).sum(dim=0), None


@pytest.mark.parametrize("target", [None, 3.0])
@pytest.mark.parametrize("share", [1.0, -1.0])
@settings(deadline=None)  # the first call compiles
@given(**SHAPES)
def test_jumprelu(share: float, target: float | None, n: int, d: int, d_sae: int, seed: int) -> None:
    sae = shaken(JumpReLUSAE(*start(d, d_sae, seed), 0.7, target, 0.5, 1.0, 1.0, FLOAT32), seed)
    x = 3 * random(n, d, seed=seed + 99)

    made = step_with(share, sae, x)

    def loss(p: dict[str, Tensor]) -> Tensor:
        z, threshold = pre_activations(p, x), p["log_threshold"].exp()
        codes = _JumpReLU.apply(z, threshold, 0.5)
        active = _Step.apply(z, threshold, 0.5)
        assert isinstance(codes, Tensor)
        assert isinstance(active, Tensor)
        reconstruction, l0 = codes @ p["decoder"] + p["b_dec"], active.sum(dim=1).mean()
        if target is None:
            return squared_error(x, reconstruction) + 0.35 * l0
        return normalised_error(x, reconstruction) + (l0 / target - 1).square()

    assert_gradients(sae, made, loss)


def step_with(share: float, sae: Architecture, x: Tensor) -> Step:
    """A step whose entries are a list (share 1) or a matrix (share -1)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(latents_module, "_DENSE_SHARE", share)
        return sae.step(x, torch.zeros(len(sae.decoder), dtype=torch.bool), 0.5)


def test_auxk_reaches_only_dead_latents() -> None:
    sae = TopKSAE(*start(8, 12, 0), k=2, auxk=1 / 32, auxk_k=4, encoder_norm=1.0, dtype=FLOAT32)
    sae.b_enc[:3] = -1
    sae.b_enc[3:] = 5
    x = random(64, 8, seed=0)

    without = sae.step(x, torch.zeros(12, dtype=torch.bool), 0.5).rows.dense(sae.decoder)[0].norm(dim=1)
    revived = sae.step(x, torch.arange(12) < 3, 0.5).rows.dense(sae.decoder)[0].norm(dim=1)

    assert (without[:3] == 0).all()
    assert (revived[:3] > 0).all()
    assert torch.equal(without[3:], revived[3:])


def test_the_matryoshka_loss_is_the_weighted_sum_over_prefixes_and_the_overlap() -> None:
    x = torch.tensor([[2.0, 1.0]])
    directions = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    sae = MatryoshkaSAE(directions, torch.zeros(2), (1, 1), (1, 1), (1.0, 0.5), 3.0, 0.0, 1, 1.0, FLOAT32)

    made = sae.step(x, torch.zeros(2, dtype=torch.bool), 0.0)

    # First prefix: 2·(1, 0), error (0, 1). Second: + 2·(0.6, 0.8), error (-1.2, -0.6).
    penalty = 3 * 2 * (0.6 - 0.1) ** 2 / 2
    assert float(made.loss) == pytest.approx(1 + 0.5 * (1.44 + 0.36) + penalty, rel=1e-5)
    assert made.l0 == 2
    assert made.fired.tolist() == [True, True]
    torch.testing.assert_close(sae.thresholds, torch.tensor([2.0, 2.0]))
