"""The command line on a published catalog: what each command prints, and its exit codes."""

import csv
import io
import json
import subprocess

import polars as pl
import pytest
import yaml
from tiny_pipeline import QUESTION, SITE, atlas, atlas_command, environment, write_config

from sae.catalog.schema import TABLES, VIEWS
from sae.config import parse_config

MAY_BE_EMPTY = {
    *("attribution_edges", "feature_matches", "successors", "families", "interventions"),
    *("label_reviews", "label_renewals"),
}


@pytest.fixture
def some(reading, command):
    """Ids to ask for: a live feature of the first dictionary, its label, the dictionary."""
    query = """
        select l.feature_id, l.label_id, f.dictionary_id, l.label
        from current_labels l join features f using (feature_id)
        where not f.is_dead and regexp_matches(l.label, '[A-Z][a-z]{3}') order by f.density desc limit 1
    """
    return json.loads(command("sql", query, "--json").out)[0]


def test_the_first_run_says_what_it_does_and_ends_with_a_summary(first_run):
    assert f"dictionary_candidate [{SITE}.large … {SITE}.small: 2]: it was never made" in first_run.stderr
    assert "20,000/20,000 tokens" in first_run.stderr
    for words in ("Catalog 000001-", "Model world-lm", f"Dictionary {SITE}.large", "best known:", f"{QUESTION} → "):
        assert words in first_run.stdout
    for noise in ("Warning", "dagster -", "Traceback", "Loading weights", "it/s]"):
        assert noise not in first_run.stderr


