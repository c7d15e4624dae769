"""Damaged files of the store: found when a stage opens one, then set aside, so that the planner has them made again."""

from collections.abc import Iterable

from orchestration.partitions import Cell, Keys
from orchestration.planner import Graph
from orchestration.refs import read_ref
from orchestration.sources import SOURCES
from sae.errors import DamagedFileError
from sae.storage import Store


def set_aside_damaged(store: Store, cells: Iterable[Cell]) -> list[str]:
    """Hash every file that some cells hold; returns the damaged ones, which are set aside."""
    damaged = []
    for cell in cells:
        ref = read_ref(store, cell)
        for file in ref.files.values() if ref else ():
            if store.exists(file.path):
                try:
                    store.verify(file)
                except DamagedFileError:
                    store.set_aside(file.path)
                    damaged.append(file.path)
    return damaged


def all_upstream(keys: Keys, graph: Graph, cell: Cell) -> list[Cell]:
    """The cells that a cell is made from, however far upstream, sorted by name."""
    found: set[Cell] = set()
    todo = [cell]
    while todo:
        below = todo.pop()
        parents = [parent for parent in graph.parents[below.asset] if parent not in SOURCES]
        new = {up for parent in parents for up in keys.upstream(below, parent)} - found
        found |= new
        todo += new
    return sorted(found, key=str)
