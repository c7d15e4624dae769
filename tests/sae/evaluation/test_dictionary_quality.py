import polars as pl
import pytest
import torch

from sae.activations.shard import TOKENS, ActivationShard
from sae.dictionaries.dictionary import Dictionary
from sae.dictionaries.loss_recovered import LossRecovered, loss_by_group, loss_recovered, pooled
from sae.dictionaries.metrics import evaluate
from sae.errors import AtlasError
from sae.evaluation.dictionary_quality import dead_measure, loss_measures, reconstruction_measures
from sae.evaluation.intervals import wilson
from sae.world.codec import build_codec
from sae.world.loading import world_subject
from sae.world.model import WorldLM, WorldLMConfig
from sae.world.truth import questions


def random_dictionary(d: int, d_sae: int) -> Dictionary:
    generator = torch.Generator().manual_seed(1)
    decoder = torch.nn.functional.normalize(torch.randn(d_sae, d, generator=generator), dim=1)
    return Dictionary(decoder.T.contiguous(), torch.full((d_sae,), -0.5), decoder, torch.ones(d) * 0.2, "standard")


def shard(n: int, d: int, seed: int) -> ActivationShard:
    values = 3 * torch.randn(n, d, generator=torch.Generator().manual_seed(seed)) + 1
    rows = {name: pl.Series([0] * n).cast(dtype) for name, dtype in TOKENS.items() if dtype != pl.Boolean}
    tokens = pl.DataFrame(rows).with_columns(
        document_id=pl.Series([f"d{row // 5}" for row in range(n)]),
        special=pl.Series([row % 7 == 0 for row in range(n)]),
        massive=pl.Series([row % 11 == 0 for row in range(n)]),
    )
    return ActivationShard(tokens.select(TOKENS.names()), values)


def test_figures_are_the_metrics_own_and_lie_in_their_intervals():
    dictionary, shards = random_dictionary(8, 20), [shard(100, 8, 0), shard(60, 8, 1)]
    metrics = evaluate(dictionary, [s.values[s.trainable] for s in shards])
    found = {measure.metric: measure for measure in reconstruction_measures(dictionary, shards, seed=0)}
    assert found["fvu"].value == pytest.approx(metrics.fvu, rel=1e-6)
    assert found["l0"].value == pytest.approx(metrics.l0, rel=1e-6)
    assert found["fvu"].details["n_tokens"] == metrics.n_tokens
    assert found["fvu"].n == 20  # the second shard's documents go by the names of the first's
    for measure in found.values():
        assert measure.interval is not None
        assert measure.value is not None
        assert measure.interval[0] < measure.value < measure.interval[1]


def test_nothing_to_measure_is_refused():
    empty = shard(1, 8, 0)  # its one row is special
    with pytest.raises(AtlasError, match="no held-out token"):
        reconstruction_measures(random_dictionary(8, 20), [empty], seed=0)


def test_dead_latents_are_a_share_of_all():
    features = pl.DataFrame({"is_dead": [True, False, False, True, False]})
    found = dead_measure(features, n_tokens=1000)
    assert (found.value, found.n, found.interval) == (0.4, 5, wilson(2, 5))


def test_groups_of_documents_add_up_to_the_whole():
    codec = build_codec()
    config = WorldLMConfig(vocabulary_size=codec.vocabulary_size, d_model=16, n_heads=2)
    subject = world_subject(WorldLM(config, torch.Generator().manual_seed(0)), codec, "untrained")
    encoded = [codec.encode(question.prompt) for question in questions(0, "strict")[:9]]
    dictionary = random_dictionary(16, 40)
    mean = torch.zeros(16)
    whole = loss_recovered(subject, "layers.3", dictionary, encoded, mean=mean)
    groups = loss_by_group(subject, "layers.3", dictionary, encoded, mean=mean, n_groups=4)
    assert [group.n_documents for group in groups] == [3, 2, 2, 2]
    assert pooled(groups).ce_spliced == pytest.approx(whole.ce_spliced, abs=1e-5)
    assert pooled(groups).n_predicted == whole.n_predicted
    found = {measure.metric: measure for measure in loss_measures(groups, seed=0)}
    assert found["ce_delta"].value == pytest.approx(whole.ce_delta, abs=1e-5)
    assert found["loss_recovered"].value == pytest.approx(whole.loss_recovered, rel=1e-3)
    assert found["loss_recovered"].control == pytest.approx(0, abs=1e-3)  # the mean given is zero
    assert found["loss_recovered"].n == 9


def test_the_interval_spans_the_groups():
    groups = [LossRecovered(1.0, spliced, 5.0, None, 4, 10, 10) for spliced in (1.0, 1.2, 1.4, 1.0) * 2]
    recovered, delta = loss_measures(groups, seed=0)
    assert recovered.value == pytest.approx(1 - 0.15 / 4)
    assert recovered.control is None
    assert recovered.interval is not None
    assert recovered.value is not None
    assert 0.9 <= recovered.interval[0] < recovered.value < recovered.interval[1] <= 1.0
    assert delta.value == pytest.approx(0.15)
