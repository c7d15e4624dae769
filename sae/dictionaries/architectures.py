"""From a recipe to the architecture that it names."""

import math

import torch
from torch import Tensor

from sae.config import RecipeConfig
from sae.dictionaries.gated import GatedSAE
from sae.dictionaries.jumprelu import JumpReLUSAE
from sae.dictionaries.matryoshka import MatryoshkaSAE
from sae.dictionaries.standard import L1SAE, StandardSAE
from sae.dictionaries.step import Architecture
from sae.dictionaries.topk import BatchTopKSAE, TopKSAE
from sae.errors import AtlasError

_GAINFUL_PRODUCTS = 10**9
"""Multiplications of a step's encoder from which a shorter number format is worth its conversions."""

_AUXK = 1 / 32
"""Gao et al. 2024, appendix A.2."""


def build_trainable(
    recipe: RecipeConfig, directions: Tensor, centre: Tensor, device: torch.device | str = "cpu"
) -> Architecture:
    """The recipe's architecture before its first step, on the device.

    `directions` [d_sae, d] are unit rows: decoder and encoder start along them; `centre` [d] is the start of b_dec.
    Raises AtlasError where the recipe asks for more active latents than there are.
    """
    d_sae, d = directions.shape
    kinds = recipe.k if isinstance(recipe.k, tuple) else (recipe.k or 0,)
    sizes = recipe.groups if isinstance(recipe.k, tuple) else (d_sae,)
    for k, size in zip(kinds, sizes, strict=True):
        if k > size and recipe.architecture in ("topk", "batchtopk", "matryoshka"):
            raise AtlasError(f"k is {k}, but there are {size} latents to choose from. Lower `k`.")
    dtype = working_dtype(recipe.precision, recipe.batch * d_sae * d, torch.device(device))
    start, warmup = (directions, centre), recipe.sparsity_warmup
    default_auxk = 0.0 if recipe.architecture == "matryoshka" else _AUXK
    auxk = (default_auxk if recipe.auxk is None else recipe.auxk, recipe.auxk_k or max(1, d // 2))
    norm = recipe.encoder_norm or start_norm(recipe.architecture, d, d_sae)
    match recipe.architecture:
        case "standard":
            sae = StandardSAE(*start, recipe.l1, warmup, dtype)
        case "l1":
            sae = L1SAE(*start, recipe.l1, warmup, norm, dtype)
        case "gated":
            sae = GatedSAE(*start, recipe.l1, warmup, norm, dtype)
        case "jumprelu":
            sae = JumpReLUSAE(*start, recipe.l0, recipe.target_l0, recipe.bandwidth, warmup, norm, dtype)
        case "topk" | "batchtopk":
            assert isinstance(recipe.k, int)
            kind = TopKSAE if recipe.architecture == "topk" else BatchTopKSAE
            sae = kind(*start, recipe.k, *auxk, norm, dtype)
        case "matryoshka":
            assert recipe.k is not None
            weights = recipe.prefix_weights or (1.0,) * len(recipe.groups)
            sae = MatryoshkaSAE(*start, recipe.groups, recipe.k, weights, recipe.overlap_penalty, *auxk, norm, dtype)
    return sae.to(device)


def start_norm(architecture: str, d: int, d_sae: int) -> float:
    """The norm at which encoder rows start where a recipe leaves it open.

    Of d_sae random unit rows half are active, and Σ ReLU(x·w)w is about d_sae/(2d)·x: where nothing else limits their
    number, this would start wide dictionaries far from the input.
    """
    if architecture in ("topk", "batchtopk"):
        return 1 / math.sqrt(3)
    return 1.0 if architecture in ("matryoshka", "jumprelu") else min(1.0, 2 * d / d_sae)


def working_dtype(precision: str, products: int, device: torch.device) -> torch.dtype:
    """What a recipe's `precision` means for a step whose encoder multiplies `products` times.

    `auto` is bfloat16 where the device multiplies it natively and the product is large enough to gain by it.
    """
    if precision != "auto":
        return torch.bfloat16 if precision == "bfloat16" else torch.float32
    if products < _GAINFUL_PRODUCTS:
        return torch.float32
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    able = torch.cpu.get_capabilities()
    return torch.bfloat16 if able.get("avx512_bf16") or able.get("amx_bf16") or able.get("bf16") else torch.float32
