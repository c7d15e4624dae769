from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sae.config.imported import FORMATS, Format
from sae.dictionaries.formats.exchange import read_dictionary, write_dictionary
from sae.dictionaries.formats.files import files_id, source_files
from sae.errors import AtlasError

HELD: dict[Format, tuple[str, ...]] = {
    "saelens": ("standard", "topk", "jumprelu", "gated"),
    "sparsify": ("topk",),
    "dictionary_learning": ("standard", "topk", "jumprelu", "gated"),
    "gemma_scope": ("standard", "jumprelu"),
}
PAIRS = [(kind, form) for kind, forms in HELD.items() for form in forms]


@settings(deadline=None)
@given(
    pair=st.sampled_from(PAIRS),
    d_in=st.integers(1, 6),
    d_sae=st.integers(1, 12),
    seed=st.integers(0, 2**31 - 1),
    before=st.booleans(),
)
def test_a_round_trip_gives_the_same_activations(
    make_dictionary,
    same_use,
    tmp_path_factory,
    pair: tuple[Format, str],
    d_in: int,
    d_sae: int,
    seed: int,
    before: bool,
) -> None:
    kind, form = pair
    folder = tmp_path_factory.mktemp("exchange") / "out"
    dictionary = make_dictionary(form, d_in, d_sae, seed, before)

    write_dictionary(kind, dictionary, folder)

    same_use(read_dictionary(kind, folder).dictionary, dictionary)


@pytest.mark.parametrize(("kind", "form"), [("sparsify", "gated"), ("gemma_scope", "topk")])
def test_a_form_that_a_format_does_not_have_is_refused_and_leaves_nothing(
    make_dictionary, tmp_path: Path, kind: Format, form: str
) -> None:
    with pytest.raises(AtlasError, match=f"this one is {form}"):
        write_dictionary(kind, make_dictionary(form), tmp_path / "out")

    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_never_written_over(make_dictionary, tmp_path: Path) -> None:
    with pytest.raises(AtlasError, match="exists"):
        write_dictionary("saelens", make_dictionary("topk"), tmp_path)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_missing_file_is_named(tmp_path: Path, kind: Format) -> None:
    with pytest.raises(AtlasError, match="holds no"):
        read_dictionary(kind, tmp_path)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("damage", ["cut", "noise"])
def test_damaged_weights_are_refused_in_words(make_dictionary, tmp_path: Path, kind: Format, damage: str) -> None:
    folder = tmp_path / "out"
    write_dictionary(kind, make_dictionary(HELD[kind][-1], d_in=64, d_sae=128), folder)
    weights = next(iter(source_files(kind, folder).values()))
    data = weights.read_bytes()
    weights.write_bytes(data[: len(data) // 2] if damage == "cut" else b"\x80\x02noise" * 40)

    with pytest.raises(AtlasError, match=weights.name):
        read_dictionary(kind, folder)


@pytest.mark.parametrize(("kind", "form"), PAIRS)
def test_weights_that_are_not_finite_are_refused(make_dictionary, tmp_path: Path, kind: Format, form: str) -> None:
    dictionary = make_dictionary(form)
    W_dec = dictionary.W_dec.clone()
    W_dec[0, 0] = torch.nan
    write_dictionary(kind, replace(dictionary, W_dec=W_dec), tmp_path / "out")

    with pytest.raises(AtlasError, match="not finite"):
        read_dictionary(kind, tmp_path / "out")


def test_the_files_id_follows_the_contents_and_not_the_place(make_dictionary, tmp_path: Path) -> None:
    write_dictionary("sparsify", make_dictionary("topk", seed=1), tmp_path / "one")
    write_dictionary("sparsify", make_dictionary("topk", seed=1), tmp_path / "same")
    write_dictionary("sparsify", make_dictionary("topk", seed=2), tmp_path / "other")

    ids = [files_id(source_files("sparsify", tmp_path / name)) for name in ("one", "same", "other")]

    assert ids[0] == ids[1] != ids[2]


def test_weights_of_another_name_are_given_as_a_file(make_dictionary, same_use, tmp_path: Path) -> None:
    dictionary = make_dictionary("jumprelu")
    write_dictionary("gemma_scope", dictionary, tmp_path / "out")
    file = (tmp_path / "out" / "params.npz").rename(tmp_path / "average_l0_82.npz")

    same_use(read_dictionary("gemma_scope", file).dictionary, dictionary)
    with pytest.raises(AtlasError, match=r"no \.pt file"):
        read_dictionary("dictionary_learning", file)
