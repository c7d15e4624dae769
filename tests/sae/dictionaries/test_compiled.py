import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from sae.dictionaries.compiled import over_parts

DOUBLES = """
import sys
import numpy as np
from kernel import double
x, out = np.arange(6, dtype=np.float32), np.zeros(3, np.float32)
double((x[::2], 21), out)
print(*out, "numba" in sys.modules)
"""
KERNEL = """
import numpy as np
from sae.dictionaries.compiled import compiled

@compiled
def twice(value):
    return 2 * value

@compiled
def double(given, out):
    x, added = given
    for i in range(len(x)):
        out[i] = twice(x[i]) + added
"""
EXPECTED = "21.0 25.0 29.0 False"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "kernel.py").write_text(KERNEL)
    return tmp_path


def start(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join([str(folder), str(Path(__file__).parents[3])])
    return subprocess.run(
        [sys.executable, "-B", "-c", DOUBLES],
        env={**os.environ, "PYTHONPATH": paths, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def run(folder: Path, **environment: str) -> str:
    done = start(folder, **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_machine_code_is_kept_beside_the_source_and_used_again_unless_it_is_damaged(folder: Path) -> None:
    assert run(folder) == EXPECTED
    (kept,) = folder.glob("__pycache__/kernel.double-*.o")
    content, written = kept.read_bytes(), kept.stat().st_mtime_ns

    assert run(folder) == EXPECTED
    assert kept.stat().st_mtime_ns == written
    kept.write_bytes(content[:-1])
    assert run(folder) == EXPECTED
    assert len(kept.read_bytes()) > len(content) / 2
    assert kept.read_bytes() != content[:-1]


def test_where_nothing_can_be_written_it_is_made_anew(folder: Path) -> None:
    # Files stand where the folders of the cache would be: that stops even an administrator from writing there.
    (folder / "__pycache__").write_text("")
    (folder / "home").write_text("")

    assert run(folder, HOME=str(folder / "home"), XDG_CACHE_HOME=str(folder / "home")) == EXPECTED


def test_a_kernel_that_allocates_is_refused(folder: Path) -> None:
    source = KERNEL.replace("x, added = given", "x, added = np.zeros(given[0].shape), given[1]")
    (folder / "kernel.py").write_text(source)

    done = start(folder)

    assert done.returncode != 0
    assert "kernel.py: double cannot be compiled" in done.stderr


@pytest.mark.parametrize("threads", [1, 2])
def test_parts_cover_the_range_once_with_room_of_their_own(threads: int) -> None:
    seen, rooms = np.zeros(1000, int), set()

    def mark(begin: int, stop: int, out: np.ndarray, room: np.ndarray) -> None:
        out[begin:stop] += 1
        rooms.add((len(room), room.dtype.name))

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    over_parts(1000, mark, seen, room=((7, np.int32),))
    over_parts(0, mark, seen, room=((7, np.int32),))
    torch.set_num_threads(before)

    assert (seen == 1).all()
    assert rooms == {(7, "int32")}


def test_a_fault_in_one_part_is_raised() -> None:
    def fail(begin: int, stop: int) -> None:
        raise ZeroDivisionError(begin, stop)

    with pytest.raises(ZeroDivisionError):
        over_parts(3, fail)
