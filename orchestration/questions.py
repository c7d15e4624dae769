"""What a question to a model needs before it can be answered: dictionary, labels, features and picture."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from orchestration.chains import chain_through, sites_in_order
from orchestration.partitions import Cell
from orchestration.pinned import Pinned, device_of
from orchestration.refs import read_ref
from sae.catalog import open_catalog
from sae.config import Workspace
from sae.errors import AtlasError, ConfigError
from sae.storage import Store
from sae.table_files import read_table

if TYPE_CHECKING:
    import numpy as np


def pinned_dictionary(workspace: Workspace, name: str) -> Pinned:
    """A current dictionary by `<site>.<recipe>`, id or the name of its recipe, the config's first for an empty name.

    Raises AtlasError where none has been accepted, ConfigError where none has that name, or several have.
    """
    store, pairs = Store(workspace.store), workspace.config.pairs()
    accepted = {pair: ref for pair in pairs if (ref := read_ref(store, Cell("dictionary", pair)))}
    if not accepted:
        raise AtlasError("No dictionary has been accepted yet. `atlas run` trains them.")
    wanted = name or next(iter(accepted))
    found = [pair for pair, ref in accepted.items() if wanted in (pair, ref.data_version, pairs[pair][1])]
    if not found:
        raise ConfigError(f"No current dictionary {name!r}. There are: {', '.join(accepted)}.")
    if len(found) > 1:
        raise ConfigError(f"{name!r} names several dictionaries: {', '.join(found)}. Give the site as well.")
    ref = accepted[found[0]]
    return Pinned(store, ref, device_of(workspace.config, ref.facts))


def chain_of(workspace: Workspace, pinned: Pinned) -> tuple[list[Pinned], list[str]]:
    """The dictionaries that a graph through this one reads, in the model's order, and their sites' names."""
    store, config, own = Store(workspace.store), workspace.config, str(pinned.ref.partition)
    accepted = {pair: ref for pair in config.pairs() if (ref := read_ref(store, Cell("dictionary", pair)))}
    order = sites_in_order(config, pinned.facts["model"]["name"], pinned.subject())
    pairs = chain_through(config, order, own, accepted)
    chain = [pinned if pair == own else Pinned(store, accepted[pair], pinned.device) for pair in pairs]
    return chain, [config.pairs()[pair][0] for pair in pairs]


def labels_of(store: Store, version: str | None) -> dict[str, str]:
    """Labels by feature, of a catalog's version or the current one; none where no catalog was ever published."""
    if version is None and not store.exists("catalog/CURRENT"):
        return {}
    with open_catalog(store, version) as catalog:
        return dict(catalog.sql("select feature_id, label from current_labels").iter_rows())


def dictionary_of(names: Sequence[str]) -> str:
    """The id of the dictionary that all these features are of. Raises ConfigError where they are of several."""
    dictionaries = {name.rpartition(":")[0] for name in names}
    if len(dictionaries) != 1 or not all(name.rpartition(":")[2].isdecimal() for name in names):
        raise ConfigError("Features steered together are of one dictionary, each written <dictionary_id>:<index>.")
    return dictionaries.pop()


def held_features(pinned: Pinned, strengths: Sequence[tuple[str, float]]) -> list[tuple[int, float, float]]:
    """(index, strength, maximum) of features of one dictionary by id, each with its strength.

    Raises ConfigError for what is no feature of it, AtlasError where its features were not gathered yet.
    """
    maxima, held = _maxima(pinned), []
    for name, strength in strengths:
        index = int(name.rpartition(":")[2])
        if index not in maxima:
            raise ConfigError(f"{name} is no feature: the dictionary has {len(maxima)} of them.")
        held.append((index, strength, maxima[index]))
    return held


def with_picture(
    text: str, image: bytes | None, where: str, max_pixels: int | None = None
) -> "tuple[str, np.ndarray | None]":
    """The text with a mark for the picture (PNG or JPEG), before it where it has none, and the picture's pixels.

    Raises AtlasError that names `where` for a picture that is corrupt, or has more than `max_pixels`.
    """
    from sae.corpora.documents import IMAGE_MARK
    from sae.models.pictures import decode_picture

    if image is None:
        return text, None
    pixels = decode_picture(image, where, max_pixels)
    return text if IMAGE_MARK in text else f"{IMAGE_MARK} {text}", pixels


def _maxima(pinned: Pinned) -> dict[int, float]:
    """Largest activation of each feature over the data set."""
    ref = read_ref(pinned.store, Cell("features", str(pinned.ref.partition)))
    if ref is None or ref.facts.get("dictionary_id") != pinned.dictionary_id:
        raise AtlasError("The features of this dictionary were not gathered yet. `atlas run` does that.")
    frame = read_table(pinned.store.verify(ref.files["features"]))
    return dict(frame.select("index", "max_activation").iter_rows())
