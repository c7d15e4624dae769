"""The attribution page draws the way to the answer as a picture, and offers it as a file."""

from page_elements import SVG, drawings


def test_the_way_to_the_answer_is_drawn_from_the_earlier_site_to_the_answer(open_page):
    (svg,) = drawings(open_page("attribution"))

    texts = [text.text for text in svg.iter(f"{SVG}text")]
    assert {"Kobe Bryant", "Sacramento"} <= set(texts)
    assert len(list(svg.iter(f"{SVG}path"))) == 6  # five features into the answer, one edge between two


def test_markup_in_labels_stays_text_in_the_drawing(open_page, hostile_store):
    (svg,) = drawings(open_page("attribution", store=hostile_store))

    assert {element.tag.removeprefix(SVG) for element in svg.iter()} <= {
        "svg",
        "title",
        "rect",
        "text",
        "g",
        "path",
    }
    assert any("script" in (text.text or "") for text in svg.iter(f"{SVG}text"))
