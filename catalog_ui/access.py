"""The catalog that the pages read: the published version, opened once and again when another is published."""

from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from sae.catalog.query import Catalog, open_catalog
from sae.catalog.versions import CURRENT, current_version
from sae.config import load_workspace
from sae.errors import AtlasError
from sae.storage import Store


@dataclass(frozen=True)
class Reader:
    """A catalog open for reading, the store it stands in and its version, which keys every cache."""

    catalog: Catalog
    store: str
    version: str
    service_file: Path
    """Where an inference service on this config says how it is reached."""


def require_reader() -> Reader:
    """The current catalog, or a page that says what to do and ends the run."""
    try:
        workspace = load_workspace()
        store = workspace.store
        version = published_version(store)
        catalog = _open(store, version) if version else None
    except AtlasError as error:
        st.title("The catalog cannot be opened")
        show_error(error)
        st.stop()
    if catalog is None or version is None:
        st.title("Nothing is published yet")
        st.text(f"The store {store} holds no catalog.")
        st.markdown("Make one with the command below, then load this page again.")
        st.code("atlas run", language="bash")
        st.stop()
    return Reader(catalog, store, version, workspace.service_file)


def published_version(store: str) -> str | None:
    """What `CURRENT` names now; None where nothing is published."""
    files = Store(store)
    return current_version(files) if files.exists(CURRENT) else None


def show_error(error: AtlasError) -> None:
    """An error's text, shown as text: it may quote a label or a query."""
    with st.container(border=True):
        st.text(str(error))


@st.cache_resource(max_entries=2, show_spinner="Opening the catalog", on_release=lambda catalog: catalog.close())
def _open(store: str, version: str) -> Catalog:
    return open_catalog(Store(store), version)
