"""What is wrong with a config, in one line: the key, what was found, and what is allowed."""

from typing import Any

from pydantic import BaseModel, ValidationError


def first_fault(error: ValidationError, root: type[BaseModel]) -> str:
    """The first fault of a validation of `root` in words, and how many more there are."""
    faults = error.errors(include_url=False)
    fault = faults[0]
    key = ".".join(str(part) for part in fault["loc"]) or "config"
    more = f" ({len(faults) - 1} more)" if len(faults) > 1 else ""
    if fault["type"] == "extra_forbidden":
        allowed = ", ".join(_allowed_keys(fault["loc"], root))
        return f"unknown key `{key}`. Allowed here: {allowed}{more}"
    if fault["type"] == "missing":
        return f"`{key}` is missing{more}"
    found = "" if isinstance(fault["input"], dict) else f", found {fault['input']!r}"
    return f"`{key}`: {fault['msg'].removeprefix('Value error, ')}{found}{more}"


def _allowed_keys(location: tuple[Any, ...], root: type[BaseModel]) -> list[str]:
    """The keys of the section that `location` lies in, found along the fields' annotations."""
    section: Any = root
    for part in location[:-1]:
        if isinstance(part, str) and isinstance(section, type) and part in section.model_fields:
            section = section.model_fields[part].annotation
        elif hasattr(section, "__args__"):
            section = section.__args__[-1] if section.__origin__ is dict else section.__args__[0]
    if hasattr(section, "__args__"):
        section = next((a for a in section.__args__ if hasattr(a, "model_fields")), section)
    return sorted(getattr(section, "model_fields", {}))
