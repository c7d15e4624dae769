"""Dead latents started again at inputs that the dictionary explains badly, while it trains.

Bricken et al. 2023, "Towards Monosemanticity", appendix "Neuron Resampling".
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from sae.config import RecipeConfig
from sae.dictionaries.dictionary import Dictionary
from sae.dictionaries.row_adam import RowAdam
from sae.dictionaries.step import Architecture

_ENCODER_SHARE = 0.2
_BLOCK_ROWS = 1024
_KEY = "resample_inputs"


class Resampler:
    """When a recipe's training starts its dead latents again, and the inputs that it gathers for that.

    Theirs looks at 819,200 inputs at steps 25,000, 50,000, 75,000 and 100,000 of a million, and calls dead what was
    silent for 12,500 steps; here the recipe says shares of the steps, and tokens (`resample_tokens`, `dead_after`).
    The inputs are the last ones read, so that a training which goes on from a saved state needs them in it.
    """

    def __init__(self, recipe: RecipeConfig, steps: int, seed: int):
        self._due = sorted({max(1, round(share * steps)) for share in recipe.resample})
        self._tokens, self._batches = recipe.resample_tokens, -(-recipe.resample_tokens // recipe.batch)
        self._l1 = recipe.l1
        self._seed = seed
        self._inputs: list[Tensor] = []

    def after(self, done: int, x: Tensor, sae: Architecture, adam: RowAdam, silent: Tensor) -> Tensor:
        """After `done` steps, the last one on x [n, d]: the latents that were started again, bool [d_sae].

        `silent` bool [d_sae] are the dead ones.
        """
        due = next((step for step in self._due if step >= done), None)
        if due is None or due - done >= self._batches:
            return torch.zeros_like(silent)
        self._inputs.append(x)
        if due > done:
            return torch.zeros_like(silent)
        inputs, self._inputs = torch.cat(self._inputs)[-self._tokens :], []
        generator = torch.Generator().manual_seed(self._seed + done)
        restart(sae, adam, silent, inputs, input_losses(sae.dictionary(), inputs, self._l1), generator)
        return silent

    def state_dict(self) -> dict[str, Tensor]:
        """The inputs gathered so far, [n, d]; nothing where there are none."""
        return {_KEY: torch.cat(self._inputs)} if self._inputs else {}

    def load_state_dict(self, state: Mapping[str, Tensor], device: torch.device) -> None:
        """Take up what `state_dict` gave, from a training's whole state."""
        self._inputs = [state[_KEY].to(device, copy=True)] if _KEY in state else []


def restart(
    sae: Architecture, adam: RowAdam, dead: Tensor, inputs: Tensor, losses: Tensor, generator: torch.Generator
) -> None:
    """Start the `dead` latents, bool [d_sae], again at some of the inputs [n, d], in place.

    Each gets an input of its own (as far as there are that many) with a probability proportional to its loss squared,
    losses [n]. The decoder's row becomes x − b_dec, which is what the encoder reads, at norm 1; the encoder's row the
    same at .2 of the mean norm of the living latents' rows; its bias 0; what Adam remembers of all three is forgotten.
    """
    latents = dead.nonzero()[:, 0]
    if not len(latents):
        return
    alive = sae.encoder[~dead] if bool((~dead).any()) else sae.encoder
    norm = _ENCODER_SHARE * alive.norm(dim=1).mean()
    weights = losses.double().square().cpu()
    enough = int((weights > 0).sum()) >= len(latents)
    picked = torch.multinomial(weights, len(latents), replacement=not enough, generator=generator)
    directions = F.normalize(inputs[picked.to(inputs.device)] - sae.b_dec, dim=1)
    sae.decoder[latents], sae.encoder[latents], sae.b_enc[latents] = directions, norm * directions, 0.0
    adam.forget(latents)


def input_losses(dictionary: Dictionary, x: Tensor, l1: float) -> Tensor:
    """‖x − x̂‖² + λ Σ f_i of each input, [n]: the loss of the `l1` recipe; x [n, d]."""
    parts = []
    for block in x.split(_BLOCK_ROWS):
        codes = dictionary.encode(block)
        parts.append((block - dictionary.decode(codes)).square().sum(dim=1) + l1 * codes.sum(dim=1))
    return torch.cat(parts)
