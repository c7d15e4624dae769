"""Health: what is published, and what is wrong with it, on a sound catalog and on one with faults."""

import shutil

import pytest
from catalog_fixture import LARGE, SITE, WEAK, small_frames, small_parquet
from catalog_with_past import REASON, REJECTED
from page_elements import components, table

from sae.catalog.publish import build_candidate
from sae.storage import Store


@pytest.fixture
def sound(open_page):
    return open_page("health")


@pytest.fixture
def faulty(open_page, past_store):
    return open_page("health", store=past_store)


def heading(app):
    return components(app, "fact_sheet")[0]


def problems(app):
    (found,) = (data["rows"] for data in components(app, "records") if data["columns"][1]["title"] == "Problem")
    return found


def test_the_heading_says_which_catalog_and_how_it_is(sound):
    facts = dict(heading(sound)["facts"])

    assert heading(sound)["title"].startswith("Catalog 000001-")
    assert [chip["tone"] for chip in heading(sound)["chips"]] == ["good", "good", "good"]
    assert facts["Checks passed"] == "3 of 3"
    assert facts["With a label"] == "100%"
    assert facts["Labels to review"] == "2"


def test_a_sound_catalog_has_labels_to_review_alone(sound):
    assert [row["kind"]["text"] for row in problems(sound)] == ["to review"]
    assert "One thing to look at." in heading(sound)["lead"]


def test_problems_stand_in_the_order_in_which_they_matter(faulty):
    found = [(row["kind"]["text"], row["kind"]["tone"]) for row in problems(faulty)]

    assert found == [
        ("check failed", "bad"),
        ("turned down", "bad"),
        ("run", "bad"),
        ("check failed", "bad"),
        ("not current", "plain"),
        ("not current", "plain"),
        ("to review", "plain"),
    ]


def test_each_problem_says_what_is_wrong_and_what_to_run(faulty):
    rows = problems(faulty)

    assert rows[0]["what"] == "catalog_reads of catalog_candidate"
    assert rows[1]["detail"] == REASON
    assert rows[1]["todo"] == f"atlas audit {REJECTED}"
    assert rows[2]["what"] == "Run run-2 ended as FAILURE"
    assert rows[3]["detail"] == "0.41 against 0.3"
    assert rows[4]["what"] == "1 shard of world changed or left the corpus"
    assert rows[5]["what"] == "1 new shard of world"


def test_dictionaries_have_their_own_checks_and_labels(faulty):
    rows = {row["dictionary"]["id"]: row for row in table(faulty, "Dictionary")}

    assert next(iter(rows)) == REJECTED
    assert rows[REJECTED]["verdict"] == {"text": "1 of 1 failed", "tone": "bad"}
    assert rows[LARGE]["verdict"] == {"text": "2 of 2", "tone": "good"}
    assert rows[LARGE]["labelled"] == 1.0
    assert (rows[LARGE]["to_review"], rows[REJECTED]["to_review"]) == (1, None)


def test_checks_are_summed_over_their_partitions(faulty):
    fvu = next(row for row in table(faulty, "Check") if row["name"] == "fvu_below")

    assert fvu["verdict"] == {"text": "1 of 2 failed", "tone": "bad"}
    assert fvu["range"] == "0.12 to 0.41"


def test_claims_stand_with_interval_and_control(faulty):
    claims = {row["metric"]: row for row in table(faulty, "Claim")}

    assert claims["concept_f1"]["claim"] == pytest.approx({"value": 0.94, "low": 0.92, "high": 0.96, "control": 0.1})
    assert claims["concept_f1"]["ci"] == "0.92 to 0.96"
    assert claims["concept_f1"]["control_is"] == "random features"
    assert claims["fvu"]["of"] == "100 documents"


def test_scores_and_labels_to_review_are_shown(sound):
    scores = {(row["scorer"], row["dictionary"]): row for row in table(sound, "Scorer")}
    worst = table(sound, "Label")

    assert scores["rule", f"large · {SITE}"]["under"] == 1
    assert scores["rule", f"large · {SITE}"]["score"] == {"value": 0.9, "low": 0.9, "high": 0.9, "control": 0.6}
    assert {row["label"]["label"] for row in worst} == {f"word{WEAK}"}


def test_attempts_that_gave_no_label_are_counted_first(sound):
    attempts = [(row["ended"]["text"], row["n"]) for row in table(sound, "Written by")]

    assert attempts[0] == ("refused", 1)


def test_runs_and_times_are_shown_with_cost(faulty):
    runs = table(faulty, "Ended")
    times = table(faulty, "Asset")

    assert [row["ended"]["text"] for row in runs] == ["failure", "success"]
    assert (runs[0]["took"], runs[0]["cost_usd"], runs[0]["made"]) == ("1 min 30 s", 1.25, "labels")
    assert [row["asset"] for row in times] == ["dictionary_candidate", "labels", "corpus"]
    assert dict(heading(faulty)["facts"])["Paid"] == "1.25 USD"


def test_shards_that_left_or_were_replaced_are_listed(faulty):
    (corpus,) = table(faulty, "Corpus")
    (retired,) = (r for r in table(faulty, "Shard"))

    assert (corpus["shards"], corpus["unread"], corpus["retired"]) == (5, 1, 1)
    assert (retired["shard"], retired["pinned_by"]) == ("world-00001", 2)


def test_a_catalog_that_was_built_and_not_published_is_a_problem(open_page, small_store, tmp_path):
    folder = shutil.copytree(small_store, tmp_path / "store")
    store = Store(str(folder))
    frames = small_frames(store)
    frames["labels"] = frames["labels"].with_columns(label=frames["labels"]["label"] + " (new)")
    newer = build_candidate(store, frames, small_parquet(store), {})

    first = problems(open_page("health", store=folder))[0]

    assert first["what"] == f"Catalog {newer} was built and not published"
