"""The commands that a page of documentation tells people to type, read out of its fenced blocks."""

import shlex
from collections.abc import Iterator
from pathlib import Path

import sae

ROOT = Path(sae.__file__).parents[1]


def blocks(page: str, language: str) -> list[str]:
    """The texts of the fenced blocks of that language; `page` is a path from the repository's root."""
    found: list[str] = []
    lines: list[str] | None = None
    for line in (ROOT / page).read_text(encoding="utf-8").splitlines():
        if lines is None and line == f"```{language}":
            lines = []
        elif lines is not None and line == "```":
            found.append("\n".join(lines))
            lines = None
        elif lines is not None:
            lines.append(line)
    return found


def commands(page: str) -> list[list[str]]:
    """Every command, as a list of words: the lines of bash blocks, and those after `$ ` of console blocks.

    Variables set before a command are left out; a quote may run over lines.
    """
    shells = [line for block in blocks(page, "bash") for line in _whole(block.splitlines(), "")]
    consoles = [line for block in blocks(page, "console") for line in _whole(block.splitlines(), "$ ")]
    words = [shlex.split(line, comments=True) for line in shells + consoles]
    return [[*_without_variables(line)] for line in words if line]


def _whole(lines: list[str], prompt: str) -> Iterator[str]:
    command: str | None = None
    for line in lines:
        if command is None and not line.startswith(prompt):
            continue
        command = line.removeprefix(prompt) if command is None else f"{command}\n{line}"
        if _is_closed(command):
            yield command
            command = None
    assert command is None, f"a quote stays open: {command}"


def _is_closed(command: str) -> bool:
    try:
        shlex.split(command, comments=True)
    except ValueError:
        return False
    return True


def _without_variables(words: list[str]) -> Iterator[str]:
    is_command = False
    for word in words:
        is_command = is_command or "=" not in word
        if is_command:
            yield word
