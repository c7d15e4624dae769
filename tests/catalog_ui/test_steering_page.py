"""The Steering page: what is stored, and questions to a service on a real socket whose answers need no model."""

import base64
import io
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from catalog_fixture import LARGE, N_FEATURES, SMALL, small_frames, small_parquet
from page_elements import components, elements, table
from PIL import Image
from service_server import TOKEN, served, tell

from orchestration.serving.application import NotCurrentError
from sae.catalog.publish import build_candidate, publish
from sae.storage import Store

PROMPT = "I want to visit"


class Model:
    """Answers as the service does, and keeps what it was asked."""

    def __init__(self):
        self.asked: list[dict] = []
        self.fault: Exception | None = None

    def __call__(self, asked):
        self.asked.append(asked)
        if self.fault:
            raise self.fault
        held = [one | {"held_at": one["strength"] * 7} for one in asked["features"]]
        return {
            "dictionary_id": asked["dictionary_id"],
            "text": asked["text"],
            "features": held,
            "unsteered": "a friend",
            "steered": "<b>the bridge</b>",
            "logit_shift": 0.9,
        }


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def asking(small_store, tmp_path, model) -> Iterator[Path]:
    """A store beside which a service stands."""
    store = shutil.copytree(small_store, tmp_path / "store")
    with served({"/steer": model}) as url:
        tell(store / "state" / "service.json", url)
        yield store


@pytest.fixture
def steer(asking, open_page) -> Callable[..., object]:
    """Open the page with a feature named in the address, and press Steer."""

    def press(*named: str):
        app = open_page("steering", store=asking, id=named[0])
        app.multiselect(key="held").set_value(list(named)).run()
        app.text_area(key="steered_text").set_value(PROMPT)
        return _button(app, "Steer").click().run()

    return press


def _button(app, label):
    return next(button for button in app.button if button.label == label)


def _written(app) -> list[tuple[str, list[str]]]:
    return [(p["value"], p["tokens"]) for sheet in components(app, "passages") for p in sheet["passages"]]


def test_stored_completions_stand_beside_those_without_the_feature(open_page):
    app = open_page("steering")
    rows = table(app, "Feature")

    assert [(row["strength"], row["unsteered"], row["steered"], row["logit_shift"]) for row in rows] == [
        (-5.0, "a friend", "the city", 0.6),
        (5.0, "a friend", "the bridge", 0.9),
        (10.0, "a friend", "the Golden Gate Bridge", 2.1),
    ]
    assert rows[0]["feature"]["label"] == "Golden Gate Bridge, San Francisco"
    assert [row["prompt"] for row in rows] == [PROMPT, "", ""]


def test_sets_held_at_once_stand_beside_random_features(open_page):
    (row,) = table(open_page("steering"), "Features held at once")

    assert row["features"] == "Golden Gate Bridge, San Francisco + Alcatraz (large)"
    assert (row["strength"], row["steered"], row["controls"]) == (5.0, "the prison", "no more")


@pytest.mark.parametrize(
    ("words", "one", "several"),
    [("golden gate", 3, 1), ("alcatraz", 0, 1), (f"{LARGE}:0", 3, 1), (f"{LARGE}:2", 0, 0), ("100%", 0, 0)],
)
def test_words_of_a_label_or_an_id_narrow_what_is_shown(words, one, several, open_page):
    app = open_page("steering", id=words)

    assert len(table(app, "Feature")) == one
    assert len(table(app, "Features held at once")) == several


def test_a_dictionary_and_a_prompt_narrow_what_is_shown(open_page):
    app = open_page("steering")

    app.selectbox(key="of").set_value(LARGE)
    app.selectbox(key="after").set_value("visit").run()

    assert len(table(app, "Feature")) == 3
    assert SMALL not in app.selectbox(key="of").options


def test_without_a_service_all_is_shown_and_a_quiet_line_says_how_to_start_one(open_page):
    app = open_page("steering")

    assert len(table(app, "Feature")) == 3
    assert any("No inference service stands" in text.value for text in app.text)
    assert any("`atlas ui` starts one" in caption.value for caption in app.caption)
    assert not app.multiselect


def test_a_service_that_comes_is_found_at_the_next_look(small_store, open_page, tmp_path, model):
    store = shutil.copytree(small_store, tmp_path / "store")
    app = open_page("steering", store=store)

    with served({"/steer": model}) as url:
        tell(store / "state" / "service.json", url)
        app.button(key="look_again").click().run()

        assert app.multiselect
    app.run()
    assert any("it has ended" in text.value for text in app.text)


