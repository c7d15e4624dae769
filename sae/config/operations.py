"""Sections about keeping a platform running: what is kept for how long, and who hears of a failure."""

from urllib.parse import urlsplit

from pydantic import Field, field_validator

from sae.config.section import Section


class RetentionConfig(Section):
    """What `atlas gc` leaves in place although nothing in force refers to it."""

    catalogs: int = Field(default=3, ge=1)
    """Versions of the catalog that stay, the current one among them, with all that they refer to. Publishing removes
    older ones."""
    dictionaries: int = Field(default=1, ge=0)
    """Dictionaries of each site and recipe that stay beside the current ones and those of kept catalogs: the newest of
    those that were superseded or never accepted."""
    retired_days: float = Field(default=30.0, ge=0)
    """Days that a shard stays after it left its corpus, and after it was made what the config has no more."""
    checkpoint_days: float = Field(default=7.0, ge=0)
    """Days that the state of a training stays which nobody goes on with."""
    run_days: float = Field(default=30.0, ge=0)
    """Days that Dagster's event log of a run stays which made nothing that is still in force."""


class EmailConfig(Section):
    """A mail server, and between whom. The password comes from ATLAS_SMTP_PASSWORD alone."""

    host: str = Field(min_length=1)
    port: int = Field(default=587, ge=1, le=65535)
    starttls: bool = True
    """Whether the connection is encrypted before anything is said; a server of another machine should."""
    user: str | None = Field(default=None, min_length=1)
    """The name to log in by; nobody logs in without one."""
    sender: str = Field(pattern=r"^[^@\s]+@[^@\s]+$")
    to: tuple[str, ...] = Field(min_length=1)

    @field_validator("to")
    @classmethod
    def _addresses(cls, addresses: tuple[str, ...]) -> tuple[str, ...]:
        for address in addresses:
            if address.count("@") != 1 or any(letter.isspace() for letter in address):
                raise ValueError(f"{address!r} is no mail address")
        return addresses


class AlertConfig(Section):
    """Who hears of a failed refresh and of a candidate that a gate kept out; nobody by default."""

    webhook: str | None = Field(default=None, pattern=r"^https?://")
    """Address that gets a POST of JSON. A token comes from ATLAS_WEBHOOK_TOKEN alone."""
    email: EmailConfig | None = None
    timeout_s: float = Field(default=10.0, gt=0)
    """The longest wait for the server, seconds."""

    @field_validator("webhook")
    @classmethod
    def _without_password(cls, address: str | None) -> str | None:
        if address is not None and (urlsplit(address).username or urlsplit(address).password):
            raise ValueError("a secret has no place in the file: put the token into ATLAS_WEBHOOK_TOKEN")
        return address
