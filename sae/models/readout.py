"""What a direction at a hookpoint adds to the logits directly, past everything that reads the residual stream again."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from sae.errors import AtlasError
from sae.models.hookpoints import hook_module, hookpoint_width, probe
from sae.models.subject import Subject, unembedding


def readout(subject: Subject, hookpoint: str) -> Tensor:
    """[v, d]: `readout @ direction` are the direct logit weights of a direction [d] at the hookpoint.

    In the residual stream that is the unembedding with the final normalisation folded in. Of an MLP's neurons (the
    output of its activation function) each direction goes through the map that writes them into the stream first:
    d_i W_down π L W_U of Bricken et al. 2023, "Towards Monosemanticity".
    Raises AtlasError as `unembedding` does, and for a place of another width that no such map reads.
    """
    unembed = unembedding(subject)
    if hookpoint_width(subject, hookpoint) == unembed.shape[1]:
        return unembed
    return unembed @ written_by(subject, hookpoint).T


@torch.no_grad()
def written_by(subject: Subject, hookpoint: str) -> Tensor:
    """[d, d_model]: what each dimension of the hookpoint's output adds to the residual stream, biases left out.

    Found by a pass over a few tokens: the linear map to `d_model` whose input is the hookpoint's output.
    Raises AtlasError where there is none: a gated MLP multiplies its activations before it writes them.
    """
    place = hook_module(subject, hookpoint)
    outputs: list[Tensor] = []
    inputs: list[tuple[nn.Module, Tensor]] = []

    def note_input(module: nn.Module, given: Any) -> None:
        inputs.append((module, given[0]))

    def note_output(_module: nn.Module, _given: Any, output: Tensor) -> None:
        outputs.append(output)

    hooks: list[Callable[[], None]] = [place.register_forward_hook(note_output).remove]
    for module in subject.module.modules():
        if _width(module) == subject.d_model:
            hooks.append(module.register_forward_pre_hook(note_input).remove)
    try:
        subject.module(**probe(subject))
    finally:
        for remove in hooks:
            remove()
    for module, given in inputs:
        if any(given.shape == output.shape and torch.equal(given, output) for output in outputs):
            unit = torch.eye(given.shape[-1], dtype=given.dtype, device=given.device)
            return (module(unit) - module(torch.zeros_like(unit))).float()
    raise AtlasError(
        f"{hookpoint} of {subject.name} is no part of the residual stream, and no linear map writes it there as it is: "
        "its features have no logit weights."
    )


def _width(module: nn.Module) -> int | None:
    # Linear keeps its outputs in `out_features`, transformers' Conv1D (GPT-2) in `nf`.
    return getattr(module, "out_features", getattr(module, "nf", None))
