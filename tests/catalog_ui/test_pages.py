"""Each page on the small catalog, as a visitor without a browser sees it."""

from catalog_fixture import LARGE, N_FEATURES, OLD, QUESTION, SMALL
from page_elements import components, elements, table


def test_map_draws_the_chosen_dictionary_and_says_what_it_is(open_page):
    app = open_page("map")

    maps = [m for m in elements(app) if getattr(m, "component_name", "") == "feature_map"]
    sheet = components(app, "fact_sheet")[0]

    assert len(maps) == 1
    assert len(maps[0].bytes) > 13 * N_FEATURES
    assert sheet["title"] == "large"
    assert ["Hookpoint", "layers.3"] in sheet["facts"]


def test_map_follows_the_dictionary_select_box(open_page):
    app = open_page("map")

    app.selectbox(key="dictionary").set_value(SMALL).run()

    assert components(app, "fact_sheet")[0]["title"] == "small"


def test_search_without_words_lists_the_best_known_features(open_page):
    rows = table(open_page("search"), "Feature")

    assert rows[0]["f1"] == 0.95
    assert all(row["feature"]["id"] != f"{LARGE}:{N_FEATURES - 1}" for row in rows)


def test_search_finds_by_words_and_shows_score_density_and_f1(open_page):
    rows = table(open_page("search", q="alcatraz"), "Feature")

    assert rows[0]["feature"]["label"] == "Alcatraz"
    assert rows[0]["score"] > 0
    assert rows[0]["density"].startswith("1 in ")
    assert rows[0]["concept"] == "Alcatraz"


def test_search_stays_inside_the_chosen_dictionary(open_page):
    app = open_page("search", q="alcatraz")

    app.selectbox(key="in").set_value(SMALL).run()

    assert {row["feature"]["id"].split(":")[0] for row in table(app, "Feature")} == {SMALL}


def test_search_without_a_match_says_so(open_page):
    app = open_page("search", q="zzzzqqqq")

    assert components(app, "records")[0]["rows"] == []
    assert "No feature matches" in components(app, "records")[0]["empty"]


def test_feature_page_shows_the_label_of_the_id_in_the_address(open_page):
    app = open_page("feature", id=f"{LARGE}:0")

    heading, origin = components(app, "fact_sheet")
    facts = dict(origin["facts"])

    assert heading["title"] == "Golden Gate Bridge, San Francisco"
    assert facts["Labeler"] == "human"
    assert facts["Prompt SHA-256"] == "0" * 64
    assert {"Seed, attempt", "Run", "Cost", "Created", "Model"} <= facts.keys()


def test_feature_page_shows_every_kind_of_example_with_pictures(open_page):
    app = open_page("feature", id=f"{LARGE}:2")

    top, quantile, random, silent = components(app, "passages")
    pictures = [passage["image"] for passage in top["passages"] if "image" in passage]

    assert (len(top["passages"]), len(quantile["passages"]), len(random["passages"]), len(silent["passages"])) == (
        8,
        8,
        3,
        1,
    )
    assert pictures
    assert pictures[0].startswith("data:image/png;base64,")
    assert all(p["tokens"][p["focus"]] for p in top["passages"])
    assert [p["meta"][0] for p in quantile["passages"]][:2] == ["bin 3", "bin 3"]


def test_feature_page_shows_neighbours_logit_weights_and_concepts(open_page):
    app = open_page("feature", id=f"{LARGE}:3")
    tables = components(app, "records")

    same, cross, together = (t["rows"] for t in tables if t["columns"][0]["title"] == "Feature")
    raised, lowered = (t["rows"] for t in tables if t["columns"][0]["title"] == "Token")
    slices = {row["slice"]: row["f1"] for row in table(app, "Concept")}

    assert [row["feature"]["id"] for row in same][:2] == [f"{LARGE}:4", f"{LARGE}:5"]
    assert [row["feature"]["id"] for row in cross] == [f"{SMALL}:3"]
    assert len(together) == 3
    assert raised[0]["weight"] > 0 > lowered[0]["weight"]
    assert slices == {"all": 0.95, "en": 0.97, "ja": 0.92, "image": 0.88}


def test_feature_page_without_an_id_shows_the_best_known_one(open_page):
    app = open_page("feature")

    assert components(app, "fact_sheet")[0]["title"] == "Golden Gate Bridge, San Francisco"


