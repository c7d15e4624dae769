import math
from functools import partial
from weakref import WeakSet

import numpy as np
import polars as pl
import pytest
import torch

from sae.activations.opening import OpenedInTurn
from sae.activations.shard import ActivationShard
from sae.errors import AtlasError
from sae.features import codes as code_module
from sae.features.activity import gather_activity
from sae.features.example_sampler import ExampleSizes
from sae.features.examples import focus


def _dense(shards, dictionary):
    """Codes [n, d_sae] of all rows, zero where nothing is read; the rows that are; inputs; the token table."""
    tokens = pl.concat([shard.tokens for shard in shards])
    values = torch.cat([shard.values for shard in shards])
    readable = (~(tokens["special"] | tokens["massive"])).to_numpy()
    codes = dictionary.encode(values).numpy() * readable[:, None]
    return codes, readable, values.numpy(), tokens


def test_statistics_equal_a_dense_computation(planted_site):
    shards, dictionary = planted_site()

    found = gather_activity(shards, dictionary, "dict", seed=3)

    codes, readable, values, tokens = _dense(shards, dictionary)
    n = readable.sum()
    features = found.features
    assert found.n_positions == n
    assert features["feature_id"].to_list() == [f"dict:{i}" for i in range(8)]
    np.testing.assert_allclose(features["density"], (codes > 0).sum(0) / n)
    np.testing.assert_allclose(features["max_activation"], codes.max(0))
    active = codes[:, :-1]
    np.testing.assert_allclose(features["mean_activation"][:-1], active.sum(0) / (active > 0).sum(0), rtol=1e-5)
    assert features["is_dead"].to_list() == [False] * 7 + [True]
    np.testing.assert_allclose(features["decoder_norm"], 1, rtol=1e-5)
    for feature in range(7):
        pearson = np.corrcoef(codes[readable, feature], values[readable].T)[0, 1:]
        assert features["max_neuron_correlation"][feature] == pytest.approx(np.abs(pearson).max(), abs=1e-4)
        share = {entry["key"]: entry["value"] for entry in features["languages"][feature]}
        spanish = ((tokens["language"] == "es").to_numpy() & (codes[:, feature] > 0)).sum()
        assert share["es"] == pytest.approx(spanish / (codes[:, feature] > 0).sum())
        assert sum(entry["value"] for entry in features["modalities"][feature]) == pytest.approx(1)
    assert features["max_neuron_correlation"][7] == 0
    assert features["languages"][7].to_list() == []
    assert features["top_tokens"][7].to_list() == []


def test_top_examples_equal_a_sort(planted_site):
    shards, dictionary = planted_site()

    examples = gather_activity(shards, dictionary, "dict", seed=3).examples

    codes, *_ = _dense(shards, dictionary)
    for feature in range(7):
        top = examples.filter((pl.col("index") == feature) & (pl.col("kind") == "top"))
        wanted = np.sort(codes[:, feature])[::-1][:20]
        np.testing.assert_allclose(top["activation"], wanted[wanted > 0])
        assert top["rank"].to_list() == list(range(1, len(top) + 1))
    assert examples.filter(pl.col("index") == 7)["kind"].unique().to_list() == ["out_of_context"]


def test_windows_show_the_tokens_and_activations_around_a_position(planted_site):
    shards, dictionary = planted_site()

    examples = gather_activity(shards, dictionary, "dict", seed=3, sizes=ExampleSizes(radius=4)).examples

    codes, _, _, tokens = _dense(shards, dictionary)
    first_row = {document: row for row, document in reversed(list(enumerate(tokens["document_id"])))}
    length = dict(tokens.group_by("document_id").len().iter_rows())
    places = examples.select(focus(pl.col("position"), 4))["position"]
    for row, place in zip(examples.iter_rows(named=True), places, strict=True):
        begin = max(row["position"] - 4, 0)
        end = min(row["position"] + 5, length[row["document_id"]])
        rows = slice(first_row[row["document_id"]] + begin, first_row[row["document_id"]] + end)
        np.testing.assert_allclose(row["activations"], codes[rows, row["index"]])
        assert [token.strip() for token in row["tokens"]] == tokens["token"][rows].to_list()
        assert row["activations"][place] == row["activation"]


def test_quantile_examples_come_from_bins_between_zero_and_the_maximum(planted_site):
    shards, dictionary = planted_site(n_documents=150)

    sizes = ExampleSizes()

    examples = gather_activity(shards, dictionary, "dict", seed=3, sizes=sizes).examples

    codes, *_ = _dense(shards, dictionary)
    quantile = examples.filter(pl.col("kind") == "quantile")
    largest = codes.max(0)[quantile["index"].to_numpy()]
    share = quantile["activation"].to_numpy() / largest
    assert np.array_equal(np.minimum((share * sizes.bins).astype(int), sizes.bins - 1), quantile["bin"].to_numpy())
    assert quantile.group_by("index", "bin").len()["len"].max() == sizes.per_bin
    assert not quantile.join(examples.filter(pl.col("kind") == "top"), on=["index", "document_id", "position"]).height
    for feature in range(7):
        found = quantile.filter(pl.col("index") == feature)["bin"].to_list()
        assert found == sorted(found, reverse=True)
        bins = np.minimum((codes[:, feature] / codes[:, feature].max() * sizes.bins).astype(int), sizes.bins - 1)
        for number in range(sizes.bins):
            # Up to the 20 strongest of a bin are top examples, and a few of each level are kept on the way.
            if ((bins == number) & (codes[:, feature] > 0)).sum() > 100:
                assert found.count(number) == sizes.per_bin