def test_the_feature_in_the_address_is_held_from_the_start(asking, open_page):
    app = open_page("steering", store=asking, id=f"{LARGE}:3")

    assert app.multiselect(key="held").value == [f"{LARGE}:3"]


def test_the_feature_page_leads_here_with_its_id(open_page):
    live, dead = (
        [
            (link.label, link.query_string)
            for link in elements(open_page("feature", id=f"{LARGE}:{index}"))
            if type(link).__name__ == "PageLink" and link.page == "steering"
        ]
        for index in (3, N_FEATURES - 1)
    )

    assert live == [("Steer", f"id={LARGE}%3A3")]
    assert dead == []


def test_features_are_found_by_words_and_all_are_of_one_dictionary(asking, open_page):
    app = open_page("steering", store=asking)

    app.text_input(key="find").set_value("alcatraz").run()
    everywhere = app.multiselect(key="held").options
    app.multiselect(key="held").set_value([f"{SMALL}:1"]).run()
    inside = app.multiselect(key="held").options

    assert everywhere[:2] in (
        ["Alcatraz · large 1", "Alcatraz · small 1"],
        ["Alcatraz · small 1", "Alcatraz · large 1"],
    )
    assert all(" · small " in name for name in inside)


def test_the_model_is_asked_with_features_strengths_and_the_prompt(model, steer):
    app = steer(f"{LARGE}:0", f"{LARGE}:1")
    app.number_input(key=f"strength-{LARGE}:1").set_value(-2.0).run()
    app.number_input(key="steered_tokens").set_value(4)

    _button(app, "Steer").click().run()

    assert model.asked[-1] == {
        "dictionary_id": LARGE,
        "text": PROMPT,
        "features": [
            {"feature_id": f"{LARGE}:0", "strength": 5.0},
            {"feature_id": f"{LARGE}:1", "strength": -2.0},
        ],
        "tokens": 4,
    }


def test_the_answer_stands_side_by_side_as_text_with_what_was_held(steer):
    app = steer(f"{LARGE}:0")

    assert _written(app) == [("By itself", ["a friend"]), ("Steered", ["<b>the bridge</b>"])]
    assert components(app, "fact_sheet")[0]["title"] == PROMPT
    assert "by 0.9." in components(app, "fact_sheet")[0]["lead"]
    assert table(app, "Feature held") == [
        {
            "feature": {"id": f"{LARGE}:0", "label": "Golden Gate Bridge, San Francisco", "note": ""},
            "strength": 5.0,
            "held_at": 35.0,
        }
    ]


def test_the_answer_stays_until_another_comes(model, steer):
    app = steer(f"{LARGE}:0")

    app.text_input(key="find").set_value("alcatraz").run()
    kept = _written(app)
    model.fault = NotCurrentError("It was replaced <b>since</b>.")
    _button(app, "Steer").click().run()

    assert len(kept) == 2
    assert _written(app) == []
    assert any(text.value == "It was replaced <b>since</b>." for text in app.text)


def test_a_picture_is_sent_and_drawn_again(asking, open_page, model):
    data = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(data, "PNG")
    app = open_page("steering", store=asking, id=f"{LARGE}:0")

    app.file_uploader(key="steered_picture").upload("a.png", data.getvalue(), "image/png")
    _button(app, "Steer").click().run()

    assert base64.b64decode(model.asked[0]["picture"]) == data.getvalue()
    images = [p["image"] for sheet in components(app, "passages") for p in sheet["passages"]]
    assert all(image.startswith("data:image/png;base64,") for image in images)
    assert len(images) == 2


def test_features_of_a_dictionary_that_is_gone_are_held_no_more(asking, open_page, monkeypatch):
    app = open_page("steering", store=asking)
    app.multiselect(key="held").set_value([f"{LARGE}:1"]).run()
    monkeypatch.setattr("catalog_fixture.LARGE", "eeee000011112222")
    store = Store(str(asking))
    publish(store, build_candidate(store, small_frames(store), small_parquet(store), {}))

    app.run()

    assert not app.exception
    assert app.multiselect(key="held").value == []


def test_nothing_is_asked_without_a_feature(asking, open_page, model):
    app = open_page("steering", store=asking)

    assert _button(app, "Steer").disabled
    assert model.asked == []


@pytest.mark.parametrize("named", ["nothing", f"{LARGE}:999", "'; drop table features; --:1", f"{LARGE}:٣"])
def test_what_is_no_feature_is_not_held(named, asking, open_page):
    app = open_page("steering", store=asking, id=named)

    assert app.multiselect(key="held").value == []


def test_the_token_reaches_no_page(steer):
    app = steer(f"{LARGE}:0")

    assert TOKEN not in json.dumps([str(message) for message in elements(app)])
