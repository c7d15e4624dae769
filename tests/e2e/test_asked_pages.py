"""The pages ask the real service, of the tiny pipeline's model, what the catalog does not hold."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from page_elements import components
from service_server import served, tell
from streamlit.testing.v1 import AppTest
from tiny_pipeline import QUESTION

import catalog_ui
from orchestration.serving.asked import Asked
from sae.config import load_workspace

APP = Path(catalog_ui.__file__).parent / "app.py"


@pytest.fixture
def open_page(place) -> Iterator[Callable[[str], AppTest]]:
    """Opens a page beside a service that stands on a copy of the first run."""
    workspace = load_workspace()
    with served(Asked(workspace).answers()) as url:
        tell(workspace.service_file, url)

        def open_(page: str) -> AppTest:
            app = AppTest.from_file(str(APP), default_timeout=120).run()
            app.switch_page(f"app_pages/{page}.py").run()
            assert not app.exception, [error.value for error in app.exception]
            return app

        yield open_


def _press(app: AppTest, label: str) -> None:
    next(button for button in app.button if button.label == label).click().run()
    assert not app.exception, [error.value for error in app.exception]


def test_steering_by_hand_gives_what_is_stored_for_the_same_question(open_page, command):
    query = "select * from steering where strength <> 0 order by feature_id limit 1"
    (stored,) = json.loads(command("sql", query, "--json").out)
    app = open_page("steering")
    app.text_input(key="id").set_value(stored["feature_id"]).run()
    app.number_input(key=f"strength-{stored['feature_id']}").set_value(stored["strength"])
    app.number_input(key="steered_tokens").set_value(2)

    _press(app, "Steer")

    written = {p["value"]: p["tokens"] for data in components(app, "passages") for p in data["passages"]}
    assert components(app, "fact_sheet")[0]["title"] == QUESTION
    assert written["Steered"] == [stored["completion"]]


def test_the_stored_question_asked_again_has_the_stored_answer(open_page):
    app = open_page("attribution")
    for key, words in (("own_text", QUESTION), ("own_target", "Sacramento"), ("own_baseline", "Albany")):
        app.text_input(key=key).set_value(words)
    app.selectbox(key="own_through").set_value(app.selectbox(key="through").value)

    _press(app, "Explain")

    stored, own = (dict(sheet["facts"]) for sheet in components(app, "fact_sheet"))
    stored_strip, own_strip = (data["passages"][0] for data in components(app, "passages"))
    for same in ("Logit difference", "Attributed to features", "Left in the error", "Features at work"):
        assert own[same] == stored[same]
    assert own_strip["tokens"] == stored_strip["tokens"]
    assert own_strip["weights"] == pytest.approx(stored_strip["weights"], abs=1e-4)
