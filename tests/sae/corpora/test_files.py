import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from sae.config import CorpusConfig
from sae.corpora import files
from sae.corpora.chunks import count_words
from sae.corpora.documents import DOCUMENTS
from sae.corpora.sources import list_shards, read_shard
from sae.errors import AtlasError
from sae.models.pictures import encode_picture

PNG = encode_picture(np.zeros((2, 2, 3), np.uint8))


def _config(*paths: str, **fields: Any) -> CorpusConfig:
    options: dict[str, Any] = {"shards": 2} | fields
    return CorpusConfig(source="files", paths=paths, **options)


def _read(config: CorpusConfig, base: Path) -> pl.DataFrame:
    return pl.concat([read_shard("mine", config, 0, shard, base) for shard in list_shards("mine", config, 0, base)])


def _jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def test_every_kind_of_file_is_read(tmp_path: Path):
    (tmp_path / "a.txt").write_text("Plain words.", encoding="utf-8")
    (tmp_path / "b.md").write_bytes("\ufeff# Überschrift".encode())
    (tmp_path / "c.py").write_text("x = 1\n")
    _jsonl(tmp_path / "d.jsonl", [{"text": "ein Satz", "lang": "de"}, {"text": None, "lang": None}])
    pl.DataFrame({"text": ["une phrase"], "lang": ["fr"]}).write_parquet(tmp_path / "e.parquet")
    (tmp_path / "f.png").write_bytes(PNG)

    found = _read(_config("*.txt", "*.md", "*.py", "*.png", shards=4), tmp_path)
    tables = _read(_config("*.jsonl", "*.parquet", language="lang"), tmp_path)

    assert found.schema == DOCUMENTS
    assert found.select("text", "language", "modality", "source").rows() == [
        ("Plain words.", "und", "text", "a.txt"),
        ("# Überschrift", "und", "text", "b.md"),
        ("x = 1", "py", "code", "c.py"),
        ("<image>", "und", "image", "f.png"),
    ]
    assert found["image"].to_list() == [None, None, None, PNG]
    assert tables.select("text", "language").rows() == [("ein Satz", "de"), ("une phrase", "fr")]


def test_rows_with_pictures(tmp_path: Path):
    (tmp_path / "p.png").write_bytes(PNG)
    _jsonl(tmp_path / "a.jsonl", [{"body": "Look: <image>!", "pic": "p.png"}, {"body": "a dog", "pic": "p.png"}])
    pl.DataFrame({"body": ["bytes"], "pic": [PNG]}).write_parquet(tmp_path / "b.parquet")

    found = _read(_config("*.jsonl", "*.parquet", text="body", image="pic"), tmp_path)

    assert set(found["text"]) == {"Look: <image>!", "<image> a dog", "<image> bytes"}
    assert set(found["image"]) == {PNG}
    assert set(found["modality"]) == {"image"}


def _as_lines(folder: Path) -> None:
    _jsonl(folder / "a.jsonl", [{"text": "a dog", "pic": "p.png"}, {"text": "none", "pic": None}])


def _as_parquet(folder: Path) -> None:
    pl.DataFrame({"text": ["a dog", "none"], "pic": ["p.png", None]}).write_parquet(folder / "a.parquet")


def _as_struct(folder: Path) -> None:
    rows = {"text": ["a dog"], "pic": [{"bytes": None, "path": "p.png"}]}
    schema = {"text": pl.String, "pic": pl.Struct({"bytes": pl.Binary, "path": pl.String})}
    pl.DataFrame(rows, schema=schema).write_parquet(folder / "a.parquet")


@pytest.mark.parametrize("write", [_as_lines, _as_parquet, _as_struct])
def test_a_changed_picture_that_a_table_names_changes_its_shards(write: Callable[[Path], None], tmp_path: Path):
    config = _config("a.*", image="pic")
    write(tmp_path)
    without = list_shards("mine", config, 0, tmp_path)
    (tmp_path / "p.png").write_bytes(PNG)
    before = list_shards("mine", config, 0, tmp_path)

    (tmp_path / "p.png").write_bytes(encode_picture(np.ones((3, 3, 3), np.uint8)))
    (tmp_path / "q.png").write_bytes(PNG)
    after = list_shards("mine", config, 0, tmp_path)

    assert without.keys() == before.keys() == after.keys()
    assert all(len({versions[shard] for versions in (without, before, after)}) == 3 for shard in before)


