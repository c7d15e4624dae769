"""Pictures of corpus and visitors, decoded and drawn again small: no byte of a file reaches the browser unread."""

import base64
import io

import streamlit as st
from PIL import Image, UnidentifiedImageError

from sae.errors import AtlasError
from sae.storage import Store

LONGEST_SIDE = 224
"""Pixels."""


@st.cache_data(max_entries=512, show_spinner=False)
def picture_uri(store: str, path: str) -> str | None:
    """A PNG data URI of a picture in the store; None where the file is gone or is not a picture."""
    try:
        return small_uri(Store(store).read_bytes(path))
    except AtlasError:
        return None


def small_uri(data: bytes) -> str | None:
    """A PNG data URI of the picture in some bytes; None where they are none."""
    try:
        with Image.open(io.BytesIO(data)) as picture:
            small = picture.convert("RGB")
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError):
        return None
    small.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    buffer = io.BytesIO()
    small.save(buffer, format="PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
