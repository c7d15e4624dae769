"""Edges between two sites are exact where the model between them is linear."""

import numpy as np
import polars as pl
import pytest
import torch
from torch import nn

from sae.causal.edges import SitedDictionary, attribution_edges
from sae.dictionaries.dictionary import Dictionary
from sae.identity import feature_id
from sae.models.encoding import Encoded
from sae.models.subject import Subject, freeze

D, VOCABULARY = 6, 9


class LinearModel(nn.Module):
    """Embedding, then two linear blocks; the second one mixes each position with the one before."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(VOCABULARY, D)
        self.layers = nn.ModuleDict({"1": nn.Identity(), "2": nn.Identity()})
        self.mix = nn.Linear(D, D, bias=False)

    def forward(self, input_ids, attention_mask=None):
        early = self.layers["1"](self.embed(input_ids))
        before = torch.roll(early, 1, dims=1)
        late = self.layers["2"](early + self.mix(before))
        return type("Output", (), {"logits": late})()


class Codec:
    vocabulary_size, context_size, pad_id = VOCABULARY, 32, 0


@pytest.fixture
def subject():
    module = freeze(LinearModel())
    return Subject("linear", "m0", "LinearModel", module, Codec(), 2, D, 0, ("text",), "test", None)  # type: ignore[arg-type]


@pytest.fixture
def prompt():
    ids = np.array([3, 5, 7], dtype=np.int64)
    return Encoded(ids, ["a", "b", "c"], np.zeros((3, 2), np.int32), np.zeros(3, bool), ["text"] * 3)


def random_dictionary(seed: int) -> Dictionary:
    generator = torch.Generator().manual_seed(seed)
    rows = nn.functional.normalize(torch.randn(12, D, generator=generator), dim=1)
    return Dictionary(rows.T.contiguous(), torch.zeros(12), rows, torch.zeros(D), "standard")


def test_an_edge_is_the_change_that_taking_the_source_away_makes(subject, prompt):
    early = SitedDictionary("early", random_dictionary(1), "layers.1", torch.inf)
    late = SitedDictionary("late", random_dictionary(2), "layers.2", torch.inf)
    x = subject.module.embed(torch.from_numpy(prompt.token_ids))
    hidden = x + subject.module.mix(torch.roll(x, 1, dims=0))
    position, feature = 2, int(late.dictionary.encode(hidden)[2].argmax())

    edges = attribution_edges(subject, early, late, prompt, "p", [(position, feature)], strongest=100)

    codes = early.dictionary.encode(x)
    for row in edges.to_dicts():
        source, at = int(row["source_feature_id"].split(":")[1]), row["source_position"]
        moved = x.clone()
        moved[at] -= codes[at, source] * early.dictionary.W_dec[source]
        without = moved + subject.module.mix(torch.roll(moved, 1, dims=0))
        w = late.dictionary.W_enc[:, feature]
        # Linear in between: the first-order effect is the whole effect on the pre-activation.
        assert row["weight"] == pytest.approx(float((hidden - without)[position] @ w), abs=1e-5)
    assert edges["target_feature_id"].unique().to_list() == [feature_id("late", feature)]


def test_positions_that_the_target_does_not_read_have_no_edge(subject, prompt):
    early = SitedDictionary("early", random_dictionary(1), "layers.1", torch.inf)
    late = SitedDictionary("late", random_dictionary(2), "layers.2", torch.inf)
    x = subject.module.embed(torch.from_numpy(prompt.token_ids))
    feature = int(late.dictionary.encode(x + subject.module.mix(torch.roll(x, 1, dims=0)))[2].argmax())

    edges = attribution_edges(subject, early, late, prompt, "p", [(2, feature)], strongest=100)

    assert set(edges["source_position"]) == {1, 2}


def test_a_silent_target_has_no_edge(subject, prompt):
    early = SitedDictionary("early", random_dictionary(1), "layers.1", torch.inf)
    late = SitedDictionary("late", random_dictionary(2), "layers.2", torch.inf)
    x = subject.module.embed(torch.from_numpy(prompt.token_ids))
    silent = int(late.dictionary.encode(x + subject.module.mix(torch.roll(x, 1, dims=0)))[2].argmin())

    assert attribution_edges(subject, early, late, prompt, "p", [(2, silent)]).is_empty()


def test_many_targets_are_what_each_gives_by_itself(subject, prompt):
    early = SitedDictionary("early", random_dictionary(1), "layers.1", torch.inf)
    late = SitedDictionary("late", random_dictionary(2), "layers.2", torch.inf)
    targets = [(position, feature) for position in range(3) for feature in range(12)]

    together = attribution_edges(subject, early, late, prompt, "p", targets, strongest=4)
    in_parts = attribution_edges(subject, early, late, prompt, "p", targets, strongest=4, batch_tokens=7)
    alone = [attribution_edges(subject, early, late, prompt, "p", [target], strongest=4) for target in targets]

    assert together.height > 20
    for other in (in_parts, pl.concat(alone)):
        assert other.drop("weight").equals(together.drop("weight"))
        assert other["weight"].to_list() == pytest.approx(together["weight"].to_list(), abs=1e-5)


def test_nothing_later_acts_on_what_is_earlier(subject, prompt):
    early = SitedDictionary("early", random_dictionary(1), "layers.1", torch.inf)
    late = SitedDictionary("late", random_dictionary(2), "layers.2", torch.inf)
    targets = [(position, feature) for position in range(3) for feature in range(12)]

    edges = attribution_edges(subject, early, late, prompt, "p", targets, strongest=100)

    # This model's first position reads the last one (it is no causal model): such edges are left out all the same.
    assert (edges["source_position"] <= edges["target_position"]).all()


def test_targets_where_the_later_dictionary_does_not_read_have_no_edge(subject, prompt):
    early = SitedDictionary("early", random_dictionary(1), "layers.1", torch.inf)
    late = SitedDictionary("late", random_dictionary(2), "layers.2", massive_norm=0.0)

    assert attribution_edges(subject, early, late, prompt, "p", [(2, f) for f in range(12)]).is_empty()
    assert attribution_edges(subject, early, late, prompt, "p", []).is_empty()
