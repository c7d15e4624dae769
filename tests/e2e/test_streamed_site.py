"""A streamed site: everything is made as at a cached one, and no activation is on disk."""

import pytest
from tiny_pipeline import SITE, run, write_config


@pytest.fixture(scope="module")
def streamed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("streamed [test] *")  # A name that is no pattern.
    config = write_config(folder, lambda config: config["sites"][0].update(mode="streamed"))
    outcome = run(config)
    assert outcome.failed == {}
    return folder


def test_it_holds_tokens_and_no_activations(streamed):
    files = [path for path in (streamed / "store" / "activations").rglob("*") if path.is_file()]

    assert files
    assert {path.suffix for path in files} == {".parquet"}


def test_its_catalog_is_that_of_a_cached_site(streamed, first_run, monkeypatch, command):
    counts = {}
    for folder in (streamed, first_run.folder):
        monkeypatch.setenv("ATLAS_CONFIG", str(folder / "atlas.yaml"))
        monkeypatch.delenv("ATLAS_STORE", raising=False)
        tables = ("features", "examples", "labels", "concept_scores", "attributions", "evaluation", "steering")
        query = " union all ".join(f"select '{table}' as name, count(*) > 0 as filled from {table}" for table in tables)
        counts[folder] = command("sql", f"{query} order by name", "--json").out
        quality = command("sql", "select recipe, round(fvu, 3), round(l0, 2) from dictionaries order by recipe").out
        counts[folder] += quality

    assert counts[streamed] == counts[first_run.folder]
    assert SITE in command("sql", "select site from dictionaries").out


def test_it_is_fresh_afterwards(streamed):
    assert run(streamed / "atlas.yaml").made == []
