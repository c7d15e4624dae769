"""Figures as the pages write them."""

from datetime import datetime
from typing import Any


def figure(value: float | None, digits: int = 3) -> str | None:
    """A number with so many significant digits; None stays None."""
    if value is None:
        return None
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.{digits}g}"
    return text.replace("-", "−")


def share(value: float | None) -> str | None:
    """A fraction in percent; what is not quite all never reads as 100%."""
    if value is None:
        return None
    if 0.995 <= value < 1:
        return f"{min(value, 0.999):.1%}"
    return f"{value:.0%}" if value == 0 or value >= 0.1 else f"{value * 100:.2g}%"


def one_in(density: float | None) -> str:
    """A density in words: on how many tokens the feature fires."""
    if not density:
        return "never"
    return f"1 in {round(1 / density):,} tokens" if density < 0.5 else f"{density:.0%} of tokens"


def mix(shares: Any) -> str | None:
    """The largest parts of a MAP column, which arrives as a mapping or as a list of entries."""
    if not shares:
        return None
    pairs = list(shares.items()) if isinstance(shares, dict) else [(entry["key"], entry["value"]) for entry in shares]
    whole = sum(value for _, value in pairs) or 1
    largest = sorted(pairs, key=lambda pair: -pair[1])[:4]
    return ", ".join(f"{name} {value / whole:.0%}" for name, value in largest if value / whole >= 0.005)


def when(moment: datetime | str | None) -> str | None:
    """A moment to the minute."""
    return moment.strftime("%Y-%m-%d %H:%M") if isinstance(moment, datetime) else moment


def counted(n: int, noun: str) -> str:
    """A number of things that take an s."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def ago(moment: datetime, now: datetime) -> str:
    """How long ago a moment was, in its largest unit."""
    seconds = (now - moment).total_seconds()
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if (n := int(seconds // size)) >= 1:
            return f"{counted(n, unit)} ago"
    return "just now"


def lasted(seconds: float | None) -> str | None:
    """A duration in the largest unit that says it well."""
    if seconds is None:
        return None
    if seconds < 60:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def is_feature_id(text: str) -> bool:
    """Whether a text is written as `<dictionary_id>:<index>`."""
    dictionary_id, colon, index = text.rpartition(":")
    return bool(dictionary_id and colon) and index.isascii() and index.isdigit() and len(index) < 10
