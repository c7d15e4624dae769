"""The section that says who writes the labels."""

from typing import Literal

from pydantic import Field

from sae.config.section import Section


class PriceConfig(Section):
    """USD per million tokens."""

    input: float = Field(ge=0)
    output: float = Field(ge=0)


class LabelerConfig(Section):
    """Who writes the labels."""

    provider: Literal["lexical"] = "lexical"
    """`lexical` reads the examples and needs no model."""
    seed: int = 0
    """Part of every label's id."""
