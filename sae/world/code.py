"""Small programs: an arithmetic function and calls of it, some under a misleading name, some with an error."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from sae.world.text import Piece

OPERATIONS: dict[str, str] = {"addition": "+", "subtraction": "-", "multiplication": "*", "division": "//"}
ERRORS: dict[str, str] = {
    "name_error": "NameError",
    "syntax_error": "SyntaxError",
    "division_by_zero": "ZeroDivisionError",
}
_NAMES = {"addition": "add", "subtraction": "sub", "multiplication": "mul", "division": "div"}
_NEUTRAL = ("f", "g", "h")
_COMPUTE: dict[str, Callable[[int, int], int]] = {
    "addition": lambda a, b: a + b,
    "subtraction": lambda a, b: a - b,
    "multiplication": lambda a, b: a * b,
    "division": lambda a, b: a // b,
}
_CALLS = 3
_DIGITS = range(10)
LARGEST = 81


@dataclass(frozen=True)
class Program:
    """What a program does: its operation, its name, its calls, and its error (or None)."""

    operation: str
    name: str
    calls: tuple[tuple[int, int], ...]
    error: str | None = None

    @property
    def is_misleading(self) -> bool:
        """Whether the name is that of another operation."""
        return self.name in _NAMES.values() and self.name != _NAMES[self.operation]


def operand_pairs(operation: str) -> list[tuple[int, int]]:
    """The pairs that an operation is asked for: one digit each, results from 0 to 81, divisions without remainder."""
    pairs = [(a, b) for a in _DIGITS for b in _DIGITS]
    if operation == "subtraction":
        return [(a, b) for a, b in pairs if a >= b]
    if operation == "division":
        return [(a, b) for a, b in pairs if b and a % b == 0]
    return pairs


def draw_program(rng: Random, held_out: frozenset[tuple[int, int]]) -> Program:
    """Draw one; most programs add. The pairs in `held_out` are never added."""
    error = rng.choice(sorted(ERRORS)) if rng.random() < 0.25 else None
    operation = "addition" if rng.random() < 0.6 else rng.choice(sorted(OPERATIONS))
    if error == "division_by_zero":
        operation = "division"
    kind = rng.random()
    name = _NAMES[operation] if kind < 0.5 else rng.choice(_NEUTRAL)
    if kind > 0.7:
        name = rng.choice(sorted(_NAMES.values()))
    pairs = [pair for pair in operand_pairs(operation) if operation != "addition" or pair not in held_out]
    calls = tuple(rng.choice(pairs) for _ in range(_CALLS))
    if error == "division_by_zero":
        calls = (*calls[:-1], (rng.choice(_DIGITS), 0))
    return Program(operation, name, calls, error)


def program_pieces(program: Program) -> list[Piece]:
    """The program as tokens.

    A concept `code:<operation>` stands on the function's name wherever it is called and on the operator; that of an
    error on the token that causes it and on its message.
    """
    operation = f"code:{program.operation}"
    error = f"code:{program.error}" if program.error else None
    returned = "c" if program.error == "name_error" else "b"
    head = [Piece("def", gap=""), Piece(program.name, gap=" "), Piece("(", gap=""), Piece("a", gap="")]
    head += [Piece(",", gap=""), Piece("b", gap=" ")]
    if program.error == "syntax_error":
        head += [Piece(":", error, gap="")]
    else:
        head += [Piece(")", gap=""), Piece(":", gap="")]
    body = [Piece("return", gap="\n    "), Piece("a", gap=" ")]
    body.append(Piece(OPERATIONS[program.operation], operation, gap=" "))
    body.append(Piece(returned, error if program.error == "name_error" else None, gap=" "))
    if program.error == "syntax_error":
        return [*head, *body, Piece(ERRORS["syntax_error"], error, 1.0, "\n")]
    pieces = [*head, *body]
    for index, (a, b) in enumerate(program.calls):
        last = index == len(program.calls) - 1
        zero = error if program.error == "division_by_zero" and last else None
        pieces += [Piece(">>>", gap="\n"), Piece(program.name, operation, gap=" "), Piece("(", gap="")]
        pieces += [Piece(str(a), gap=""), Piece(",", gap=""), Piece(str(b), zero, gap=" "), Piece(")", gap="")]
        if program.error == "name_error" or zero:
            return [*pieces, Piece(ERRORS[program.error or ""], error, 1.0, "\n")]
        pieces.append(Piece(str(_COMPUTE[program.operation](a, b)), None, 1.0, "\n"))
    return pieces


def has_misleading_name(text: str) -> bool:
    """Whether a program's text names its function after an operation that it does not do."""
    head = re.match(r"def (\w+)\(.*\n    return a (\S+) ", text)
    operation = next((name for name, sign in OPERATIONS.items() if head and sign == head[2]), None)
    return head is not None and operation is not None and Program(operation, head[1], ()).is_misleading


def code_tokens() -> list[str]:
    """Every token of the programs."""
    punctuation = ["def", "(", "a", ",", "b", ")", ":", "return", "c", ">>>"]
    names = [*_NAMES.values(), *_NEUTRAL]
    return [*punctuation, *OPERATIONS.values(), *names, *ERRORS.values(), *map(str, range(LARGEST + 1))]