def test_random_and_silent_examples(planted_site):
    shards, dictionary = planted_site(n_documents=150)

    examples = gather_activity(shards, dictionary, "dict", seed=3).examples

    silent = examples.filter(pl.col("kind") == "out_of_context")
    assert silent["activation"].max() == 0
    assert silent["bin"].null_count() == len(silent)
    assert examples.filter(pl.col("kind") == "random")["activation"].min() > 0  # type: ignore[operator]
    assert examples["example_id"].n_unique() == len(examples)
    assert (
        examples.filter(pl.col("kind") != "out_of_context")
        .select("feature_id", "document_id", "position")
        .is_unique()
        .all()
    )


def test_random_examples_lie_in_each_bin_as_often_as_the_active_positions_that_are_not_top(planted_site):
    shards, dictionary = planted_site(n_documents=150)
    sizes = ExampleSizes()

    examples = gather_activity(shards, dictionary, "dict", seed=3, sizes=sizes).examples

    codes, *_ = _dense(shards, dictionary)
    random = examples.filter(pl.col("kind") == "random")
    wanted = np.zeros(sizes.bins)
    for feature in range(7):
        left = np.sort(codes[:, feature][codes[:, feature] > 0])[: -sizes.top]
        bins = np.minimum((left / codes[:, feature].max() * sizes.bins).astype(int), sizes.bins - 1)
        n = random.filter(pl.col("index") == feature).height
        # Twenty draws, of which one in 90 hits a top example.
        assert sizes.random - 3 <= n <= sizes.random
        wanted += n * np.bincount(bins, minlength=sizes.bins) / len(bins)
    found = np.bincount(random["bin"].to_numpy(), minlength=sizes.bins)
    # The counts are sums of draws from these shares: three standard deviations at most, and one draw where few are due.
    assert np.all(np.abs(found - wanted) <= 3 * np.sqrt(wanted) + 1)


def test_the_result_does_not_depend_on_the_blocks_but_on_the_seed(planted_site, monkeypatch):
    shards, dictionary = planted_site(n_documents=60)

    whole = gather_activity(shards, dictionary, "dict", seed=3)
    monkeypatch.setattr(code_module, "BLOCK_ROWS", 100)
    blocked = gather_activity(shards, dictionary, "dict", seed=3)
    other = gather_activity(shards, dictionary, "dict", seed=4)

    keys = ["example_id", "kind", "rank", "bin"]
    assert whole.examples.select(keys).equals(blocked.examples.select(keys))
    assert not whole.examples.select(keys).equals(other.examples.select(keys))
    assert whole.coactivations.equals(blocked.coactivations)


def test_coactivations_equal_a_count(planted_site):
    shards, dictionary = planted_site()

    found = gather_activity(shards, dictionary, "dict", seed=3).coactivations

    codes, readable, _, _ = _dense(shards, dictionary)
    active = codes > 0
    for row in found.iter_rows(named=True):
        i, j = row["index"], int(row["other_id"].split(":")[1])
        both, either = (active[:, i] & active[:, j]).sum(), (active[:, i] | active[:, j]).sum()
        assert row["jaccard"] == pytest.approx(both / either)
        assert row["pmi"] == pytest.approx(math.log2(both * readable.sum() / (active[:, i].sum() * active[:, j].sum())))
    assert found.filter((pl.col("index") == 0) & (pl.col("rank") == 1))["other_id"].to_list() == ["dict:1"]


def test_a_dictionary_of_another_width_is_refused(planted_site):
    shards, _ = planted_site()
    _, wider = planted_site(d_sae=9)

    with pytest.raises(AtlasError, match="8 dimensions"):
        gather_activity(shards, wider, "dict", seed=0)


def test_a_set_without_readable_positions_is_refused(planted_site):
    shards, dictionary = planted_site(n_documents=2)
    silenced = [ActivationShard(s.tokens.with_columns(special=pl.lit(True)), s.values) for s in shards]

    with pytest.raises(AtlasError, match="no readable position"):
        gather_activity(silenced, dictionary, "dict", seed=0)


def test_no_more_than_one_shard_is_held_beside_the_one_that_is_read(planted_site):
    shards, dictionary = planted_site()
    many = [*shards, *planted_site(seed=1)[0], *planted_site(seed=2)[0]]
    open_now: WeakSet[ActivationShard] = WeakSet()
    most = [0]

    def opener(shard: ActivationShard) -> ActivationShard:
        opened = ActivationShard(shard.tokens, shard.values)
        open_now.add(opened)
        most[0] = max(most[0], len(open_now))
        return opened

    found = gather_activity(OpenedInTurn([partial(opener, shard) for shard in many]), dictionary, "dict", seed=3)

    assert most[0] <= 2
    whole = gather_activity(many, dictionary, "dict", seed=3)
    assert found.features.equals(whole.features)
    assert found.examples.equals(whole.examples)
    assert found.coactivations.equals(whole.coactivations)
