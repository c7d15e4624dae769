"""A list of concepts with texts that show them and texts that do not: a small YAML file, named under `concepts`."""

from pathlib import Path
from typing import Self

import yaml
from pydantic import Field, ValidationError, model_validator

from sae.config.faults import first_fault
from sae.config.section import Name, Section
from sae.errors import ConfigError

_HELP = "A concept reads {name: …, kind: …, positive: [two texts or more], negative: [two texts or more]}."


class ListedConcept(Section):
    """One concept."""

    name: str = Field(min_length=1)
    """What it is called; how often that stands in the corpus is how often the concept occurs."""
    kind: Name
    """What sort of thing it is: scores are drawn together by kind."""
    names: tuple[str, ...] = ()
    """Other names, counted too."""
    positive: tuple[str, ...] = Field(min_length=2)
    """Texts that show it. Half of them choose the feature, the others score it."""
    negative: tuple[str, ...] = Field(min_length=2)
    """Texts that do not; the nearer to the others, the more they say."""

    @model_validator(mode="after")
    def _apart(self) -> Self:
        texts = [*self.positive, *self.negative]
        if not all(text.strip() for text in texts):
            raise ValueError(f"a text of {self.name!r} is empty")
        for text in texts:
            if texts.count(text) > 1:
                raise ValueError(f"{text!r} stands twice under {self.name!r}")
        return self

    @property
    def concept_id(self) -> str:
        """`listed:<kind>:<name in lower case with dashes>`."""
        letters = "".join(letter if letter.isalnum() else " " for letter in self.name.lower())
        return f"listed:{self.kind}:{'-'.join(letters.split())}"


class ConceptList(Section):
    """The whole file."""

    concepts: tuple[ListedConcept, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _unique(self) -> Self:
        ids = [concept.concept_id for concept in self.concepts]
        for concept in self.concepts:
            if ids.count(concept.concept_id) > 1:
                raise ValueError(f"{concept.name!r} ({concept.kind}) stands twice")
        return self


def read_concept_list(path: Path) -> ConceptList:
    """The list in a file. Raises ConfigError (two lines) naming what is wrong and how a concept reads."""
    if not path.is_file():
        raise ConfigError(f"concepts: there is no file {path}.\nName a YAML file, relative to the config's folder.")
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path.name}: not YAML in UTF-8: {' '.join(str(error).split())}\n{_HELP}") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"{path.name}: a mapping with the key `concepts` is wanted.\n{_HELP}")
    try:
        return ConceptList.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(f"{path.name}: {first_fault(error, ConceptList)}\n{_HELP}") from error