def test_feature_page_without_an_id_comes_back_to_the_one_seen_last(open_page):
    app = open_page("feature", id=f"{LARGE}:5")

    app.query_params.clear()
    app.run()

    assert components(app, "fact_sheet")[0]["title"] == "Los Angeles"


def test_an_id_typed_into_the_box_opens_its_feature(open_page):
    app = open_page("feature", id=f"{LARGE}:5")

    app.text_input(key="goto").set_value(f"{SMALL}:1").run()

    assert app.query_params["id"] == f"{SMALL}:1"
    assert components(app, "fact_sheet")[0]["title"] == "Alcatraz"


def test_feature_page_of_a_dead_feature_without_label_says_both(open_page):
    app = open_page("feature", id=f"{LARGE}:{N_FEATURES - 1}")
    heading = components(app, "fact_sheet")[0]

    assert "no label" in heading["title"]
    assert any("dead" in chip["text"] for chip in heading["chips"])


def test_unknown_and_malformed_ids_get_a_page_that_helps(open_page):
    for text in (f"{LARGE}:999", "nothing", "a:b", "'; drop table features; --:1", f"{LARGE}:٣", ":1"):
        app = open_page("feature", id=text)

        assert app.title[0].value == "No such feature"


def test_next_leads_to_the_next_feature(open_page):
    app = open_page("feature", id=f"{LARGE}:3")

    app.button(key="step1").click().run()

    assert app.text_input(key="goto").value == f"{LARGE}:4"
    assert app.query_params["id"] == f"{LARGE}:4"


def test_attribution_page_shows_answer_error_share_and_features(open_page):
    app = open_page("attribution")

    heading = components(app, "fact_sheet")[0]
    facts = dict(heading["facts"])
    strip = components(app, "passages")[0]
    rows = table(app, "Position")

    assert heading["title"] == QUESTION
    assert heading["chips"][0] == {"text": "right", "tone": "good"}
    assert facts["Error share"] == "18%"
    assert facts["The same with random features"] == "0.02"
    assert facts["Attribution against ablation, Spearman"] == "0.93"
    assert strip["passages"][0]["weights"][QUESTION.replace(":", " :").split().index("Kobe")] == 3.7
    assert rows[0]["feature"]["label"] == "Kobe Bryant"
    assert rows[-1]["ablation_effect"] is None


def test_sql_page_runs_a_query_and_offers_it_as_csv(open_page):
    app = open_page("sql")

    app.text_area(key="query").set_value("select count(*) as n from features")
    app.button[0].click().run()

    assert app.dataframe[0].value["n"].to_list() == [2 * N_FEATURES]
    assert any("1 row in" in caption.value for caption in app.caption)


def test_sql_page_refuses_what_writes_and_shows_errors_as_text(open_page):
    for query in ("delete from features", "select 1; select 2", "select * from nowhere", "copy features to 'x'", ""):
        app = open_page("sql")
        app.text_area(key="query").set_value(query)

        app.button[0].click().run()

        assert not app.exception
        assert not app.dataframe
        assert app.text[0].value


def test_sql_page_browses_the_schema_with_comments(open_page):
    app = open_page("sql")

    app.selectbox(key="relation").set_value("current_labels").run()

    rows = table(app, "Column")
    assert {"label_id", "explanation", "prompt_sha256"} <= {row["column"] for row in rows}
    assert all(row["comment"] for row in rows)


def test_a_link_to_a_replaced_feature_shows_its_successor_and_where_the_rest_went(open_page):
    app = open_page("feature", id=f"{OLD}:0")

    assert any("has replaced" in text.value and f"{LARGE}:20 split off" in text.value for text in app.text)
    assert any(chip["text"] == f"{LARGE}:0" for sheet in components(app, "fact_sheet") for chip in sheet["chips"])

    app.button(key="to2").click().run()

    assert any(chip["text"] == f"{LARGE}:20" for sheet in components(app, "fact_sheet") for chip in sheet["chips"])


def test_a_link_to_a_retired_feature_says_so(open_page):
    app = open_page("feature", id=f"{OLD}:30")

    assert app.title[0].value == "Retired feature"
    assert any("it is retired" in text.value for text in app.text)
