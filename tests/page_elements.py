"""What a page sends to the browser, read out of an AppTest."""

import base64
import json
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree as ET

from streamlit.testing.v1 import AppTest

SVG = "{http://www.w3.org/2000/svg}"


def elements(app: AppTest) -> Iterator[Any]:
    """The message of every element and block, in the order of the page."""
    waiting: list[Any] = [app._tree]
    while waiting:
        node = waiting.pop()
        if getattr(node, "proto", None) is not None:
            yield node.proto
        waiting += reversed(list(getattr(node, "children", {}).values()))


def components(app: AppTest, name: str) -> list[dict[str, Any]]:
    """The JSON data of every component of that name."""
    return [
        json.loads(message.json)
        for message in elements(app)
        if type(message).__name__ == "BidiComponent" and message.component_name == name
    ]


def table(app: AppTest, first_title: str) -> list[dict[str, Any]]:
    """The rows of the first table of records whose first column has that title."""
    tables = [data for data in components(app, "records") if data["columns"][0]["title"] == first_title]
    return tables[0]["rows"]


def drawings(app: AppTest) -> list[ET.Element]:
    """The SVG pictures of a page, parsed."""
    pictures = [image.url for m in elements(app) if type(m).__name__ == "ImageList" for image in m.imgs]
    parts = [url.partition("base64,") for url in pictures]
    return [ET.fromstring(base64.b64decode(data)) for head, _, data in parts if head == "data:image/svg+xml;"]
