import polars as pl
import pytest
import torch

from sae.evaluation.neighborhoods import neighbors_lift


def chosen(features: dict[str, int], f1: dict[str, float] | None = None) -> pl.DataFrame:
    rows = [(concept, index, "all", (f1 or {}).get(concept, 1.0)) for concept, index in features.items()]
    return pl.DataFrame(rows, schema=["concept_id", "index", "slice", "f1"], orient="row")


def clusters(n_groups: int, size: int) -> tuple[torch.Tensor, dict[str, int], dict[str, str]]:
    generator = torch.Generator().manual_seed(0)
    centres = torch.eye(n_groups, 16)
    decoder = centres.repeat_interleave(size, 0) + 0.01 * torch.randn(n_groups * size, 16, generator=generator)
    features = {f"c{i}": i for i in range(n_groups * size)}
    return decoder, features, {f"c{i}": f"g{i // size}" for i in range(n_groups * size)}


def test_features_that_lie_by_their_group_reach_the_most_that_is_possible():
    decoder, features, groups = clusters(n_groups=4, size=6)
    found = neighbors_lift("neighbors_state_lift", decoder, chosen(features), groups, seed=0)
    assert found.details["precision"] == 1.0
    assert found.details["chance"] == pytest.approx(5 / 23)
    assert found.value == pytest.approx(23 / 5)
    assert (found.n, found.control) == (24, 1.0)


def test_random_directions_give_about_chance():
    generator = torch.Generator().manual_seed(3)
    decoder = torch.randn(120, 64, generator=generator)
    groups = {f"c{i}": f"g{i % 6}" for i in range(120)}
    found = neighbors_lift("m", decoder, chosen({f"c{i}": i for i in range(120)}), groups, seed=0)
    assert found.value is not None
    assert found.interval is not None
    assert found.value == pytest.approx(1.0, abs=0.25)
    assert found.interval[0] < found.value < found.interval[1]


def test_weak_shared_and_foreign_features_are_left_out():
    decoder, features, groups = clusters(n_groups=2, size=3)
    frame = chosen(features | {"c6": 0, "c7": 1, "elsewhere": 2}, {"c7": 0.49, "c6": 0.9})
    found = neighbors_lift("m", decoder, frame, groups | {"c6": "g1", "c7": "g1"}, seed=0)
    assert found.details["candidates"] == 6  # feature 0 stands for c0, which it fits better than c6


def test_groups_of_one_are_not_asked_and_nothing_to_ask_is_no_figure():
    decoder = torch.eye(3)
    found = neighbors_lift("m", decoder, chosen({"a": 0, "b": 1, "c": 2}), {"a": "x", "b": "y", "c": "z"}, seed=0)
    assert (found.value, found.n, found.interval) == (None, 0, None)
    assert neighbors_lift("m", decoder, chosen({"a": 0}), {}, seed=0).n == 0
