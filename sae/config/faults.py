"""What is wrong with a config, in one line: the key, what was found, and what is allowed."""

from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError


def first_fault(error: ValidationError, root: type[BaseModel]) -> str:
    """The first fault of a validation of `root` in words, and how many more there are."""
    faults = error.errors(include_url=False)
    fault, context = faults[0], faults[0].get("ctx", {})
    keys, section = _keys(fault["loc"], root)
    if fault["type"].startswith("union_tag"):
        keys.append(context["discriminator"].strip("'"))
    key = ".".join(keys) or "config"
    more = f" ({len(faults) - 1} more)" if len(faults) > 1 else ""
    match fault["type"]:
        case "extra_forbidden":
            allowed = ", ".join(sorted(getattr(section, "model_fields", {})))
            return f"unknown key `{key}`. Allowed here: {allowed}{more}"
        case "missing" | "union_tag_not_found":
            return f"`{key}` is missing{more}"
        case "union_tag_invalid":
            return f"`{key}`: one of {context['expected_tags']} is wanted, found {context['tag']!r}{more}"
    found = "" if isinstance(fault["input"], dict) else f", found {fault['input']!r}"
    return f"`{key}`: {fault['msg'].removeprefix('Value error, ')}{found}{more}"


def _keys(location: tuple[Any, ...], root: type[BaseModel]) -> tuple[list[str], Any]:
    """A fault's location as the file has it, and the section that its last key lies in.

    Pydantic puts the value that chooses between two sections into the location; the file has no key of that name.
    """
    keys: list[str] = []
    section: Any = root
    holder: Any = root
    for part in location:
        if (chosen := _chosen(section, part)) is not None:
            section = chosen
            continue
        keys.append(str(part))
        holder = section if hasattr(section, "model_fields") else _first_section(section)
        if part in getattr(holder, "model_fields", {}):
            section = holder.model_fields[part].annotation
        else:
            arguments = get_args(section)
            section = arguments[-1 if get_origin(section) is dict else 0] if arguments else None
    return keys, holder


def _chosen(section: Any, part: Any) -> Any:
    """The section of a union that its discriminator's value `part` chooses; None where that is no such union."""
    if get_origin(section) is not Annotated:
        return None
    union, *marks = get_args(section)
    name = next((mark.discriminator for mark in marks if getattr(mark, "discriminator", None)), None)
    for member in get_args(union):
        if name and part in get_args(member.model_fields[name].annotation):
            return member
    return None


def _first_section(annotation: Any) -> Any:
    """The section among the members of a union like `Section | None`."""
    if get_origin(annotation) in (Union, UnionType):
        return next((member for member in get_args(annotation) if hasattr(member, "model_fields")), None)
    return None
