"""From a recipe to the architecture that it names."""

import torch
from torch import Tensor

from sae.config import RecipeConfig
from sae.dictionaries.matryoshka import MatryoshkaSAE
from sae.dictionaries.standard import StandardSAE
from sae.dictionaries.topk import TopKSAE
from sae.errors import AtlasError

TrainableSAE = StandardSAE | TopKSAE | MatryoshkaSAE


def build_trainable(recipe: RecipeConfig, directions: Tensor, centre: Tensor) -> TrainableSAE:
    """The recipe's architecture before its first step.

    `directions` [d_sae, d] are unit rows: decoder and encoder start along them; `centre` [d] is the start of b_dec.
    Raises AtlasError where the recipe asks for more active latents than there are.
    """
    match recipe.architecture:
        case "standard":
            return StandardSAE(directions, centre, recipe.l1)
        case "topk":
            assert isinstance(recipe.k, int)
            if recipe.k > len(directions):
                raise AtlasError(f"k is {recipe.k}, but the dictionary has {len(directions)} latents. Lower `k`.")
            precision = torch.bfloat16 if recipe.precision == "bfloat16" else torch.float32
            return TopKSAE(directions, centre, recipe.k, recipe.auxk, recipe.encoder_norm, precision)
        case "matryoshka":
            assert isinstance(recipe.k, tuple)
            weights = recipe.prefix_weights or (1.0,) * len(recipe.groups)
            return MatryoshkaSAE(
                directions, centre, recipe.groups, recipe.k, weights, recipe.overlap_penalty, recipe.encoder_norm
            )
