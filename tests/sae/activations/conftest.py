"""Subjects to harvest from."""

import pytest
import torch
from tiny_models import tiny_subject

from sae.models.subject import Subject
from sae.world.codec import build_codec
from sae.world.loading import world_subject
from sae.world.model import WorldLM, WorldLMConfig


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    return tiny_subject("llama", tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    return tiny_subject("bert", tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="session")
def world() -> Subject:
    codec = build_codec()
    config = WorldLMConfig(vocabulary_size=codec.vocabulary_size, d_model=16, d_picture=8)
    return world_subject(WorldLM(config, torch.Generator().manual_seed(0)), codec, "world-lm")
