"""A stored example as a passage: its tokens, its own position, and what is known of its document."""

import math
from typing import Any

from catalog_ui.access import Reader
from catalog_ui.components.passages import Passage
from catalog_ui.pictures import picture_uri
from catalog_ui.wording import figure


def example_passage(reader: Reader, example: dict[str, Any]) -> Passage:
    """The passage of a row of `catalog_ui.queries.examples`."""
    meta = [example["language"], example["corpus"], example["topic"], f"document {example['document_id'][:12]}"]
    if example["bin"] is not None:
        meta.insert(0, f"bin {example['bin']}")
    return Passage(
        tokens=example["tokens"],
        weights=example["activations"],
        focus=_focus(example["activation"], example["activations"], example["position"]),
        value=figure(example["activation"]) if example["activation"] else None,
        meta=[text for text in meta if text],
        image=picture_uri(reader.store, example["image_path"]) if example["image_path"] else None,
    )


def _focus(activation: float, activations: list[float], position: int) -> int | None:
    """Where the window holds the example's own activation: the last such place not after the document's position."""
    if activation <= 0:
        return None
    places = [i for i, value in enumerate(activations) if math.isclose(value, activation, rel_tol=1e-5)]
    return max((i for i in places if i <= position), default=None)
