import pytest
import torch

from sae.causal.answer import Answer
from sae.causal.attribution import attribute
from sae.causal.many_prompts import read_prompts
from sae.dictionaries.dictionary import Dictionary
from sae.evaluation import world_chains as module
from sae.evaluation.measures import Measure
from sae.evaluation.stand_ins import StandIn
from sae.evaluation.world_chains import chain_measures
from sae.models.subject import Subject
from sae.world.codec import build_codec
from sae.world.facts import load_facts
from sae.world.loading import world_subject
from sae.world.model import WorldLM, WorldLMConfig

HOOKPOINT = "layers.3"
D_SAE = 40


@pytest.fixture(scope="module")
def untrained() -> Subject:
    codec = build_codec()
    config = WorldLMConfig(vocabulary_size=codec.vocabulary_size, d_model=16, n_heads=2)
    return world_subject(WorldLM(config, torch.Generator().manual_seed(0)), codec, "untrained")


def _dictionary(active: int) -> Dictionary:
    """Of random features the first `active` are active everywhere, the others nowhere."""
    decoder = torch.nn.functional.normalize(torch.randn(D_SAE, 16, generator=torch.Generator().manual_seed(0)), dim=1)
    bias = torch.where(torch.arange(D_SAE) < active, 1e3, -1e3)
    return Dictionary(decoder.T.contiguous(), bias, decoder, torch.zeros(16), "standard")


def test_the_third_chain_lies_in_a_state_of_its_own(untrained: Subject):
    facts, asked = load_facts(), module._prompts(untrained, seed=0)

    states = [(one.chain["state"], one.other["state"], one.third["state"]) for one in asked]

    assert len(asked) == 432
    assert all(len(set(three)) == 3 for three in states)
    assert {third for *_, third in states} == {facts.entities[name].concept_id for name in facts.of_kind("state")}
    assert [one.third for one in module._prompts(untrained, seed=0)] == [one.third for one in asked]


def test_a_feature_that_adds_nothing_is_not_among_the_top(untrained: Subject):
    dictionary, (prompt,) = _dictionary(active=6), module._prompts(untrained, seed=0)[:1]
    (read,) = read_prompts(untrained, HOOKPOINT, [(prompt.encoded, Answer((prompt.target_id,), (prompt.other_id,)))])

    top = module._top_features(read, dictionary, float("inf"))

    found = attribute(read, dictionary)
    total = torch.zeros(D_SAE).index_add_(0, found.features, found.attributions)
    assert top == set((total > 0).nonzero()[:, 0].tolist())
    assert 0 < len(top) < 6  # some of the six speak against the answer


def test_the_control_of_the_chain_is_the_third_one(untrained: Subject, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "N_PROMPTS", 1)
    dictionary, (prompt,) = _dictionary(active=D_SAE), module._prompts(untrained, seed=0)
    (read,) = read_prompts(untrained, HOOKPOINT, [(prompt.encoded, Answer((prompt.target_id,), (prompt.other_id,)))])
    index = min(module._top_features(read, dictionary, float("inf")))

    def in_top10(concept_id: str) -> Measure:
        known = {concept_id: StandIn(index, 1.0, own_mention=1.0, maximum=2.0)}
        found = chain_measures(untrained, HOOKPOINT, dictionary, known, seed=0)
        return next(measure for measure in found if measure.metric == "chain_in_top10")

    own, other, third = (in_top10(chain["city"]) for chain in (prompt.chain, prompt.other, prompt.third))
    assert (own.value, own.control) == (1, 0)
    assert (other.value, other.control) == (0, 0)
    assert (third.value, third.control) == (0, 1)
    assert third.details["control"] == "a third chain"
