"""Questions to the inference service: whether it stands, a picture for the prompt, the answer or why there is none."""

import base64
from collections.abc import Mapping
from typing import Any, TypeVar

import streamlit as st

from catalog_ui.access import Reader, show_error
from catalog_ui.answers import Answer
from catalog_ui.service import NoServiceError, Service, UnansweredError, ask, standing_service
from catalog_ui.steering_queries import reads_pictures

Kind = TypeVar("Kind", bound=Answer)


def find_service(reader: Reader) -> Service | None:
    """The inference service; where none answers, a quiet word on that and on how to start one."""
    try:
        return standing_service(reader.service_file)
    except NoServiceError as error:
        st.text(str(error))
    st.caption(
        "`atlas ui` starts one beside the pages, which takes some seconds, and `atlas serve` one by itself. "
        "Everything stored is shown without it."
    )
    st.button("Look again", key="look_again", icon=":material/refresh:")
    return None


def picture_input(reader: Reader, dictionary_id: str, key: str) -> bytes | None:
    """The bytes of a picture for the prompt, where a dictionary's model reads pictures and one was chosen."""
    if not reads_pictures(reader.catalog, dictionary_id):
        return None
    chosen = st.file_uploader(
        "Picture",
        type=["png", "jpg", "jpeg"],
        key=key,
        help="Stands before the text, or where the text says `<image>`.",
    )
    return chosen.getvalue() if chosen else None


def answer_to(
    service: Service, path: str, body: Mapping[str, Any], picture: bytes | None, kind: type[Kind]
) -> Kind | None:
    """The service's answer; None, under a word on why, where it gave none."""
    sent = dict(body) if picture is None else {**body, "picture": base64.b64encode(picture).decode()}
    try:
        with st.spinner("The model is at work; a first question waits until it is loaded."):
            return ask(service, path, sent, kind)
    except UnansweredError as error:
        show_error(error)
        return None
