import json
from itertools import islice

import pytest
import torch
import torch.nn.functional as F

from sae.config import RecipeConfig, parse_config
from sae.dictionaries.dictionary import Dictionary
from sae.dictionaries.initialisation import unit_rows
from sae.dictionaries.layout import dictionary_id
from sae.dictionaries.resampling import input_losses, restart
from sae.dictionaries.row_adam import RowAdam
from sae.dictionaries.standard import L1SAE
from sae.dictionaries.training import Training, train
from sae.errors import ConfigError

RECIPE = RecipeConfig(
    architecture="l1",
    latents=64,
    l1=8.0,
    batch=256,
    tokens=10_240,
    dead_after=256,
    resample=(0.5, 0.75),
    resample_tokens=700,
    learning_rate=1e-2,
    bias_init="geometric_median",
)


LONGER = {"latents": 128, "tokens": 40_960, "l1": 3.0, "learning_rate": 3e-3, "resample": (0.25, 0.5)}


def test_a_dead_latent_starts_again_at_the_input_that_was_picked() -> None:
    sae = L1SAE(unit_rows(4, 3, seed=0), torch.tensor([1.0, 0, 0]), 1.0, 0.0, 0.5, torch.float32)
    sae.b_enc[:] = torch.tensor([0.1, 0.2, 0.3, 0.4])
    sae.encoder[2] *= 3  # living rows have the norms .5, .5 and 1.5
    adam = RowAdam(sae, None)
    for moment in adam.buffers():
        moment.fill_(1.0)
    before = {name: value.clone() for name, value in sae.state_dict().items()}
    inputs = torch.tensor([[1.0, 0, 5], [9.0, 9, 9], [1.0, 4, 3]])
    dead = torch.tensor([False, True, False, False])

    restart(sae, adam, dead, inputs, torch.tensor([0.0, 0.0, 2.0]), torch.Generator().manual_seed(0))

    direction = torch.tensor([0, 0.8, 0.6])  # of (1, 4, 3) - (1, 0, 0)
    torch.testing.assert_close(sae.decoder[1], direction)
    torch.testing.assert_close(sae.encoder[1], 0.2 * 2.5 / 3 * direction)
    assert sae.b_enc[1] == 0
    living = [0, 2, 3]
    for name, value in sae.state_dict().items():
        assert torch.equal(value, before[name]) if name == "b_dec" else torch.equal(value[living], before[name][living])
    for name, moment in adam.named_buffers():
        touched = name.split("_", 1)[1] != "b_dec"
        assert bool((moment[1] == 0).all()) is touched
        assert bool((moment[living if touched else ...] == 1).all())


def test_inputs_are_picked_by_their_loss_squared_and_each_once() -> None:
    inputs = F.one_hot(torch.arange(3), 3).float()
    counts = torch.zeros(3)
    for seed in range(400):
        sae = L1SAE(unit_rows(2, 3, seed=0), torch.zeros(3), 1.0, 0.0, 1.0, torch.float32)
        generator = torch.Generator().manual_seed(seed)
        restart(sae, RowAdam(sae, None), torch.tensor([True, False]), inputs, torch.tensor([1.0, 2.0, 0.0]), generator)
        counts += sae.decoder[0].round()
    assert counts[2] == 0
    # 1 : 4; the standard deviation of 400 draws at .8 is .02.
    assert counts[1] / 400 == pytest.approx(0.8, abs=0.08)

    both = L1SAE(unit_rows(2, 3, seed=0), torch.zeros(3), 1.0, 0.0, 1.0, torch.float32)
    restart(both, RowAdam(both, None), torch.ones(2, dtype=torch.bool), inputs, torch.ones(3), torch.Generator())
    assert float(both.decoder[0] @ both.decoder[1]) == pytest.approx(0, abs=1e-6)


def test_the_loss_of_an_input_is_its_squared_error_and_its_codes() -> None:
    eye = torch.eye(2)
    dictionary = Dictionary(eye, torch.tensor([-1.0, 0.0]), eye, torch.zeros(2), "standard")

    found = input_losses(dictionary, torch.tensor([[3.0, 2.0], [0.5, -1.0]]), l1=0.5)

    # Codes (2, 2) leave an error of (1, 0); codes (0, 0) leave the whole input.
    torch.testing.assert_close(found, torch.tensor([1 + 0.5 * 4, 1.25]))


def test_resampling_leaves_fewer_latents_dead(planted) -> None:
    def dead(**changes: object) -> float:
        recipe = RECIPE.model_copy(update=LONGER | changes)
        return train(recipe, planted.batches(recipe), 16, planted.scale, planted.mean, 0).history[-1].dead_fraction

    assert dead() < dead(resample=())


@pytest.mark.parametrize("taken_up_at", [18, 19, 20, 22])
def test_a_training_taken_up_before_and_after_a_resampling_ends_with_the_same_bits(planted, taken_up_at: int) -> None:
    """Resamplings come after steps 20 and 30, among the last three batches: 18 and 19 have gathered some of these."""
    batches = list(islice(planted.batches(RECIPE), 40))
    whole = Training(RECIPE, 16, planted.scale, planted.mean, batches[0], seed=1)
    for batch in batches[:taken_up_at]:
        whole.advance(batch)
    state = whole.state_dict()
    for batch in batches[taken_up_at:]:
        whole.advance(batch)

    resumed = Training(RECIPE, 16, planted.scale, planted.mean, None, seed=1)
    resumed.load_state_dict(state)
    for batch in batches[taken_up_at:]:
        resumed.advance(batch)

    assert ("resample_inputs" in state) == (taken_up_at in (18, 19))
    assert dictionary_id(whole.result().dictionary) == dictionary_id(resumed.result().dictionary)
    without = train(RECIPE.model_copy(update={"resample": ()}), batches, 16, planted.scale, planted.mean, 1)
    assert dictionary_id(without.dictionary) != dictionary_id(whole.result().dictionary)


@pytest.mark.parametrize("recipe", [{"architecture": "topk", "k": 2, "resample": [0.5]}, {"resample": [1.5]}])
def test_a_resampling_that_cannot_be_is_refused(recipe: dict) -> None:
    config = {
        "models": {"m": {"source": "world"}},
        "corpora": {"c": {"source": "world"}},
        "sites": [{"model": "m", "hookpoint": "layers.1", "corpora": ["c"]}],
        "dictionaries": {"d": {"architecture": "l1", "latents": 8, **recipe}},
    }
    with pytest.raises(ConfigError, match="resample"):
        parse_config(json.dumps(config).encode(), "atlas.yaml")
