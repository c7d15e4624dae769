"""What the store holds now, read in as few calls as there are folders: for one plan, or for the start of one run."""

from orchestration.partitions import Cell
from orchestration.refs import Ref, read_ref, ref_path
from sae.storage import Store


class Recorded:
    """A look at a store's refs and files. It remembers what it saw: open a new one to see what changed since."""

    def __init__(self, store: Store):
        self._store = store
        self._sizes: dict[str, dict[str, int]] = {}
        self._refs: dict[Cell, Ref | None] = {}

    def ref(self, cell: Cell) -> Ref | None:
        """The ref of a cell; None where it was never made. Raises AtlasError on a damaged one."""
        if cell not in self._refs:
            self._refs[cell] = read_ref(self._store, cell) if self._size(ref_path(cell)) is not None else None
        return self._refs[cell]

    def faults(self, ref: Ref) -> list[str]:
        """What is wrong with a ref's files at a glance, in words: missing ones, and those of another size.

        Hashes are compared where a file is opened: a plan that read everything would take as long as making it.
        """
        found = []
        for file in ref.files.values():
            size = self._size(file.path)
            if size is None:
                found.append(f"{file.path} is missing from the store")
            elif size != file.size:
                found.append(f"{file.path} is damaged: it has {size} bytes, {file.size} were written")
        return found

    def _size(self, path: str) -> int | None:
        folder = path.rpartition("/")[0]
        if folder not in self._sizes:
            self._sizes[folder] = self._store.sizes_in(folder)
        return self._sizes[folder].get(path)
