"""Figures as the pages write them."""

from datetime import datetime


def figure(value: float | None, digits: int = 3) -> str | None:
    """A number with so many significant digits; None stays None."""
    if value is None:
        return None
    return f"{value:.{digits}g}".replace("-", "−")


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


def when(moment: datetime | str | None) -> str | None:
    """A moment to the minute."""
    return moment.strftime("%Y-%m-%d %H:%M") if isinstance(moment, datetime) else moment


def is_feature_id(text: str) -> bool:
    """Whether a text is written as `<dictionary_id>:<index>`."""
    dictionary_id, colon, index = text.rpartition(":")
    return bool(dictionary_id and colon) and index.isascii() and index.isdigit() and len(index) < 10
