import builtins

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sae.errors import AtlasError
from sae.features.approximate import approximately_nearest, recall_measure
from sae.features.nearest import nearest
from sae.features.neighbors import live_directions, neighbors_across, neighbors_within

pytest.importorskip("faiss")


def _clustered(n, d=32, groups=40, seed=0):
    generator = torch.Generator().manual_seed(seed)
    centres = F.normalize(torch.randn(groups, d, generator=generator), dim=1)
    return F.normalize(
        centres[torch.randint(groups, (n,), generator=generator)] + 0.1 * torch.randn(n, d, generator=generator), dim=1
    )


def test_most_neighbours_are_found_and_the_same_ones_again():
    vectors = _clustered(3000)

    cosines, indices = approximately_nearest(vectors, vectors, 10, True, seed=1)

    exact, at = nearest(vectors, vectors, 10, exclude_same=True)
    found = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(indices.tolist(), at.tolist(), strict=True)])
    assert found > 0.9
    assert (cosines <= exact + 1e-6).all()
    assert not (indices == torch.arange(3000)[:, None]).any()
    assert torch.equal(indices, approximately_nearest(vectors, vectors, 10, True, seed=1)[1])
    measure = recall_measure(vectors, vectors, indices, True, seed=0, sample=3000)
    assert measure.value == pytest.approx(found, abs=0.01)  # equal cosines count either way


def test_every_query_finds_as_many_as_asked():
    vectors = _clustered(60, groups=3)

    cosines, indices = approximately_nearest(vectors, vectors, 59, True, seed=0)

    assert all(sorted([i, *row]) == list(range(60)) for i, row in enumerate(indices.tolist()))
    torch.testing.assert_close(cosines, nearest(vectors, vectors, 59, exclude_same=True)[0])


def test_recall_is_the_share_of_the_exact_nearest():
    vectors = torch.eye(4) + 0.1 * torch.tensor([[0, 1.0, 0.5, 0], [1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0]])
    _, indices = nearest(vectors, vectors, 2, exclude_same=True)
    half = indices.clone()
    half[:, 1] = (vectors @ vectors.T).fill_diagonal_(torch.inf).argmin(dim=1)

    assert recall_measure(vectors, vectors, indices, True, seed=0).value == 1
    measure = recall_measure(vectors, vectors, half, True, seed=0)

    assert measure.value == 0.5
    assert (measure.n, measure.control) == (4, 2 / 3)
    assert measure.interval is None  # four features are too few


def test_the_index_is_asked_from_the_size_that_the_config_names():
    directions = live_directions(_clustered(1500, d=30), np.zeros(1500, bool), "d")
    other = live_directions(_clustered(1500, d=30), np.zeros(1500, bool), "o")

    exact, nothing = neighbors_within(directions, exact_below=1501)
    found, (measure,) = neighbors_within(directions, exact_below=1500, seed=3)
    across = neighbors_across(directions, [other], exact_below=1500)

    assert nothing == []
    assert measure.metric == "neighbors_recall"
    assert (found.schema, len(found)) == (exact.schema, len(exact))
    assert across.filter(rank=1)["neighbor_id"].to_list() == [f"o:{i}" for i in range(1500)]


def test_without_faiss_two_lines_say_what_to_do(monkeypatch):
    imported = builtins.__import__

    def refuse(name, *arguments, **more):
        if name == "faiss":
            raise ImportError(name)
        return imported(name, *arguments, **more)

    monkeypatch.setattr(builtins, "__import__", refuse)

    with pytest.raises(AtlasError, match=r"pip install faiss-cpu.*\n.*exact_below"):
        approximately_nearest(_clustered(20), _clustered(20), 3, True, 0)
