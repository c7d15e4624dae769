"""The map's bytes: what is quantised comes back within half a step."""

import json
import struct
from collections.abc import Sequence

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog_ui.components.feature_map import LABELS_SENT, encode_map

NO_CLUSTERS = pl.DataFrame(
    schema={"cluster_id": pl.Int32, "label": pl.String, "size": pl.Int32, "x": pl.Float64, "y": pl.Float64}
)
COLUMNS = [
    ("index", "<u4"),
    ("x", "<u2"),
    ("y", "<u2"),
    ("cluster", "<u2"),
    ("colour", "u1"),
    ("size", "u1"),
    ("lit", "u1"),
]


def decode(payload: bytes) -> tuple[dict, dict[str, np.ndarray]]:
    (length,) = struct.unpack_from("<I", payload)
    header = json.loads(payload[4 : 4 + length])
    arrays, offset = {}, 4 + length
    for name, dtype in COLUMNS:
        arrays[name] = np.frombuffer(payload, dtype, header["n"], offset)
        offset += arrays[name].nbytes
    assert offset == len(payload)
    return header, arrays


def points(xy: np.ndarray, labels: Sequence[str | None] | None = None, cluster: int = -1) -> pl.DataFrame:
    n = len(xy)
    return pl.DataFrame(
        {
            "index": np.arange(n, dtype=np.int32) * 3,
            "x": xy[:, 0],
            "y": xy[:, 1],
            "cluster_id": np.full(n, cluster, dtype=np.int32),
            "density": np.linspace(0.001, 0.1, n),
            "label": pl.Series(list(labels or [None] * n), dtype=pl.String),
        }
    )


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), min_size=1, max_size=30))
def test_coordinates_come_back_within_a_step_in_proportion(pairs):
    xy = np.array(pairs)

    _, arrays = decode(encode_map(points(xy), NO_CLUSTERS, "map"))

    extent = max(float(np.ptp(xy, axis=0).max()), 1e-9)
    got = np.stack([arrays["x"], arrays["y"]], axis=1) / 65_535 * extent
    wanted = xy - xy.min(axis=0)
    assert np.abs((got - got.min(axis=0)) - wanted).max() <= extent / 65_535 * 1.01 + 1e-9


def test_an_empty_map_and_a_single_place_are_encoded():
    header, arrays = decode(encode_map(points(np.zeros((0, 2))), NO_CLUSTERS, "map"))
    _, one = decode(encode_map(points(np.ones((2, 2))), NO_CLUSTERS, "map"))

    assert header["n"] == len(arrays["x"]) == 0
    assert one["x"].tolist() == one["y"].tolist()


def test_header_is_aligned_whatever_its_labels_hold():
    for label in ("a", "bb", "ccc", "é", "日本語", "<script>"):
        payload = encode_map(points(np.zeros((1, 2)), [label]), NO_CLUSTERS, "map")

        assert struct.unpack_from("<I", payload)[0] % 4 == 0
        assert decode(payload)[0]["labels"] == [label]


def test_clusters_give_colour_and_name_and_stragglers_none():
    clusters = pl.DataFrame(
        {"cluster_id": [5, 2], "label": ["bridges", None], "size": [2, 1], "x": [0.0, 1.0], "y": [0.0, 1.0]}
    )
    frame = points(np.array([[0.0, 0.0], [1.0, 1.0], [0.5, 0.5]])).with_columns(
        cluster_id=pl.Series([2, 5, -1], dtype=pl.Int32)
    )

    header, arrays = decode(encode_map(frame, clusters, "map"))

    assert [c["name"] for c in header["clusters"]] == ["bridges", "cluster 2"]
    assert arrays["cluster"].tolist() == [1, 0, 65_535]
    assert arrays["colour"].tolist() == [2, 5, 255]


def test_highlight_is_plain_text_and_ignores_case():
    frame = points(np.zeros((3, 2)), ["Golden Gate (bridge)", "golden", None])

    lit = [
        decode(encode_map(frame, NO_CLUSTERS, "map", highlight=text))[1]["lit"].tolist()
        for text in ("GATE (", "", ".*")
    ]

    assert lit == [[1, 0, 0], [1, 1, 1], [0, 0, 0]]


def test_a_hundred_thousand_points_take_about_a_megabyte_and_leave_labels_behind():
    xy = np.random.default_rng(0).normal(size=(100_000, 2))

    payload = encode_map(points(xy, ["a label"] * 100_000), NO_CLUSTERS, "map", colour="density")
    header, arrays = decode(payload)

    assert len(payload) < 1_400_000
    assert header["labels"] is None
    assert LABELS_SENT < 100_000
    assert arrays["colour"].max() == 8
