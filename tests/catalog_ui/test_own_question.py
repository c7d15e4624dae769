"""A question of one's own on the Attribution page, to a service on a real socket whose answers need no model."""

import shutil

import pytest
from catalog_fixture import LARGE, QUESTION, SMALL
from page_elements import SVG, components, drawings, elements, table
from service_server import served, tell

from sae.errors import AtlasError

TEXT = "Fact: The capital of California is"
TOKENS = ["Fact", ":", "The", "capital", "of", "California", "is"]


class Model:
    """Answers as the service does, and keeps what it was asked."""

    def __init__(self):
        self.asked: list[dict] = []
        self.fault: Exception | None = None
        self.words = "Sacramento"

    def __call__(self, asked):
        self.asked.append(asked)
        if self.fault:
            raise self.fault
        way = [(1, 5, 0.4, 0.3, "California"), (2, 3, 1.5, 1.2, None), (3, 3, -0.5, -0.6, self.words)]
        return {
            "dictionary_id": asked["dictionary_id"],
            "text": asked["text"],
            "predicted": self.words,
            "is_correct": True,
            "tokens": [self.words, *TOKENS[1:]],
            "token_attributions": [0.0, 0.0, 0.0, 1.25, 0.0, 0.4, 0.0],
            "logit_diff": 6.5,
            "attributed": 4.0,
            "bias_attribution": 0.1,
            "error_attribution": 1.0,
            "first_order": 5.1,
            "error_share": 0.2,
            "ablation_spearman": 0.9,
            "control_spearman": None,
            "ablation_effect": 0.7,
            "control_effect": None,
            "n_features": 11,
            "features": [
                {
                    "rank": rank,
                    "position": position,
                    "token": TOKENS[position],
                    "feature_id": f"{LARGE}:{rank}",
                    "activation": 5.0,
                    "attribution": attribution,
                    "ablation_effect": effect,
                    "control_effect": 0.0,
                    "label": label,
                }
                for rank, position, attribution, effect, label in way
            ],
            "graph": self._way(),
        }

    def _way(self):
        nodes = [("early:1", 5, 0, "Los Angeles"), ("late:2", 6, 1, self.words)]
        return {
            "text": TEXT,
            "tokens": TOKENS,
            "target": "Sacramento",
            "baseline": None,
            "predicted": "Sacramento",
            "logit_diff": 6.5,
            "sites": ["m.layers.3", "m.layers.4"],
            "nodes": [
                {
                    "id": f"{feature}@{position}",
                    "feature_id": feature,
                    "label": label,
                    "position": position,
                    "token": TOKENS[position],
                    "activation": 2.0,
                    "attribution": 1.0,
                    "level": level,
                }
                for feature, position, level, label in nodes
            ],
            "edges": [
                {"source": "early:1@5", "target": "late:2@6", "weight": 0.5, "carries": 0.25},
                {"source": "late:2@6", "target": "answer", "weight": 1.0, "carries": 1.0},
            ],
        }


@pytest.fixture
def model():
    return Model()


@pytest.fixture
def ask(small_store, tmp_path, model, open_page):
    """Open the page beside a service, fill the form in and send it."""
    store = shutil.copytree(small_store, tmp_path / "store")
    with served({"/attribute": model}) as url:
        tell(store / "state" / "service.json", url)

        def send(baseline=""):
            app = open_page("attribution", store=store)
            for key, words in (("own_text", TEXT), ("own_target", "Sacramento"), ("own_baseline", baseline)):
                app.text_input(key=key).set_value(words)
            return next(button for button in app.button if button.label == "Explain").click().run()

        yield send


def test_without_a_service_the_stored_questions_show_and_a_quiet_line_says_how_to_start_one(open_page):
    app = open_page("attribution")

    assert components(app, "fact_sheet")[0]["title"] == QUESTION
    assert any("No inference service stands" in text.value for text in app.text)
    assert not [box for box in app.text_input if box.key == "own_text"]


@pytest.mark.parametrize(("typed", "sent"), [("", None), ("Albany", "Albany")])
def test_the_model_is_asked_for_text_target_baseline_and_dictionary(typed, sent, model, ask):
    ask(typed)

    (asked,) = model.asked
    assert asked.pop("top") > 0
    assert asked == {
        "dictionary_id": LARGE,
        "text": TEXT,
        "target": "Sacramento",
        "baseline": sent,
        "graph": True,
    }


def test_the_answer_has_the_form_of_the_stored_ones(ask):
    app = ask("Albany")

    stored, own = components(app, "fact_sheet")
    strip = components(app, "passages")[1]["passages"][0]
    both = [data for data in components(app, "records") if data["columns"][0]["title"] == "Position"]

    assert own["title"] == TEXT
    assert own["lead"] == "world-lm answers 'Sacramento', as asked."
    assert own["chips"][0] == {"text": "right", "tone": "good"}
    assert dict(own["facts"])["Logit difference"] == "6.5"
    assert set(dict(own["facts"])) < set(dict(stored["facts"]))
    assert (strip["tokens"][1:], strip["weights"][3]) == (TOKENS[1:], 1.25)
    assert both[0]["columns"][0] == both[1]["columns"][0]
    assert [row["attribution"] for row in both[1]["rows"]] == [1.5, -0.5, 0.4]
    assert [row["ablation_effect"] for row in both[1]["rows"]] == [1.2, -0.6, 0.3]
    assert both[1]["rows"][2]["feature"]["label"] == "California"


def test_the_way_to_the_answer_is_drawn_below_that_of_the_stored_question(ask):
    _, own = drawings(ask())

    texts = [text.text for text in own.iter(f"{SVG}text")]
    assert {"Los Angeles", "Sacramento", "is", "m.layers.3"} <= set(texts)
    assert len(list(own.iter(f"{SVG}path"))) == 2


def test_another_dictionary_may_be_asked(model, ask):
    app = ask()

    app.selectbox(key="own_through").set_value(SMALL).run()
    next(button for button in app.button if button.label == "Explain").click().run()

    assert [asked["dictionary_id"] for asked in model.asked] == [LARGE, SMALL]


def test_a_refusal_is_shown_in_the_services_words_as_text(model, ask):
    model.fault = AtlasError("The model does not know <b>'x'</b>: use its own words.")

    app = ask()

    assert any(text.value == str(model.fault) for text in app.text)
    assert len(components(app, "fact_sheet")) == 1


def test_markup_in_an_answer_reaches_the_components_alone(model, ask):
    model.words = "<script>window.hacked = 1</script> **b** $x$"

    app = ask()

    markup = [m for m in elements(app) if "hacked" in str(m)]
    assert {type(m).__name__ for m in markup} == {"BidiComponent"}
    assert table(app, "Position")
