"""Activations, and the comparison that every format must stand."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from sae.dictionaries.dictionary import Dictionary

SameUse = Callable[[Dictionary, Dictionary], None]


@pytest.fixture(scope="session")
def activations() -> Callable[[int], Tensor]:
    """Sixty tokens of a given width."""
    return lambda d_in: torch.randn(60, d_in, generator=torch.Generator().manual_seed(11))


@pytest.fixture(scope="session")
def same_use(activations) -> SameUse:
    """Asserts that two dictionaries give the same codes and reconstructions within 1e-5."""

    def check(one: Dictionary, other: Dictionary) -> None:
        x = activations(one.d_in)
        torch.testing.assert_close(one.encode(x), other.encode(x), rtol=0, atol=1e-5)
        torch.testing.assert_close(one.decode(one.encode(x)), other.decode(other.encode(x)), rtol=0, atol=1e-5)

    return check
