"""Equal things have one name, different things have different ones."""

import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sae.identity import content_id, file_sha256, frame_id, tensors_id

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), JSON, min_size=1, max_size=6))
def test_the_order_of_keys_does_not_matter(value):
    backwards = dict(reversed(list(value.items())))

    assert content_id(value) == content_id(backwards)


@given(JSON, JSON)
def test_different_values_have_different_ids(one, other):
    import json

    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)

    assert (content_id(one) == content_id(other)) == same


def test_nan_has_no_id():
    with pytest.raises(ValueError, match="not JSON compliant"):
        content_id({"loss": float("nan")})


def test_a_tensor_is_named_by_its_bits_shape_and_name():
    zeros = torch.zeros(2, 3)

    ids = {
        tensors_id({"a": zeros}),
        tensors_id({"b": zeros}),
        tensors_id({"a": zeros.reshape(3, 2)}),
        tensors_id({"a": zeros.to(torch.bfloat16)}),
        tensors_id({"a": -zeros}),
    }

    assert len(ids) == 5
    assert tensors_id({"a": zeros.t().contiguous().t()}) == tensors_id({"a": zeros})


def test_a_table_is_named_by_its_rows_without_the_columns_left_out():
    frame = pl.DataFrame({"label": ["bridge", None], "run_id": ["r1", "r1"]})
    rerun = frame.with_columns(run_id=pl.lit("r2"))

    assert frame_id(frame, exclude=["run_id"]) == frame_id(rerun, exclude=["run_id"])
    assert frame_id(frame) != frame_id(rerun)
    assert frame_id(frame) != frame_id(frame.reverse())
    assert frame_id(frame) != frame_id(frame.rename({"label": "name"}))


def test_pictures_count_in_a_table():
    one = pl.DataFrame({"image": [b"\x89PNG", None]})

    assert frame_id(one) != frame_id(pl.DataFrame({"image": [b"\x89PNH", None]}))
    assert frame_id(one) == frame_id(one.clone())


def test_a_file_is_hashed_whole(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"abc")

    assert file_sha256(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
