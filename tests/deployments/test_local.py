"""What the documentation tells people to type exists: commands, options, targets, jobs, queries, links, configs."""

import re
from pathlib import Path

import pytest
from documented import ROOT, blocks, commands

from orchestration.cli import main
from sae.catalog import open_catalog
from sae.config import parse_config
from sae.storage import Store

PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "deployments/local/README.md",
    *sorted(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")),
)
PROGRAMS = {"atlas", "make", "dagster", "dg", "pip", "export", ".", "mkdir", "cp", "ruff", "python", ".ci/run"}
"""What a page may tell people to run."""


@pytest.mark.parametrize("page", PAGES)
def test_commands_exist(page):
    for command in commands(page):
        assert command[0].removeprefix(".venv/bin/") in PROGRAMS, command


def test_commands_are_found():
    assert ["make", "demo"] in commands("README.md")


@pytest.mark.parametrize("page", PAGES)
def test_atlas_commands_and_their_options_exist(page, capsys):
    typed = [command[1:] for command in commands(page) if command[0] == "atlas"]

    for name, *arguments in typed:
        with pytest.raises(SystemExit) as left:
            main([name, "--help"])
        page_of_help = capsys.readouterr().out
        assert left.value.code == 0
        for option in (word for word in arguments if re.fullmatch(r"--[a-z-]+", word)):
            assert re.search(rf"{option}\b", page_of_help), f"atlas {name} has no {option}"


@pytest.mark.parametrize("page", PAGES)
def test_inline_atlas_commands_exist(page, capsys):
    text = (ROOT / page).read_text(encoding="utf-8")

    for name in sorted(set(re.findall(r"`atlas ([a-z]+)", text))):
        with pytest.raises(SystemExit) as left:
            main([name, "--help"])
        assert left.value.code == 0, f"atlas {name}"
        capsys.readouterr()


@pytest.mark.parametrize("page", PAGES)
def test_make_targets_exist(page):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    text = (ROOT / page).read_text(encoding="utf-8")
    targets = {command[1] for command in commands(page) if command[0] == "make"}

    for target in targets | set(re.findall(r"`make ([a-z0-9-]+)", text)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"make {target}"


def test_schedules_sensors_and_jobs_exist(tmp_path, monkeypatch):
    monkeypatch.setenv("ATLAS_CONFIG", str(ROOT / "atlas.yaml"))
    from orchestration.automation import automation

    defined = automation()
    names = {item.name for item in (*(defined.schedules or ()), *(defined.sensors or ()), *(defined.jobs or ()))}
    typed = [command for command in commands("deployments/local/README.md") if command[0] == "dagster"]
    named = {command[3] for command in typed if command[2] in ("start", "stop")}
    named |= {command[command.index("-j") + 1] for command in typed if "-j" in command}

    assert named
    assert named <= names


@pytest.mark.parametrize("page", PAGES)
def test_queries_run_on_a_catalog(page, small_store: Path):
    queries = [command[2] for command in commands(page) if command[:2] == ["atlas", "sql"]]

    with open_catalog(Store(str(small_store))) as catalog:
        for query in queries:
            assert catalog.sql(query).width > 0


@pytest.mark.parametrize("page", PAGES)
def test_configs_are_valid(page):
    for block in blocks(page, "yaml"):
        assert parse_config(block.encode(), page).pairs()


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    text = (ROOT / page).read_text(encoding="utf-8")

    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert (ROOT / page).parent.joinpath(target).exists(), target
