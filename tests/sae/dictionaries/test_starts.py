import pytest
import torch

from sae.config import RecipeConfig
from sae.dictionaries.architectures import build_trainable, working_dtype
from sae.dictionaries.initialisation import unit_rows

D, D_SAE = 16, 512
CPU = torch.device("cpu")


@pytest.mark.parametrize("architecture", ["standard", "l1", "gated", "jumprelu", "topk", "batchtopk", "matryoshka"])
def test_no_architecture_starts_near_what_counts_as_exploded(architecture: str) -> None:
    sized = {"groups": (D_SAE,)} if architecture == "matryoshka" else {"latents": D_SAE}
    recipe = RecipeConfig(architecture=architecture, k=4, **sized)  # pyright: ignore[reportArgumentType]
    sae = build_trainable(recipe, unit_rows(D_SAE, D, 0), torch.zeros(D))
    x = torch.randn(256, D, generator=torch.Generator().manual_seed(1))

    sae.begin(x)
    made = sae.step(x, torch.zeros(D_SAE, dtype=torch.bool), 0.5)

    # Half of 512 unit rows in 16 dimensions make 16 times the input, an FVU of 225.
    assert made.fvu < 10


@pytest.mark.parametrize(("target", "expected"), [(None, D / 8), (8.0, 8.0)])
def test_jumprelu_thresholds_start_where_the_wanted_number_of_latents_is_active(
    target: float | None, expected: float
) -> None:
    recipe = RecipeConfig(architecture="jumprelu", latents=D_SAE, target_l0=target)
    sae = build_trainable(recipe, unit_rows(D_SAE, D, 0), torch.zeros(D))
    x = torch.randn(512, D, generator=torch.Generator().manual_seed(1))

    sae.begin(x)
    made = sae.step(x, torch.zeros(D_SAE, dtype=torch.bool), 0.5)

    assert float(made.l0) == pytest.approx(expected)
    assert made.fired.all()


def test_a_matryoshka_dictionary_may_choose_over_all_its_groups() -> None:
    recipe = RecipeConfig(architecture="matryoshka", groups=(16, 48), k=4)
    sae = build_trainable(recipe, unit_rows(64, D, 0), torch.zeros(D))
    x = torch.randn(256, D, generator=torch.Generator().manual_seed(1))

    made = sae.step(x, torch.zeros(64, dtype=torch.bool), 0.5)

    assert made.l0 == 4
    threshold = sae.dictionary().threshold
    assert threshold is not None
    assert len(set(threshold.tolist())) == 1


def test_precision_is_what_the_recipe_says_and_automatic_only_for_large_products() -> None:
    assert working_dtype("bfloat16", 1, CPU) == torch.bfloat16
    assert working_dtype("float32", 10**12, CPU) == torch.float32
    assert working_dtype("auto", 10**6, CPU) == torch.float32
    able = torch.cpu.get_capabilities()
    native = any(able.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    assert working_dtype("auto", 10**12, CPU) == (torch.bfloat16 if native else torch.float32)
