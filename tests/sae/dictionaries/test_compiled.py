import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sae.dictionaries.compiled import over_parts

READS_AND_COMPILES = """
from kernel import double
print(double(21))
"""


def run(folder: Path, **environment: str) -> str:
    paths = os.pathsep.join([str(folder), str(Path(__file__).parents[3])])
    done = subprocess.run(
        [sys.executable, "-B", "-c", READS_AND_COMPILES],
        env={**os.environ, "PYTHONPATH": paths, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    source = "from sae.dictionaries.compiled import compiled\n\n\n@compiled\ndef double(x):\n    return 2 * x\n"
    (tmp_path / "kernel.py").write_text(source)
    return tmp_path


def test_machine_code_is_kept_beside_the_source(folder: Path) -> None:
    assert run(folder) == "42"

    assert list(folder.glob("__pycache__/*.nbc"))


def test_where_nothing_can_be_written_it_is_made_anew(folder: Path) -> None:
    # Files stand where the folders of the cache would be: that stops even an administrator from writing there.
    (folder / "__pycache__").write_text("")
    (folder / "home").write_text("")

    assert run(folder, HOME=str(folder / "home"), XDG_CACHE_HOME=str(folder / "home"), NUMBA_CACHE_DIR="") == "42"


def test_parts_cover_the_range_once_and_a_fault_in_one_is_raised() -> None:
    seen = np.zeros(1000, int)

    def mark(start: int, stop: int, out: np.ndarray) -> None:
        out[start:stop] += 1

    def fail(start: int, stop: int) -> None:
        raise ZeroDivisionError(start, stop)

    over_parts(1000, mark, seen)
    over_parts(0, mark, seen)

    assert (seen == 1).all()
    with pytest.raises(ZeroDivisionError):
        over_parts(3, fail)
