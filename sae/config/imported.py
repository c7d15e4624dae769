"""The sections of dictionaries that nobody trains here: another library's, and a site's own neurons."""

from typing import Literal, get_args

from pydantic import Field

from sae.config.section import Name, Section

Format = Literal["saelens", "sparsify", "dictionary_learning", "gemma_scope"]
FORMATS: tuple[Format, ...] = get_args(Format)


class ImportConfig(Section):
    """A dictionary from a file of another library, measured and judged at a site like one that was trained here."""

    architecture: Literal["imported"]
    """Says that nothing is trained."""
    format: Format
    """The library whose layout the file has."""
    source: str = Field(min_length=1)
    """Its folder or file, relative to the config's folder. `atlas import` checks one and keeps a copy."""
    sites: tuple[str, ...] = Field(min_length=1)
    """The sites that it reads: those of the model and place that it was trained on."""


class NeuronsConfig(Section):
    """The neurons of a site as a dictionary: one latent a dimension, active where that is positive.

    What is said of features can then be said of neurons, by the same examples, labels and scores. It is meant for the
    output of a ReLU (`gpt_neox.layers.0.mlp.act`), which it reconstructs whole.
    """

    architecture: Literal["neurons"]
    """Says that nothing is trained."""
    sites: tuple[Name, ...] = Field(min_length=1)
    """The sites whose neurons are read."""
