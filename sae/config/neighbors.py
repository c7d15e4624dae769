"""The section that says how the nearest features are found."""

from pydantic import Field

from sae.config.section import Section


class NeighborsConfig(Section):
    """Nearest features by the cosine of their decoder rows."""

    exact_below: int = Field(default=200_000, ge=1)
    """Live features from which on an approximate index (faiss) is asked; below, every pair is compared."""
