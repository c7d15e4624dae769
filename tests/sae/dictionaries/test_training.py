from itertools import islice

import pytest
import torch
import torch.nn.functional as F

from sae.config import RecipeConfig
from sae.dictionaries.initialisation import geometric_median, unit_rows
from sae.dictionaries.layout import dictionary_id
from sae.dictionaries.metrics import evaluate
from sae.dictionaries.training import TrainedSAE, Training, schedule, train
from sae.errors import AtlasError

STANDARD = RecipeConfig(architecture="standard", latents=32, l1=1.0, batch=256, tokens=204_800, learning_rate=3e-3)
TOPK = RecipeConfig(architecture="topk", latents=32, k=4, batch=256, tokens=128_000, learning_rate=5e-3)
MATRYOSHKA = RecipeConfig(
    architecture="matryoshka", groups=(24, 8), k=(2, 1), batch=256, tokens=128_000, learning_rate=5e-3
)
BATCHTOPK = TOPK.model_copy(update={"architecture": "batchtopk", "k": 2})
L1 = STANDARD.model_copy(update={"architecture": "l1"})
GATED = STANDARD.model_copy(update={"architecture": "gated", "l1": 2.0})
JUMPRELU = STANDARD.model_copy(update={"architecture": "jumprelu", "l0": 0.6, "bandwidth": 0.5, "learning_rate": 5e-3})
RECIPES = {
    "standard": STANDARD,
    "l1": L1,
    "gated": GATED,
    "jumprelu": JUMPRELU,
    "topk": TOPK,
    "batchtopk": BATCHTOPK,
    "matryoshka": MATRYOSHKA,
}


def run(planted, recipe: RecipeConfig, seed: int = 0, **changes: object) -> TrainedSAE:
    recipe = recipe.model_copy(update=changes)
    return train(recipe, planted.batches(recipe), 16, planted.scale, planted.mean, seed)


@pytest.fixture(scope="module")
def nested(planted) -> TrainedSAE:
    return run(planted, MATRYOSHKA)


@pytest.mark.parametrize("name", RECIPES)
def test_planted_features_are_recovered(planted, nested: TrainedSAE, name: str) -> None:
    trained = nested if name == "matryoshka" else run(planted, RECIPES[name])

    measured = evaluate(trained.dictionary, [planted.x])
    assert planted.found(trained.dictionary) >= 18
    assert measured.fvu < 0.1
    assert 1 < measured.l0 < 5
    torch.testing.assert_close(trained.dictionary.W_dec.norm(dim=1), torch.ones(32))


def test_bfloat16_choice_of_latents_recovers_them_too(planted) -> None:
    trained = run(planted, TOPK, precision="bfloat16")

    assert planted.found(trained.dictionary) >= 18
    assert evaluate(trained.dictionary, [planted.x]).fvu < 0.1


@pytest.mark.parametrize("name", RECIPES)
def test_the_same_seed_gives_the_same_bits(planted, name: str) -> None:
    first, again, other = (run(planted, RECIPES[name], seed, tokens=5120) for seed in (1, 1, 2))

    assert dictionary_id(first.dictionary) == dictionary_id(again.dictionary)
    assert dictionary_id(first.dictionary) != dictionary_id(other.dictionary)
    assert first.history == again.history


def test_the_matryoshka_threshold_keeps_about_as_many_latents_as_the_batch_did(planted, nested: TrainedSAE) -> None:
    assert nested.dictionary.form == "jumprelu"
    assert nested.dictionary.threshold is not None
    first, second = nested.dictionary.threshold[:24], nested.dictionary.threshold[24:]
    torch.testing.assert_close(first, first[:1].expand(24))
    torch.testing.assert_close(second, second[:1].expand(8))
    assert evaluate(nested.dictionary, [planted.x]).l0 == pytest.approx(nested.history[-1].l0, rel=0.15)


def test_each_prefix_of_a_matryoshka_dictionary_reconstructs(planted, nested: TrainedSAE) -> None:
    dictionary = nested.dictionary

    codes = dictionary.encode(planted.x)
    codes[:, 24:] = 0
    error = (planted.x - dictionary.decode(codes)).square().sum()
    assert error / (planted.x - planted.mean).square().sum() < 0.3