def test_equal_tables_that_name_different_pictures_are_two(tmp_path: Path):
    for folder, shade in (("a", 0), ("b", 1)):
        (tmp_path / folder).mkdir()
        _as_lines(tmp_path / folder)
        (tmp_path / folder / "p.png").write_bytes(encode_picture(np.full((2, 2, 3), shade, np.uint8)))

    found = _read(_config("*/a.jsonl", image="pic"), tmp_path)

    assert found["image"].drop_nulls().n_unique() == 2


def test_a_table_that_is_broken_is_listed_and_named_when_it_is_read(tmp_path: Path):
    (tmp_path / "a.jsonl").write_text("{broken")
    (tmp_path / "b.parquet").write_text("no Parquet")

    shards = list_shards("mine", _config("*.*", image="pic"), 0, tmp_path)

    for shard in shards:
        with pytest.raises(AtlasError, match=r"is not JSON|no Parquet file"):
            read_shard("mine", _config("*.*", image="pic"), 0, shard, tmp_path)


def test_a_part_of_a_file_may_be_empty(tmp_path: Path):
    (tmp_path / "a.txt").write_text("One small text.")
    config = _config("a.txt", shards=5)

    shards = [read_shard("mine", config, 0, name, tmp_path) for name in list_shards("mine", config, 0, tmp_path)]

    assert sorted(len(shard) for shard in shards) == [0, 0, 0, 0, 1]
    assert all(shard.schema == DOCUMENTS for shard in shards)


def test_a_long_file_is_cut_and_dealt_to_the_shards(tmp_path: Path):
    (tmp_path / "a.txt").write_text("\n\n".join(f"paragraph {n} " + "word " * 90 for n in range(40)))

    config = _config("a.txt", shards=3)
    shards = [read_shard("mine", config, 0, name, tmp_path) for name in list_shards("mine", config, 0, tmp_path)]

    assert all(len(shard) for shard in shards)
    assert sum(len(shard) for shard in shards) == 20
    assert all(count_words(text) <= 200 for shard in shards for text in shard["text"])


def test_of_equal_files_the_first_counts(tmp_path: Path):
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text("The same licence.")
    (tmp_path / "c.txt").write_text("Another text.")

    found = _read(_config("*.txt"), tmp_path)

    assert found.select("source", "text").rows() == [("a.txt", "The same licence."), ("c.txt", "Another text.")]


@pytest.mark.parametrize(
    ("change", "gone", "changed", "new"),
    [
        (lambda folder: (folder / "b.txt").touch(), 0, 0, 0),
        (lambda folder: (folder / "b.txt").write_text("changed"), 0, 1, 0),
        (lambda folder: (folder / "a.txt").unlink(), 1, 0, 0),
        (lambda folder: (folder / "aa.txt").write_text("new"), 0, 0, 1),
        (lambda folder: (folder / "a.txt").rename(folder / "z.txt"), 1, 0, 1),
    ],
    ids=["touched", "changed", "deleted", "added", "renamed"],
)
def test_a_file_decides_on_its_own_shard_alone(change, gone, changed, new, tmp_path: Path):
    for name in "abc":
        (tmp_path / f"{name}.txt").write_text(name)
    config = _config("*.txt")
    before = list_shards("mine", config, 0, tmp_path)

    change(tmp_path)

    after = list_shards("mine", config, 0, tmp_path)
    assert len(before.keys() - after.keys()) == gone
    assert len(after.keys() - before.keys()) == new
    assert sum(before[name] != after[name] for name in before.keys() & after.keys()) == changed


