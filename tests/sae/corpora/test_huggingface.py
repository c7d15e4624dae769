import importlib.util
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from sae.config import CorpusConfig
from sae.corpora.sources import list_shards, read_shard
from sae.errors import AtlasError

NEEDS_DATASETS = pytest.mark.skipif(importlib.util.find_spec("datasets") is None, reason="datasets is not installed")


def _config(**fields: Any) -> CorpusConfig:
    options: dict[str, Any] = {"shards": 2, "dataset": "data"} | fields
    return CorpusConfig(source="huggingface", **options)


def _folder(base: Path, n: int = 40) -> None:
    (base / "data").mkdir()
    rows = [{"text": f"row {i % 30}", "lang": "en"} for i in range(n)]
    (base / "data/train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_without_the_package_the_error_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    _folder(tmp_path)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    with pytest.raises(AtlasError, match="pip install datasets"):
        read_shard("web", _config(), 0, "web-00000", tmp_path)


def test_versions_follow_a_local_folders_files(tmp_path: Path):
    _folder(tmp_path)
    before = list_shards("web", _config(), 0, tmp_path)
    (tmp_path / "data/train.jsonl").write_text('{"text": "other"}\n')
    after = list_shards("web", _config(), 0, tmp_path)

    assert list(before) == ["web-00000", "web-00001"]
    assert len({*before.values(), *after.values()}) == 4


def test_a_large_budget_makes_more_shards(tmp_path: Path):
    _folder(tmp_path)

    assert len(list_shards("web", _config(tokens=10_000_000), 0, tmp_path)) == 40


@pytest.mark.external
@NEEDS_DATASETS
def test_shards_are_consecutive_stretches_of_the_stream(tmp_path: Path):
    _folder(tmp_path)
    config = _config(documents=20, language="lang")

    found = pl.concat(
        [read_shard("web", config, 0, shard, tmp_path) for shard in list_shards("web", config, 0, tmp_path)]
    )

    assert found["text"].to_list() == [f"row {n}" for n in range(20)]
    assert set(found["language"]) == {"en"}


@pytest.mark.external
@NEEDS_DATASETS
def test_repeats_are_dropped_and_tokens_are_bounded(tmp_path: Path):
    _folder(tmp_path)

    assert len(read_shard("web", _config(), 0, "web-00000", tmp_path)) == 30
    assert len(read_shard("web", _config(tokens=20), 0, "web-00000", tmp_path)) == 5


@pytest.mark.external
@NEEDS_DATASETS
def test_what_cannot_be_read_is_named(tmp_path: Path):
    _folder(tmp_path)

    with pytest.raises(AtlasError, match="The data set data cannot be read"):
        read_shard("web", _config(split="nowhere"), 0, "web-00000", tmp_path)
    with pytest.raises(AtlasError, match="no column 'body'"):
        read_shard("web", _config(text="body"), 0, "web-00000", tmp_path)
