"""Fixtures that several folders share."""

from pathlib import Path

import pytest
from catalog_fixture import build_small_catalog


@pytest.fixture(scope="session")
def small_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Root of a store with a small, synthetic, complete and published catalog. Copy it before changing it."""
    return build_small_catalog(tmp_path_factory.mktemp("small_store"))


@pytest.fixture(scope="session")
def whole_session(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder that the processes which share the tests have in common."""
    own = tmp_path_factory.getbasetemp()
    return own if worker_id == "master" else own.parent