def test_the_scale_is_folded_in(planted) -> None:
    raw = run(planted, TOPK, tokens=5120).dictionary
    recipe = TOPK.model_copy(update={"tokens": 5120})
    scaled = train(recipe, (4 * x for x in planted.batches(recipe)), 16, planted.scale / 4, 4 * planted.mean, 0)

    x = planted.x[:100]
    torch.testing.assert_close(scaled.dictionary.encode(4 * x), 4 * raw.encode(x), rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(
        scaled.dictionary.decode(scaled.dictionary.encode(4 * x)), 4 * raw.decode(raw.encode(x)), rtol=1e-4, atol=1e-3
    )


@pytest.mark.parametrize("name", RECIPES)
def test_a_nan_stops_the_run_and_names_the_step(planted, name: str) -> None:
    recipe = RECIPES[name].model_copy(update={"tokens": 2560})
    batches = list(islice(planted.batches(recipe), 10))
    batches[7][3, 5] = float("nan")

    with pytest.raises(AtlasError, match="step 7 of 10: the loss is nan"):
        train(recipe, batches, 16, planted.scale, planted.mean, 0)


def test_an_exploding_loss_stops_the_run_and_names_the_step(planted) -> None:
    with pytest.raises(AtlasError, match=r"step \d+ of 500: the loss exploded .*learning_rate \(now 10\)"):
        run(planted, STANDARD, tokens=128_000, learning_rate=10.0)


def test_batches_that_run_out_or_do_not_fit_are_refused(planted) -> None:
    with pytest.raises(AtlasError, match="ran out after 256 of the 128000"):
        train(TOPK, islice(planted.batches(TOPK), 1), 16, 1.0, planted.mean, 0)
    with pytest.raises(AtlasError, match="no activation"):
        train(TOPK, [], 16, 1.0, planted.mean, 0)
    with pytest.raises(AtlasError, match="16 dimensions"):
        train(TOPK, planted.batches(TOPK), 8, 1.0, planted.mean, 0)
    with pytest.raises(AtlasError, match="Lower `k`"):
        run(planted, TOPK, k=33)


def test_the_last_batch_may_be_smaller_and_progress_counts_tokens(planted) -> None:
    recipe = TOPK.model_copy(update={"tokens": 600})
    seen: list[tuple[int, int]] = []

    trained = train(
        recipe,
        [planted.x[:256], planted.x[256:512], planted.x[512:600]],
        16,
        planted.scale,
        planted.mean,
        0,
        on_step=lambda done, total: seen.append((done, total)),
    )

    assert seen == [(256, 600), (512, 600), (600, 600)]
    assert [point.tokens for point in trained.history] == [256, 512, 600]


def test_the_rate_rises_stays_and_falls() -> None:
    rates = [schedule(step, 100, 0.1, 0.2) for step in range(100)]

    assert rates[0] == pytest.approx(0.1)
    assert rates[9:81] == [1.0] * 72
    assert rates[90] == pytest.approx(0.5)
    assert rates[99] == pytest.approx(0.05)
    assert schedule(0, 10, 0.0, 0.0) == schedule(9, 10, 0.0, 0.0) == 1.0


def test_dead_latents_are_counted_in_tokens(planted) -> None:
    dying = run(planted, TOPK, latents=200, k=1, tokens=12_800, dead_after=2048, auxk=0.0, learning_rate=0.02)

    assert all(point.dead_fraction == 0 for point in dying.history if point.tokens <= 2048)
    assert dying.history[-1].dead_fraction > 0.2


def test_decoder_rows_keep_norm_one_while_they_turn(planted) -> None:
    trained = run(planted, TOPK, tokens=2560)

    started = unit_rows(32, 16, 0)
    assert not torch.allclose(trained.dictionary.W_dec, started, atol=1e-2)
    torch.testing.assert_close(trained.dictionary.W_dec.norm(dim=1), torch.ones(32))


def test_the_geometric_median_withstands_an_outlier() -> None:
    points = torch.cat([torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]), torch.tensor([[1e4, 0.0]])])

    median = geometric_median(points)

    assert median.norm() < 1
    assert points.mean(dim=0).norm() > 1000


def test_the_bias_can_start_at_the_geometric_median(planted) -> None:
    recipe = TOPK.model_copy(update={"tokens": 256, "bias_init": "geometric_median", "learning_rate": 1e-9})

    trained = train(recipe, [planted.x[:256]], 16, planted.scale, planted.mean, 0)

    torch.testing.assert_close(trained.dictionary.b_dec, geometric_median(planted.x[:256]), rtol=1e-3, atol=1e-3)


def test_directions_are_unit_rows_that_the_seed_decides() -> None:
    rows = unit_rows(50, 16, seed=3)

    torch.testing.assert_close(rows.norm(dim=1), torch.ones(50))
    assert torch.equal(rows, unit_rows(50, 16, seed=3))
    assert F.normalize(rows - unit_rows(50, 16, seed=4), dim=1).isfinite().all()


@pytest.mark.parametrize("name", RECIPES)
def test_a_training_that_takes_up_a_saved_state_ends_with_the_same_bits(planted, name: str) -> None:
    recipe = RECIPES[name].model_copy(update={"tokens": 5120, "dead_after": 1000})
    batches = list(islice(planted.batches(recipe), 20))
    whole = Training(recipe, 16, planted.scale, planted.mean, batches[0], seed=1)
    for batch in batches[:11]:
        whole.advance(batch)
    state = whole.state_dict()
    for batch in batches[11:]:
        whole.advance(batch)

    resumed = Training(recipe, 16, planted.scale, planted.mean, None, seed=2)
    resumed.load_state_dict(state)
    for batch in batches[11:]:
        resumed.advance(batch)

    assert whole.finished
    assert resumed.finished
    assert dictionary_id(whole.result().dictionary) == dictionary_id(resumed.result().dictionary)
    assert whole.history == resumed.history
    assert all(torch.equal(tensor, resumed.state_dict()[key]) for key, tensor in whole.state_dict().items())


def test_a_state_of_another_recipe_is_refused(planted) -> None:
    first = next(planted.batches(TOPK))
    other = Training(MATRYOSHKA, 16, planted.scale, planted.mean, first, seed=1)

    with pytest.raises(AtlasError, match="not one of this recipe's"):
        Training(TOPK, 16, planted.scale, planted.mean, first, seed=1).load_state_dict(other.state_dict())
