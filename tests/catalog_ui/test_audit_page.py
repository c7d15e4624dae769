"""Audit: the chain of a label, a feature and a dictionary on the small catalog, and what depends on them."""

import pytest
from catalog_fixture import LARGE, MODEL, N_FEATURES, OLD, SMALL
from catalog_with_past import PAIR, REASON, REJECTED
from page_elements import components, table


def sheets(app):
    return components(app, "fact_sheet")


def facts(app, term):
    """The facts of the first sheet that has a term."""
    return next(found for s in sheets(app) if term in (found := dict(s["facts"])))


def test_a_feature_leads_from_its_label_to_the_model(open_page):
    app = open_page("audit", id=f"{LARGE}:0")

    assert sheets(app)[0]["lead"] == (
        f"label label-human ← prompt 000000000000 ← 0 examples ← feature 0 ← dictionary {LARGE} ← 4 shards "
        f"← model {MODEL}"
    )
    assert sheets(app)[1]["title"] == "Golden Gate Bridge, San Francisco"
    assert {"text": "in force", "tone": "good"} in sheets(app)[1]["chips"]
    assert [row["label"]["id"] for row in table(app, "Label")] == [f"label-{LARGE[:4]}-0"]


def test_a_label_shows_what_was_asked_of_whom_and_what_came_back(open_page):
    app = open_page("audit", id=f"label-{LARGE[:4]}-3")

    asked = facts(app, "Prompt SHA-256")
    assert asked["Asked of"] == "lexical · log-odds"
    assert asked["Prompt SHA-256"] == "0" * 64
    assert asked["Seed"] == "0"
    assert asked["Cost"] == "0.0000 USD"
    assert facts(app, "Started")["Started"] == "by manual · SUCCESS · 2026-01-02 03:04 · 4 min 0 s"
    assert {"Examples of Kobe Bryant", "Kobe Bryant"} <= {code.value for code in app.code}
    assert {row["scorer"]: row["score"] for row in table(app, "Scorer")} == {"rule": 0.9, "truth": 1.0}


def test_a_label_shows_the_passages_it_was_written_from_and_those_it_was_scored_on(open_page):
    app = open_page("audit", id=f"label-{LARGE[:4]}-3")

    shown, held_out = components(app, "passages")
    assert len(shown["passages"]) == 8
    assert len(held_out["passages"]) == 8
    assert "8 were shown to the labeler; the strongest are below." in {caption.value for caption in app.caption}
    assert sum(row["shown"] for row in table(app, "Shard")) == 8


def test_labels_and_reviews_of_the_feature_are_listed_with_the_one_in_force(open_page):
    app = open_page("audit", id=f"{LARGE}:0")

    states = {row["label"]["label"]: row["state"]["text"] for row in table(app, "Label, newest first")}
    (review,) = table(app, "Verdict")
    assert states == {
        "a bridge": "earlier",
        "Golden Gate Bridge, San Francisco": "in force",
        "Golden Gate Bridge": "earlier",
    }
    assert (review["reviewer"], review["verdict"]) == ("ada", "rewrite")
    assert review["said"] == "Golden Gate Bridge → Golden Gate Bridge, San Francisco: too short"


def test_an_attempt_that_failed_says_how_it_ended(open_page):
    app = open_page("audit", id="label-failed")

    assert sheets(app)[1]["title"] == "No label came of it"
    assert {"text": "refused", "tone": "bad"} in sheets(app)[1]["chips"]


def test_a_dictionary_shows_its_keys_and_its_shards(open_page, past_store):
    app = open_page("audit", store=past_store, id=LARGE)

    keys = facts(app, "Build key")
    shards = {row["shard"]: row for row in table(app, "Shard")}
    assert keys["Build key"] == "key-large"
    assert keys["Code version"] == "1"
    assert keys["Input recipe_config[large]"] == "config-1"
    assert [row["use"] for row in shards.values()] == ["trained on"] * 3 + ["held out"]
    assert shards["world-00000"]["state"] == "in the corpus"
    assert shards["world-00001"]["state"] == "left the corpus, or was replaced"
    assert any('"groups"' in code.value for code in app.code)


def test_what_depends_on_it_and_what_it_depends_on_are_told_by_asset(open_page, past_store):
    app = open_page("audit", store=past_store, id=f"label-{LARGE[:4]}-3")

    above, below = (data["rows"] for data in components(app, "records") if data["columns"][0]["title"] == "Asset")
    assert [row["asset"] for row in below] == ["label_scores"]
    assert {row["asset"]: row["depth"] for row in above}["corpus_source"] == 5
    assert next(row for row in above if row["asset"] == "dictionary")["partitions"] == PAIR
    assert {row["what"]: row["n"] for row in table(app, "In this catalog")}["examples"] == 20


def test_a_replaced_dictionary_and_one_turned_down_keep_their_chain(open_page, past_store):
    old = open_page("audit", store=past_store, id=OLD)
    rejected = open_page("audit", store=past_store, id=REJECTED)

    assert facts(old, "Replaced by")["Replaced by"] == LARGE
    assert len(table(old, "Shard")) == 3
    assert any("Lineage is kept of what is current." in caption.value for caption in old.caption)
    assert sheets(rejected)[1]["lead"] == REASON
    assert {"text": "turned down", "tone": "bad"} in sheets(rejected)[1]["chips"]


def test_the_command_that_verifies_the_hashes_is_there_to_copy(open_page):
    codes = [code.value for code in open_page("audit", id=f"{LARGE}:0").code]

    assert f"atlas audit {LARGE}:0" in codes


def test_a_feature_without_a_label_leads_to_its_dictionary(open_page):
    app = open_page("audit", id=f"{LARGE}:{N_FEATURES - 1}")

    assert sheets(app)[0]["lead"].startswith(f"feature {N_FEATURES - 1} ← dictionary")
    assert sheets(app)[1]["lead"] == "No label of it is in force."


@pytest.mark.parametrize("name", [f"{LARGE}:999", "nothing", "'; drop table labels; --", f"{LARGE}:٣"])
def test_an_id_of_nothing_is_named_in_words(open_page, name):
    app = open_page("audit", id=name)

    assert sheets(app)[0]["title"] == "Nothing of that name"
    assert repr(name) in sheets(app)[0]["lead"]


def test_a_beginning_of_several_ids_is_refused_with_those(open_page):
    app = open_page("audit", id="label-")

    assert sheets(app)[0]["title"] == "Several ids begin so"
    assert f"label-{LARGE[:4]}-0" in sheets(app)[0]["lead"]


def test_the_beginning_of_an_id_is_enough_and_a_replaced_feature_is_told_of(open_page):
    assert sheets(open_page("audit", id=SMALL[:6]))[1]["title"] == "small"
    assert "has replaced" in sheets(open_page("audit", id=f"{OLD}:0"))[0]["lead"]


def test_an_id_typed_into_the_box_is_kept_in_the_address(open_page):
    app = open_page("audit", id=f"{LARGE}:0")

    app.text_input(key="asked").set_value(SMALL).run()

    assert app.query_params["id"] == SMALL
    assert sheets(app)[1]["title"] == "small"
