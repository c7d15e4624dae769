"""What the service is asked: keys, units and limits of each question."""

import base64
import binascii
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sae.config.faults import first_fault
from sae.errors import ConfigError

TEXT_CHARACTERS = 16_384
STRENGTH = 1_000.0
PICTURE_PIXELS = 4_096 * 4_096

Text = Annotated[str, Field(min_length=1, max_length=TEXT_CHARACTERS)]
Continuation = Annotated[str, Field(min_length=1, max_length=256)]
Picture = Annotated[
    str | None, Field(default=None, description="PNG or JPEG in base64, at <image> or before the text.")
]
DictionaryId = Annotated[str, Field(min_length=1, max_length=128)]
Body = TypeVar("Body", bound="Question")


class Question(BaseModel):
    """Of which dictionary, and about which text."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    dictionary_id: DictionaryId
    text: Text


class Activate(Question):
    """Which features are active at each token."""

    top: int = Field(default=5, ge=1, le=256, description="Features for each token.")


class Attribute(Question):
    """Which features an answer came from."""

    target: Continuation
    baseline: Continuation | None = Field(default=None, description="The mean logit by default.")
    top: int = Field(default=10, ge=1, le=256, description="Features listed and checked by ablation.")
    graph: bool = Field(default=False, description="The way to the answer too, through each site of the model.")
    picture: Picture


class Held(BaseModel):
    """A feature held at a multiple of its largest activation."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    feature_id: str = Field(min_length=1, max_length=160)
    strength: float = Field(ge=-STRENGTH, le=STRENGTH)


class Steer(Question):
    """What the model writes with features held."""

    features: list[Held] = Field(min_length=1, max_length=64)
    tokens: int = Field(default=12, ge=1, le=256, description="Length of the completion.")
    picture: Picture


def parsed(body: dict[str, Any], kind: type[Body]) -> Body:
    """A question from its JSON. Raises ConfigError that names the key, what was found and what is allowed."""
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        raise ConfigError(first_fault(error, kind)) from error


def picture_bytes(picture: str | None) -> bytes | None:
    """The bytes of a picture in base64. Raises ConfigError where it is no base64."""
    try:
        return None if picture is None else base64.b64decode(picture, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ConfigError("`picture` is no base64. Send the bytes of a PNG or JPEG file in base64.") from error
