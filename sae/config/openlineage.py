"""The section that says where lineage events go."""

from typing import Self

from pydantic import Field, model_validator

from sae.config.section import Section


class OpenLineageConfig(Section):
    """Events about everything that is made, in OpenLineage's form; needs the extra `openlineage`."""

    url: str | None = Field(default=None, pattern=r"^https?://[^/]")
    """A server that takes them, up to its `/api/v1/lineage`. A key comes from OPENLINEAGE_API_KEY alone."""
    file: str | None = Field(default=None, min_length=1)
    """A local file that they are appended to, one JSON object a line; relative to the config's folder."""
    namespace: str = Field(default="feature-atlas", min_length=1)
    """The namespace of jobs and data sets: what tells one workspace from another at the server."""
    timeout_s: float = Field(default=5.0, gt=0)
    """The longest wait for the server, seconds."""

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.url is None) == (self.file is None):
            raise ValueError("give either `url` or `file`")
        return self
