"""What every section of the config is: unknown keys are refused and nothing changes after reading."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)]
"""A key that becomes a partition and a file name: letters, digits, dot, dash and underscore."""


class Section(BaseModel):
    """A mapping of the config file."""

    model_config = ConfigDict(extra="forbid", frozen=True)
