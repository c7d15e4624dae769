"""A tiny model of each family, made once."""

import pytest
from tiny_models import FAMILIES, tiny_subject

from sae.models.subject import Subject


@pytest.fixture(scope="session", params=FAMILIES)
def subject(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Subject:
    return tiny_subject(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    return tiny_subject("llama", tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    return tiny_subject("bert", tmp_path_factory.mktemp("bert"))
