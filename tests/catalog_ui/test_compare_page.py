"""Compare: two features, and two dictionaries, side by side on the small catalog."""

import pytest
from catalog_fixture import LARGE, N_FEATURES, OLD, SMALL
from page_elements import components, table


def sheet(app, number):
    return components(app, "fact_sheet")[number]


def said(app):
    return [text.value for text in app.text]


def test_two_features_stand_beside_each_other_with_what_lies_between_them(open_page):
    app = open_page("compare", a=f"{LARGE}:3", b=f"{LARGE}:4")

    between = dict(sheet(app, 2)["facts"])
    assert [sheet(app, n)["title"] for n in (0, 1)] == ["Kobe Bryant", "Lakers"]
    assert between["Decoder cosine"] == "0.8"
    assert between["B among A's nearest"] == "no. 1"
    assert between["A among B's nearest"] == "not stored"
    assert between["Fire together, Jaccard"] == "0.5"


def test_concepts_and_logit_weights_have_a_column_for_each(open_page):
    app = open_page("compare", a=f"{LARGE}:3", b=f"{SMALL}:3")

    concepts = table(app, "Concept")
    tokens = {row["token"]: (row["weight_a"], row["weight_b"]) for row in table(app, "Token")}
    assert concepts[0] | {"n": 0} == {
        "concept": "Kobe Bryant (player)",
        "slice": "all",
        "f1_a": 0.95,
        "f1_b": 0.95,
        "n": 0,
    }
    assert tokens["Lakers"] == (2.0, 2.0)


def test_passages_of_both_and_those_where_both_are_active(open_page):
    app = open_page("compare", a=f"{LARGE}:3", b=f"{SMALL}:3")

    top_a, top_b, both_a, both_b = components(app, "passages")
    assert len(top_a["passages"]) == len(top_b["passages"]) == 8
    assert [p["tokens"] for p in both_a["passages"]] == [p["tokens"] for p in both_b["passages"]]
    assert len(both_a["passages"]) == 5


def test_across_dictionaries_the_cosine_is_known_and_firing_together_is_not(open_page):
    app = open_page("compare", a=f"{LARGE}:3", b=f"{SMALL}:3")

    between = dict(sheet(app, 2)["facts"])
    assert between["Decoder cosine"] == "0.8"
    assert between["Fire together"] == "counted within a dictionary only"


def test_a_cosine_that_is_not_stored_is_bounded_by_those_that_are(open_page):
    app = open_page("compare", a=f"{LARGE}:3", b=f"{LARGE}:30")

    assert dict(sheet(app, 2)["facts"])["Decoder cosine"] == "under 0.4: not stored"


def test_features_are_found_by_words_and_another_can_be_taken(open_page):
    app = open_page("compare", a="kobe bryant", b=f"{LARGE}:4")
    box = next(box for box in app.selectbox if box.key.startswith("found-a"))
    assert sheet(app, 0)["title"] == "Kobe Bryant"

    other = next(option for option in (f"{LARGE}:3", f"{SMALL}:3") if option != box.value)
    box.set_value(other).run()

    assert app.query_params["a"] == other
    assert app.text_input(key="box-a").value == other


def test_without_an_address_a_feature_stands_beside_its_nearest(open_page):
    app = open_page("compare")

    assert sheet(app, 0)["title"] == "Golden Gate Bridge, San Francisco"
    assert sheet(app, 1)["title"] == "Alcatraz"


@pytest.mark.parametrize("name", [f"{LARGE}:999", "'; drop table features; --:1", "zzzzqqqq"])
def test_a_feature_that_is_not_there_is_named_in_words(open_page, name):
    app = open_page("compare", a=f"{LARGE}:3", b=name)

    assert any(repr(name) in text for text in said(app))
    assert len(components(app, "fact_sheet")) == 1


def test_a_replaced_feature_offers_its_successors(open_page):
    app = open_page("compare", a=f"{LARGE}:3", b=f"{OLD}:0")
    assert any("has replaced" in text for text in said(app))

    app.button(key=f"heir-b-{LARGE}:20").click().run()

    assert app.query_params["b"] == f"{LARGE}:20"
    assert sheet(app, 1)["title"] == "word20"


def test_two_versions_say_what_became_of_the_features(open_page, past_store):
    app = open_page("compare", store=past_store, old=OLD, new=LARGE)

    counts = {row["status"]: row["n"] for row in table(app, "Status")}
    assert counts == {"carried": 8, "split": 1, "merged": 1, "new": 1, "retired": 1}
    assert table(app, "Old")[0]["old"]["id"].startswith(f"{OLD}:")
    app.segmented_control(key="status").set_value("retired").run()
    assert [row["new"] for row in table(app, "Old")] == [None]


def test_two_versions_say_what_they_were_made_from_and_how_good_they_are(open_page, past_store):
    app = open_page("compare", store=past_store, old=OLD, new=LARGE)

    differs = {row["what"]: (row["old"], row["new"]) for row in table(app, "What differs")}
    figures = {row["metric"]: row for row in table(app, "Measure")}
    assert differs["recipe.seed"] == ("1", "0")
    assert any(text == "Shards of activations: 3 before, 4 now; 1 added (world-00000)" for text in said(app))
    assert (figures["fvu"]["old"], figures["fvu"]["new"]) == (0.41, 0.12)
    assert figures["fvu"]["change"] == pytest.approx(-0.29)
    assert figures["concept_f1"]["old"] is None


def test_two_sizes_say_which_features_are_alike(open_page):
    app = open_page("compare", old=SMALL, new=LARGE)

    pairs = table(app, "Old")
    assert any(f"{N_FEATURES} pairs are each other's nearest" in caption.value for caption in app.caption)
    assert pairs[0]["one"]["id"].startswith(f"{SMALL}:")
    assert pairs[0]["other"]["id"].startswith(f"{LARGE}:")
    assert table(app, "Of the smaller one")[0]["becomes"] == "Golden Gate Bridge, San Francisco"
    assert app.code[0].value == f"atlas diff {SMALL} {LARGE}"


def test_intervals_that_lie_apart_are_marked(open_page, past_store):
    rows = table(open_page("compare", store=past_store, old=SMALL, new=LARGE), "Measure")

    assert {row["metric"]: row["apart"] for row in rows}["concept_f1"] is None


@pytest.mark.parametrize("name", ["ffff", "'; drop table features; --"])
def test_a_dictionary_that_is_not_there_is_named_in_words(open_page, name):
    app = open_page("compare", old=name, new=LARGE)

    assert said(app) == [f"The catalog has no dictionary {name!r}."]
    assert not components(app, "records")


def test_the_beginning_of_a_dictionary_is_enough_and_the_choice_is_kept_in_the_address(open_page):
    app = open_page("compare", old=SMALL[:6], new=LARGE)
    assert [sheet(app, n)["title"] for n in (0, 1)] == ["small", "large"]

    app.selectbox(key="box-new").set_value(SMALL).run()

    assert app.query_params["new"] == SMALL
    assert any("Both are the same dictionary." in caption.value for caption in app.caption)


def test_the_page_changes_from_features_to_dictionaries(open_page):
    app = open_page("compare", a=f"{LARGE}:3")

    app.segmented_control(key="what").set_value("dictionaries").run()

    assert {"small", "large"} == {sheet(app, n)["title"] for n in (0, 1)}
    assert "a" not in app.query_params
