"""The components' scripts and styles, read from files. They are fixed text: data never enters them."""

from pathlib import Path

_FOLDER = Path(__file__).parent / "frontend"


def script(name: str) -> str:
    """The JavaScript module of a component."""
    return (_FOLDER / f"{name}.js").read_text(encoding="utf-8")


def style(name: str) -> str:
    """The styles that all components share, and the component's own."""
    return "\n".join((_FOLDER / f"{part}.css").read_text(encoding="utf-8") for part in ("base", name))
