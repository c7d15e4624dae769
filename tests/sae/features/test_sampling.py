import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sae.features import sampling
from sae.features.sampling import Reservoir, uniform_keys


def _brute_force(groups, keys, rows, size):
    kept = []
    for group in np.unique(groups):
        members = np.flatnonzero(groups == group)
        kept += sorted((keys[i], rows[i]) for i in members)[:size]
    return sorted((float(key), int(row)) for key, row in kept)


@settings(deadline=None)
@given(
    data=st.lists(st.tuples(st.integers(0, 4), st.integers(-3, 3)), max_size=80),
    size=st.integers(1, 5),
    cut=st.integers(1, 20),
    pending=st.integers(1, 30),
)
def test_a_reservoir_keeps_the_smallest_keys_of_each_group(data, size, cut, pending):
    features = np.array([f for f, _ in data], dtype=np.int64)
    keys = np.array([k for _, k in data], dtype=np.float64)
    rows = np.arange(len(data), dtype=np.int64)
    reservoir = Reservoir(size, 1, lambda features, values: features)
    before, sampling._PENDING = sampling._PENDING, pending

    try:
        for start in range(0, len(data), cut):
            part = slice(start, start + cut)
            own = rows[part]
            reservoir.add(
                features[part],
                own,
                keys[part].astype(np.float32),
                keys[part],
                lambda at, own=own: own[at, None].astype(np.float32),
            )
        found = reservoir.sample()
    finally:
        sampling._PENDING = before

    assert sorted(zip(found.keys.tolist(), found.rows.tolist(), strict=True)) == _brute_force(
        features, keys, rows, size
    )
    assert np.array_equal(found.windows[:, 0], found.rows)


def test_uniform_keys_are_uniform_and_differ_by_seed():
    features, rows = np.repeat(np.arange(100), 100), np.tile(np.arange(100), 100)

    keys = uniform_keys(7, features, rows)

    assert np.array_equal(keys, uniform_keys(7, features, rows))
    assert len(np.unique(keys)) == 10_000
    assert 0 <= keys.min() < keys.max() < 1
    counts, _ = np.histogram(keys, bins=10, range=(0, 1))
    assert counts.min() > 880
    assert abs(np.corrcoef(keys, uniform_keys(8, features, rows))[0, 1]) < 0.05
