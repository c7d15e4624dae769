"""The reference of the config's keys as Markdown: `python -m sae.config.reference > docs/configuration.md`."""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from itertools import pairwise
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic.fields import FieldInfo

from sae.config.atlas import AtlasConfig
from sae.config.section import Section
from sae.markdown import table_cell

_PREFACE = """\
# The config, key by key

`atlas init` writes a commented `atlas.yaml`; `ATLAS_CONFIG` names another file, `ATLAS_STORE` another store, in which
the state lies too where it is local. Relative paths start at the config's folder. An unknown key is refused with those
that are allowed. What a change makes stale is what depends on it: `atlas status` says what.

`source: huggingface` needs `pip install datasets`; an approximate index of neighbours the extra `index`, `openlineage`
the extra of that name: `pip install -e '.[index,openlineage]' -c constraints.txt`. Keys and passwords come from the
environment alone: `OPENAI_API_KEY`, `ATLAS_WEBHOOK_TOKEN`, `ATLAS_SMTP_PASSWORD`.

This page is made from `sae/config/`: `python -m sae.config.reference > docs/configuration.md`.
"""
_PLAIN = {int: "whole number", float: "number", str: "text", bool: "true or false", NoneType: "null"}
_BOUNDS = {annotated_types.Ge: ("ge", "≥"), annotated_types.Gt: ("gt", ">"), annotated_types.Le: ("le", "≤"),
           annotated_types.Lt: ("lt", "<")}  # fmt: skip


def reference() -> str:
    """Every key with its text, type and default, a table for each section, as one Markdown page."""
    parts = [_PREFACE, *(_table(path, kind) for path, kind in _sections("", AtlasConfig))]
    return "\n".join(f"{part.rstrip()}\n" for part in parts)


def _sections(path: str, kind: type[Section]) -> Iterator[tuple[str, type[Section]]]:
    """Where a section stands in the file, and those inside it."""
    yield path, kind
    for name, field in kind.model_fields.items():
        for inside, steps in _inside(field.annotation):
            yield from _sections(f"{path}.{name}{steps}".lstrip("."), inside)


def _inside(annotation: Any, steps: str = "") -> Iterator[tuple[type[Section], str]]:
    """The sections that a type holds, each with the steps to it: `[]` into a list, `.<name>` into a mapping."""
    if inspect.isclass(annotation) and issubclass(annotation, Section):
        yield annotation, steps
    steps += {tuple: "[]", dict: ".<name>"}.get(get_origin(annotation), "")
    for argument in get_args(annotation):
        yield from _inside(argument, steps)


def _table(path: str, kind: type[Section]) -> str:
    texts, chosen = _texts(kind), kind.model_fields.get("architecture")
    title = f"`{path}`" if path else "The file"
    by = f" where `architecture` is {_words(chosen.annotation)}" if chosen else ""
    lines = [f"## {title}{by}", "", inspect.cleandoc(kind.__doc__ or ""), ""]
    lines += ["| Key | What it says | Type | Default |", "|---|---|---|---|"]
    for name, field in kind.model_fields.items():
        cells = (f"`{name}`", texts.get(name, ""), _words(field.annotation, field.metadata), _default(field))
        lines.append(f"| {' | '.join(map(table_cell, cells))} |")
    return "\n".join(lines)


def _texts(kind: type[Section]) -> dict[str, str]:
    """The text below each field of a class."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    found: dict[str, str] = {}
    statements = body.body if isinstance(body, ast.ClassDef) else []
    for statement, below in pairwise(statements):
        text = below.value.value if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) else None
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and isinstance(text, str):
            found[statement.target.id] = " ".join(text.split())
    return found


def _words(annotation: Any, metadata: Any = ()) -> str:
    """A type and its bounds in words."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        inner, *more = arguments
        return _words(inner, [bound for one in more for bound in getattr(one, "metadata", [one])])
    if origin in (Union, UnionType):
        words = " or ".join(dict.fromkeys(map(_words, arguments)))
    elif origin is Literal:
        words = ", ".join(f"`{value}`" for value in arguments)
    elif origin is tuple and arguments[-1] is Ellipsis:
        words = f"list: {_words(arguments[0])}"
    elif origin is tuple:
        words = f"list of {len(arguments)}: {_words(arguments[0])}"
    elif origin is dict:
        words = f"mapping: {_words(arguments[1])}"
    else:
        words = _PLAIN.get(annotation, "section")
    bounds = [f"{sign} {getattr(one, name):g}" for one in metadata for kind, (name, sign) in _BOUNDS.items()
              if isinstance(one, kind)]  # fmt: skip
    return ", ".join([words, *bounds])


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if field.is_required():
        return "must be given"
    if isinstance(value, Section) or value is None or value == ():
        return ""
    return f"`{list(value) if isinstance(value, tuple) else value}`"


if __name__ == "__main__":
    print(reference(), end="")
