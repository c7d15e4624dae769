"""The service's answers: those of `atlas activate`, `attribute` and `steer`, from one model that stays loaded."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from orchestration.answers import activations_of, explanation_of, graph_of, steered_text
from orchestration.pinned import Pinned, close_subject
from orchestration.questions import chain_of, dictionary_of, held_features, labels_of, pinned_dictionary, with_picture
from orchestration.serving.application import Answer, NotCurrentError
from orchestration.serving.bodies import (
    PICTURE_PIXELS,
    Activate,
    Attribute,
    Question,
    Steer,
    parsed,
    picture_bytes,
)
from sae.catalog import open_catalog
from sae.catalog.versions import current_version
from sae.config import Workspace
from sae.errors import AtlasError, ConfigError
from sae.storage import Store

if TYPE_CHECKING:
    import numpy as np

PROMPT_TOKENS = 2_048
"""Longest prompt, where the model reads that many."""


class Asked:
    """Answers questions about the dictionaries of the current catalog, one at a time.

    The model of the last question stays loaded, with its dictionaries; one of another model takes its place.
    """

    def __init__(self, workspace: Workspace):
        self._workspace = workspace
        self._store = Store(workspace.store)
        self._version = ""
        self._dictionaries: list[str] = []
        self._labels: dict[str, str] = {}
        self._model_id = ""
        self._pinned: dict[str, Pinned] = {}

    def answers(self) -> Mapping[str, Answer]:
        """The answers by path."""
        return {"/activate": self._activate, "/attribute": self._attribute, "/steer": self._steer}

    def _activate(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        asked = parsed(body, Activate)
        pinned = self._dictionary(asked)
        _check_length(pinned, asked.text, None)
        return activations_of(pinned, self._labels, asked.text, asked.top)

    def _attribute(self, body: dict[str, Any]) -> dict[str, Any]:
        asked = parsed(body, Attribute)
        pinned = self._dictionary(asked)
        text, picture = with_picture(asked.text, picture_bytes(asked.picture), "picture", PICTURE_PIXELS)
        continued = max(len(pinned.subject().codec.continuation(one)) for one in (asked.target, asked.baseline) if one)
        _check_length(pinned, text, picture, continued)
        answer = explanation_of(pinned, self._labels, text, asked.target, asked.baseline, asked.top, picture)
        if asked.graph:
            chain, sites = chain_of(self._workspace, pinned)
            way = graph_of(chain, sites, self._labels, text, asked.target, asked.baseline, picture)
            answer["graph"] = way.to_json()
        return answer

    def _steer(self, body: dict[str, Any]) -> dict[str, Any]:
        asked = parsed(body, Steer)
        pinned = self._dictionary(asked)
        if dictionary_of([one.feature_id for one in asked.features]) != pinned.dictionary_id:
            raise ConfigError(f"`features` are of another dictionary than `dictionary_id`, {pinned.dictionary_id}.")
        held = held_features(pinned, [(one.feature_id, one.strength) for one in asked.features])
        text, picture = with_picture(asked.text, picture_bytes(asked.picture), "picture", PICTURE_PIXELS)
        _check_length(pinned, text, picture, asked.tokens)
        return steered_text(pinned, held, text, asked.tokens, picture)

    def _dictionary(self, asked: Question) -> Pinned:
        """The dictionary that is asked about. Raises NotCurrentError where it is not in force, or not published."""
        self._read_catalog()
        name = asked.dictionary_id
        if name not in self._dictionaries:
            there = ", ".join(self._dictionaries) or "none"
            raise NotCurrentError(f"{name!r} is no current dictionary of the catalog. There are: {there}.")
        try:
            found = pinned_dictionary(self._workspace, name)
        except ConfigError as error:
            raise NotCurrentError(
                f"{name!r} was replaced since the catalog was published. Wait for the next."
            ) from error
        if (model_id := found.facts["model"]["model_id"]) != self._model_id:
            self._pinned.clear()
            close_subject()
            self._model_id = model_id
        return self._pinned.setdefault(name, found)

    def _read_catalog(self) -> None:
        """Read the current catalog's dictionaries and labels, where it is another than the last."""
        try:
            version = current_version(self._store)
        except AtlasError as error:
            raise NotCurrentError(str(error)) from error
        if version == self._version:
            return
        with open_catalog(self._store, version) as catalog:
            query = "select dictionary_id from dictionaries where is_current order by site, recipe"
            self._dictionaries = catalog.sql(query)["dictionary_id"].to_list()
        self._labels = labels_of(self._store, version)
        self._pinned = {name: one for name, one in self._pinned.items() if name in self._dictionaries}
        self._version = version


def _check_length(pinned: Pinned, text: str, picture: "np.ndarray | None", new_tokens: int = 0) -> None:
    codec = pinned.subject().codec
    length, allowed = len(codec.encode(text, picture)) + new_tokens, min(codec.context_size, PROMPT_TOKENS)
    if length > allowed:
        raise ConfigError(f"Prompt and continuation have {length} tokens, {allowed} are allowed. Shorten one of them.")
