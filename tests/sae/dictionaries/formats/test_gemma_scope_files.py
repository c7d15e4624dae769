from pathlib import Path

import numpy as np
import pytest
import torch

from sae.dictionaries.formats.exchange import read_dictionary, write_dictionary
from sae.errors import AtlasError


def arrays(lower: bool = False, dtype: type = np.float32) -> dict[str, np.ndarray]:
    """Two inputs, three latents, under the names that the releases use."""
    parts = {
        "W_enc": [[1, 0, 1], [0, 1, 1]],
        "W_dec": [[1, 0], [0, 1], [1, 1]],
        "b_enc": [0, 0, -1],
        "b_dec": [1, 1],
        "threshold": [0.5, 3.0, 0.0],
    }
    return {
        name.replace("W_", "w_") if lower else name: np.array(values, dtype=dtype) for name, values in parts.items()
    }


@pytest.mark.parametrize("lower", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_the_releases_arrays_are_read_by_their_equation(tmp_path: Path, lower: bool, dtype: type) -> None:
    np.savez(tmp_path / "params.npz", allow_pickle=True, **arrays(lower, dtype))

    dictionary = read_dictionary("gemma_scope", tmp_path).dictionary

    codes = dictionary.encode(torch.tensor([[2.0, 3.0]]))
    assert codes.tolist() == [[2.0, 0.0, 4.0]]
    assert dictionary.decode(codes).tolist() == [[7.0, 5.0]]


def test_an_archive_as_written_by_numpy_with_compression_is_read(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "params.npz", allow_pickle=True, **arrays())

    assert read_dictionary("gemma_scope", tmp_path).dictionary.d_sae == 3


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"scaling_factor": np.full(3, 2.0)}, "scaling_factor is not 1"),
        ({"affine_skip_connection": np.eye(2)}, "another kind of model"),
        ({"threshold": np.zeros(2, np.float32)}, "threshold is of shape"),
        ({"W_enc": np.zeros(3, np.float32)}, "the encoder is of shape"),
        ({"W_enc": np.zeros((2, 3), np.int64)}, "floating-point"),
        ({"W_enc": np.array([["a"]])}, "other things than arrays"),
    ],
)
def test_other_arrays_are_refused_in_words(tmp_path: Path, changes: dict, words: str) -> None:
    np.savez(tmp_path / "params.npz", allow_pickle=True, **(arrays() | changes))

    with pytest.raises(AtlasError, match=words):
        read_dictionary("gemma_scope", tmp_path)


def test_a_scaling_factor_of_one_is_no_hindrance(tmp_path: Path) -> None:
    np.savez(tmp_path / "params.npz", allow_pickle=True, **arrays(), scaling_factor=np.ones(3, np.float32))

    assert read_dictionary("gemma_scope", tmp_path).dictionary.d_in == 2


def test_an_array_of_objects_is_never_unpickled(tmp_path: Path) -> None:
    class Touch:
        def __reduce__(self) -> tuple:
            return (open, (str(tmp_path / "touched"), "w"))

    np.savez(tmp_path / "params.npz", **(arrays() | {"W_enc": np.array([Touch()], dtype=object)}), allow_pickle=True)

    with pytest.raises(AtlasError, match="other things than arrays"):
        read_dictionary("gemma_scope", tmp_path)
    assert not (tmp_path / "touched").exists()


def test_a_single_array_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "params.npz").open("wb") as file:
        np.save(file, np.zeros(3))

    with pytest.raises(AtlasError, match="single array"):
        read_dictionary("gemma_scope", tmp_path)


def test_the_exported_archive_holds_the_releases_names(make_dictionary, tmp_path: Path) -> None:
    write_dictionary("gemma_scope", make_dictionary("jumprelu"), tmp_path / "out")

    with np.load(tmp_path / "out" / "params.npz", allow_pickle=False) as found:
        shapes = {name: found[name].shape for name in found.files}
    assert shapes == {"W_enc": (6, 10), "b_enc": (10,), "W_dec": (10, 6), "b_dec": (6,), "threshold": (10,)}