@pytest.mark.parametrize("preset", ["world", "smollm2", "hf"])
def test_init_writes_a_config_and_overwrites_none(preset, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    wrote = command("init", preset)
    again = command("init", preset)

    assert wrote.code == 0
    parse_config((tmp_path / "atlas.yaml").read_bytes(), "atlas.yaml")
    assert "#" in (tmp_path / "atlas.yaml").read_text()
    assert again.code == 2
    assert "exists already" in again.err


def test_what_is_selected_and_waits_for_what_is_not_is_said_and_kept(place, command):
    write_config(place.folder, lambda config: config["dictionaries"]["small"].update(k=3))
    before = place.ref("labels", f"{SITE}.small")

    plain = command("run", "--select", "labels")
    forced = command("run", "--select", "labels", "--force")

    assert (plain.code, forced.code) == (1, 1)
    assert f"not made: labels[{SITE}.small] waits for" in plain.err
    assert "nothing is stale" not in plain.err
    assert place.ref("labels", f"{SITE}.small") == before
    assert place.ref("labels", f"{SITE}.large").run_id != before.run_id, "it waits for nothing, and was forced"


def test_a_text_moves_no_cursor_on_the_terminal(reading, command):
    printed = command("sql", "select 'a' || chr(27) || ']0;owned' || chr(7) as text, chr(10) || 'row' as other").out

    assert "owned" in printed
    assert not {"\x1b", "\x07"} & set(printed)


def test_a_second_run_says_that_nothing_is_stale(reading, command):
    ran = command("run")

    assert ran.code == 0
    assert ran.err == "nothing is stale\n"
    assert "Catalog 000001-" in ran.out


def test_every_table_and_view_is_there(reading, command):
    rows = json.loads(command("sql", "select table_name from information_schema.tables", "--format", "json").out)

    assert {row["table_name"] for row in rows} >= {*TABLES, *VIEWS}


def test_the_tables_hold_rows(reading, command):
    counts = " union all ".join(f"select '{name}' as name, count(*) as n from \"{name}\"" for name in [*TABLES, *VIEWS])
    rows = json.loads(command("sql", counts, "--json").out)

    assert {row["name"] for row in rows if row["n"] == 0} <= MAY_BE_EMPTY


@pytest.mark.parametrize("table", ["current_labels", "examples", "neighbors"])
def test_every_live_feature_has(table, reading, command):
    query = f"select count(*) n from features where not is_dead and feature_id not in (select feature_id from {table})"

    assert json.loads(command("sql", query, "--json").out) == [{"n": 0}]


def test_sql_prints_every_format(reading, command):
    query = "select feature_id, top_tokens from features order by feature_id limit 3"

    as_table, as_csv, as_json = (command("sql", query, "--format", name) for name in ("table", "csv", "json"))
    as_bytes = subprocess.run(
        atlas_command("sql", query, "--format", "parquet"),
        env=environment(reading.config),
        capture_output=True,
        timeout=120,
        check=True,
    ).stdout

    rows = json.loads(as_json.out)
    assert len(rows) == 3
    assert all(row["feature_id"] in as_table.out for row in rows)
    parsed = list(csv.DictReader(io.StringIO(as_csv.out)))
    assert [{**row, "top_tokens": json.loads(row["top_tokens"])} for row in parsed] == rows
    assert pl.read_parquet(io.BytesIO(as_bytes)).to_dicts() == rows


@pytest.mark.parametrize(
    "query",
    [
        "drop table features",
        "delete from features",
        "create table t as select 1",
        "copy features to 'features.csv'",
        "select 1; drop table features",
        "select * from no_such_table",
    ],
)
def test_sql_that_writes_or_fails_is_refused_in_words(query, reading, command):
    asked = command("sql", query)

    assert asked.code == 1
    assert asked.out == ""
    assert asked.err.startswith("error: ")
    assert asked.err.count("\n") <= 2


def test_search_finds_a_feature_by_its_label(some, command):
    found = json.loads(command("search", some["label"], "--json").out)

    assert some["feature_id"] in [row["feature_id"] for row in found]
    assert command("search", "xyzzyxyzzy").code == 0


def test_feature_shows_label_examples_and_neighbours(some, command):
    page = command("feature", some["feature_id"])
    card = json.loads(command("feature", some["feature_id"], "--json").out)

    assert page.code == 0
    assert some["label"] in page.out
    assert "‹" in page.out
    assert "near (same)" in page.out
    assert card["feature"]["feature_id"] == some["feature_id"]
    assert card["examples"]
    assert command("feature", "none:0").code == 1


def test_activate_lists_features_by_token(reading, command):
    rows = json.loads(command("activate", "Kobe Bryant played", "--top", "2", "--json").out)
    printed = command("activate", "Kobe Bryant played", "--dictionary", f"{SITE}.small")

    assert {"Kobe Bryant", "played"} <= {row["token"] for row in rows}
    assert all(row["activation"] > 0 and row["label"] for row in rows)
    assert printed.code == 0
    assert "Kobe Bryant" in printed.out


def test_activate_says_what_it_cannot_read(reading, command):
    unknown = command("activate", "Xylophonium")
    nowhere = command("activate", "played", "--dictionary", "nowhere")

    assert unknown.code == 1
    assert "Xylophonium" in unknown.err
    assert nowhere.code == 2
    assert f"{SITE}.large" in nowhere.err


def test_attribute_explains_an_answer(reading, command):
    arguments = ("attribute", QUESTION, "--target", "Sacramento", "--baseline", "Albany", "--top", "4")

    printed = command(*arguments)
    answer = json.loads(command(*arguments, "--json").out)

    assert printed.code == 0
    assert "attribution" in printed.out
    assert "Spearman" in printed.out
    assert 0 < len(answer["features"]) <= 4
    assert all(row["feature_id"] in printed.out for row in answer["features"])
    assert all(row["ablation_effect"] is not None for row in answer["features"])


def test_status_says_what_is_stale_and_why(place, command):
    fresh = command("status")
    config = yaml.safe_load(place.config.read_text())
    config["prompts"][0]["target"] = "Boston"
    place.config.write_text(yaml.safe_dump(config))

    stale = command("status")
    listed = json.loads(command("status", "--json").out)

    assert fresh.out.startswith("36 of 36 are fresh.\nThe store holds ")
    assert f"stale    attributions[{SITE}.large]: prompts_config changed" in stale.out
    assert "A run makes up to 7 partitions: about " in stale.out
    assert {row["state"] for row in listed["cells"]} == {"fresh", "stale", "waiting"}
    assert listed["cost"]["partitions"] == 7
    assert listed["cost"]["seconds"] > 0
    assert listed["cost"]["unknown"] == []
    assert listed["disk"]["bytes"] == sum(listed["disk"]["by_folder"].values()) > 0
    assert listed["disk"]["more_bytes"] > 0
    assert stale.code == 0


def test_doctor_finds_nothing_wrong_and_then_something(place, command):
    well = command("doctor", "--json")
    (place.folder / "store" / "catalog" / "CURRENT").unlink()
    ill = command("doctor")

    assert well.code == 0
    assert {"torch", "config", "disk", "store", "catalog"} <= {finding["what"] for finding in json.loads(well.out)}
    assert ill.code == 1
    assert "BAD catalog: No catalog is published" in ill.out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["nonsense"], 2, "nonsense"),
        (["run", "--select", "nonsense"], 2, "There are: "),
        (["run", "--site", "nonsense"], 2, SITE),
        (["search"], 2, "text"),
        (["init", "nonsense"], 2, "world, smollm2, one-layer, hf"),
        (["sql", "select"], 1, "error: "),
    ],
)
def test_wrong_use_gets_two_and_failure_one(arguments, code, words, reading, command):
    asked = command(*arguments)

    assert asked.code == code
    assert words in asked.err
    assert "Traceback" not in asked.err


def test_an_error_is_short_and_its_traceback_is_asked_for(tmp_path):
    missing = tmp_path / "none.yaml"

    short = atlas(missing, "sql", "select 1")
    long = atlas(missing, "--debug", "sql", "select 1")

    assert short.returncode == 2
    assert short.stderr.count("\n") == 1
    assert "atlas init" in short.stderr
    assert "Traceback" in long.stderr
