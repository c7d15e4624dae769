"""A dictionary trained again may not be much worse than the one it would replace."""

import pytest

from orchestration.checks import NO_LOSS, missed, quality_checks
from sae.config.atlas import CheckConfig

THRESHOLDS = CheckConfig(fvu=0.5, dead=0.5, loss_recovered=0.5, worse_by=0.05)
CURRENT = {"fvu": 0.10, "dead_fraction": 0.02, "loss_recovered": 0.98}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({}, None),
        ({"fvu": 0.149}, None),
        ({"fvu": 0.16}, "fvu: 0.16 is worse than the current dictionary's 0.1 by more than 0.05"),
        ({"fvu": 0.01}, None),
        ({"dead_fraction": 0.1}, "dead_fraction: 0.1 is worse"),
        ({"loss_recovered": 0.9}, "loss_recovered: 0.9 is worse"),
        ({"fvu": 0.6}, "fvu_below: 0.6 against 0.5"),
    ],
)
def test_it_is_held_against_the_current_one(change, named):
    found = missed(CURRENT | change, THRESHOLDS, CURRENT)

    assert found.startswith(named) if named else found == ""


def test_the_first_of_its_recipe_is_held_against_the_thresholds_alone():
    assert missed(CURRENT | {"fvu": 0.4}, THRESHOLDS) == ""


def test_what_was_not_measured_passes_nothing():
    assert missed(CURRENT | {"loss_recovered": None}, THRESHOLDS, CURRENT).startswith("loss_recovered_above: nan")


def test_of_a_model_that_predicts_no_next_token_no_loss_is_asked():
    encoder = CURRENT | {"loss_recovered": None, "n_predicted": None}

    assert missed(encoder, THRESHOLDS) == ""
    assert missed(encoder, THRESHOLDS, encoder) == ""
    assert missed(encoder | {"fvu": 0.6}, THRESHOLDS, encoder) == "fvu_below: 0.6 against 0.5"
    unmeasured = [check for check in quality_checks(encoder, THRESHOLDS) if check.value is None]
    assert [str(check) for check in unmeasured] == [f"loss_recovered_above: {NO_LOSS}"]
