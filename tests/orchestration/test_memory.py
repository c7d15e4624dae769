"""The peak of a stretch of work: what was held at once, not what is held now nor what was held before."""

import sys

import pytest

from orchestration import memory

SIZE = 256 * 2**20


def hold() -> None:
    block = bytearray(SIZE)
    block[::4096] = b"x" * len(block[::4096])


def test_the_peak_of_what_was_let_go_again_is_counted():
    memory.begin()
    before = memory.peak_bytes()

    hold()

    assert memory.peak_bytes() - before > 0.9 * SIZE


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts anew")
def test_each_stretch_is_counted_by_itself():
    hold()
    held = memory.peak_bytes()

    memory.begin()

    assert memory.peak_bytes() < held - 0.9 * SIZE
