"""Progress in words: what is done, how fast, how long it still takes."""

import io

import pytest

from orchestration.progress import LineProgress, progress_line


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("done", "total", "seconds", "line"),
    [
        (1_200, 4_000, 4.0, "1,200/4,000 tokens, 300/s, 9 s left"),
        (4_000, 4_000, 8.0, "4,000/4,000 tokens, 500/s"),
        (0, 4_000, 2.0, "0/4,000 tokens, 0/s"),
        (0, 0, 0.0, "0/0 tokens, 0/s"),
    ],
)
def test_line(done, total, seconds, line):
    assert progress_line(done, total, "tokens", seconds) == line


def test_off_a_terminal_a_stage_ends_with_one_whole_line():
    stream = io.StringIO()
    show = LineProgress(stream, every_s=3600).stage("train", "steps")

    for done in range(1, 101):
        show(done, 100)

    assert stream.getvalue().startswith("  train: 100/100 steps")
    assert stream.getvalue().count("\n") == 1


def test_on_a_terminal_the_line_is_rewritten():
    stream = Terminal()
    show = LineProgress(stream).stage("train", "steps")

    show(1, 1)

    assert stream.getvalue().startswith("\r\x1b[K  train: 1/1 steps")
    assert stream.getvalue().endswith("\n")
