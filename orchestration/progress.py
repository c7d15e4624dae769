"""Progress that people watch: stage, items done, rate, time left."""

import sys
import time
from dataclasses import dataclass, field
from typing import Protocol, TextIO


class Tick(Protocol):
    """Takes how far a stage is, and what else there is to say of it."""

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Show it, if it is time."""
        ...


@dataclass
class LineProgress:
    """One line a stage on a stream, rewritten in place on a terminal and every few seconds elsewhere."""

    stream: TextIO = field(default_factory=lambda: sys.stderr)
    every_s: float = 10.0
    """Seconds between two lines where the stream is no terminal."""

    def stage(self, name: str, unit: str) -> Tick:
        """Begin a stage: call the result with items done and their total; done = total ends the line."""
        terminal = self.stream.isatty()
        started = last = time.monotonic()

        def show(done: int, total: int, note: str = "") -> None:
            nonlocal last
            now = time.monotonic()
            finished = done >= total
            if not finished and now - last < (0.2 if terminal else self.every_s):
                return
            last = now
            line = f"  {name}: {progress_line(done, total, unit, now - started)}{note and f', {note}'}"
            if terminal:
                end = "\n" if finished else ""
                self.stream.write(f"\r\x1b[K{line}{end}")
            else:
                self.stream.write(f"{line}\n")
            self.stream.flush()

        return show


def progress_line(done: int, total: int, unit: str, seconds: float) -> str:
    """`1,200/4,000 tokens, 300/s, 9 s left`."""
    rate = done / seconds if seconds > 0 else 0.0
    text = f"{done:,}/{total:,} {unit}, {rate:,.0f}/s"
    if 0 < done < total:
        text += f", {(total - done) / rate:,.0f} s left"
    return text
