"""Where the list of forgotten documents lies in a store."""

from sae.corpora.forgotten import Forgotten, forgotten_from_json, forgotten_to_json
from sae.storage import Store

PATH = "forgotten.json"


def read_forgotten(store: Store) -> Forgotten:
    """The list of a store; an empty one where nothing was ever forgotten."""
    return forgotten_from_json(store.read_bytes(PATH)) if store.exists(PATH) else Forgotten()


def write_forgotten(store: Store, forgotten: Forgotten) -> None:
    """Keep a list. Only the holder of the writer's lock may call this."""
    store.write_bytes(PATH, forgotten_to_json(forgotten))