def test_a_bound_is_shared_out_anew_when_a_file_comes(tmp_path: Path):
    for name in "ab":
        (tmp_path / f"{name}.txt").write_text(name)
    before = list_shards("mine", _config("*.txt", tokens=10), 0, tmp_path)
    (tmp_path / "c.txt").write_text("c")

    after = list_shards("mine", _config("*.txt", tokens=10), 0, tmp_path)

    assert all(before[name] != after[name] for name in before)


def test_a_large_file_makes_several_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(files, "_PART_BYTES", 100)
    _jsonl(tmp_path / "a.jsonl", [{"text": f"row {n}"} for n in range(50)])

    config = _config("a.jsonl")

    assert len(list_shards("mine", config, 0, tmp_path)) > 5
    assert sorted(_read(config, tmp_path)["text"]) == sorted(f"row {n}" for n in range(50))


def test_bounds_hold_for_the_whole_corpus(tmp_path: Path):
    for name in "ab":
        _jsonl(tmp_path / f"{name}.jsonl", [{"text": f"row {name} {n}"} for n in range(50)])

    assert len(_read(_config("*.jsonl", documents=20), tmp_path)) == 20
    assert len(_read(_config("*.jsonl", tokens=30), tmp_path)) == 10


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.txt", b"caf\xe9", r"a\.txt: not UTF-8 \(byte 3\)"),
        ("a.txt", b"  \n", r"a\.txt holds no document"),
        ("a.jsonl", b'{"text": "ok"}\n{"text": "\xff"}\n', r"a\.jsonl line 2: not UTF-8"),
        ("a.jsonl", b'{"text": "ok"}\n{"text": \n', r"a\.jsonl line 2 is not JSON"),
        ("a.jsonl", b"[1]\n", r"line 1: an object"),
        ("a.jsonl", b'{"body": "ok"}\n', r"row 1: no column 'text'. It has: body"),
        ("a.jsonl", b'{"text": 3}\n', r"column 'text' holds int"),
        ("a.parquet", b"PAR1 no parquet", r"a\.parquet is no Parquet file"),
        ("a.png", PNG[:20], r"a\.png: the picture is corrupt"),
        ("a.jpg", b"", r"a\.jpg: the picture is corrupt"),
        ("a.csv", b"x", r"files of this kind are not read. Known kinds: \.txt"),
    ],
)
def test_a_bad_file_is_named(name: str, content: bytes, says: str, tmp_path: Path):
    (tmp_path / name).write_bytes(content)

    with pytest.raises(AtlasError, match=says):
        _read(_config("a.*"), tmp_path)


@pytest.mark.parametrize(
    ("picture", "says"),
    [("gone.png", r"'gone\.png' does not exist"), ("bad.png", r"bad\.png\): the picture"), (7, "found int")],
)
def test_a_bad_picture_in_a_row_is_named(picture: Any, says: str, tmp_path: Path):
    (tmp_path / "bad.png").write_bytes(b"no")
    _jsonl(tmp_path / "a.jsonl", [{"text": "x", "pic": picture}])

    with pytest.raises(AtlasError, match=rf"a\.jsonl row 1.*{says}"):
        _read(_config("a.jsonl", image="pic"), tmp_path)


def test_a_folder_whose_name_looks_like_a_pattern_is_read(tmp_path: Path):
    base = tmp_path / "atlas [t] *?"
    (base / "data [1]").mkdir(parents=True)
    (base / "data [1]" / "a.txt").write_text("Words.")
    (base / "b.txt").write_text("Other words.")

    found = _read(_config("**/a.txt", "?.txt"), base)

    assert sorted(found["text"]) == ["Other words.", "Words."]


def test_no_file_and_no_pattern_are_told_apart(tmp_path: Path):
    with pytest.raises(AtlasError, match=r"No file matches '\*\.txt'"):
        list_shards("mine", _config("*.txt"), 0, tmp_path)
    with pytest.raises(ValueError, match="needs `paths`"):
        _config()


def test_a_shard_that_is_not_there_is_refused(tmp_path: Path):
    (tmp_path / "a.txt").write_text("a")
    for shard in ("mine-00007", "other-00000", "mine"):
        with pytest.raises(AtlasError, match="has no shard"):
            read_shard("mine", _config("a.txt"), 0, shard, tmp_path)
