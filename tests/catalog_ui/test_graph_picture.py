"""The attribution page draws the way to the answer as a picture, and offers it as a file."""

import base64
from xml.etree import ElementTree as ET

from page_elements import elements

NAMESPACE = "{http://www.w3.org/2000/svg}"


def drawing(app) -> ET.Element:
    """The one picture of a page, parsed."""
    (picture,) = [message for message in elements(app) if type(message).__name__ == "ImageList"]
    head, _, data = picture.imgs[0].url.partition("base64,")
    assert head == "data:image/svg+xml;"
    return ET.fromstring(base64.b64decode(data))


def test_the_way_to_the_answer_is_drawn_from_the_earlier_site_to_the_answer(open_page):
    svg = drawing(open_page("attribution"))

    texts = [text.text for text in svg.iter(f"{NAMESPACE}text")]
    assert {"Kobe Bryant", "Sacramento"} <= set(texts)
    assert len(list(svg.iter(f"{NAMESPACE}path"))) == 6  # five features into the answer, one edge between two


def test_markup_in_labels_stays_text_in_the_drawing(open_page, hostile_store):
    svg = drawing(open_page("attribution", store=hostile_store))

    assert {element.tag.removeprefix(NAMESPACE) for element in svg.iter()} <= {
        "svg",
        "title",
        "rect",
        "text",
        "g",
        "path",
    }
    assert any("script" in (text.text or "") for text in svg.iter(f"{NAMESPACE}text"))
