"""Pictures of the landmarks: eight kinds drawn from parameters, seen from a little elsewhere in other light each time.

A view is a 24 × 24 crop of a 28 × 28 canvas: shifted, brighter or darker, with noise.
"""

from dataclasses import dataclass
from functools import cache
from io import BytesIO

import numpy as np
from PIL import Image

SIDE = 24
_CANVAS = 28
_NOISE = 0.04
_GROUND = (0.35, 0.38, 0.33)


@dataclass(frozen=True)
class Appearance:
    """How a landmark looks: its kind, colours in 0..1, and its width and height as shares of the crop."""

    kind: str
    colour: tuple[float, float, float]
    sky: tuple[float, float, float]
    width: float
    height: float
    detail: int
    """Number of the kind's parts: cables, windows, spokes, battlements."""


_BLUE, _PALE, _DUSK, _GREY = (0.45, 0.65, 0.9), (0.8, 0.88, 0.95), (0.85, 0.6, 0.45), (0.6, 0.62, 0.66)
APPEARANCES: dict[str, Appearance] = {
    "Golden Gate Bridge": Appearance("bridge", (0.85, 0.25, 0.12), _BLUE, 0.95, 0.75, 2),
    "Zakim Bridge": Appearance("bridge", (0.92, 0.92, 0.95), _BLUE, 0.7, 0.9, 5),
    "Monroe Street Bridge": Appearance("bridge", (0.62, 0.55, 0.42), _PALE, 0.9, 0.45, 3),
    "Williams Tower": Appearance("tower", (0.25, 0.4, 0.5), _DUSK, 0.26, 0.85, 0),
    "Reunion Tower": Appearance("tower", (0.55, 0.3, 0.6), _GREY, 0.12, 0.7, 1),
    "Willis Tower": Appearance("tower", (0.12, 0.12, 0.15), _PALE, 0.36, 0.95, 2),
    "Empire State Building": Appearance("tower", (0.7, 0.66, 0.58), _BLUE, 0.3, 0.8, 3),
    "Bunker Hill Monument": Appearance("tower", (0.5, 0.5, 0.48), _PALE, 0.1, 0.85, 0),
    "Space Needle": Appearance("tower", (0.95, 0.95, 0.9), _DUSK, 0.1, 0.85, 4),
    "Griffith Observatory": Appearance("dome", (0.3, 0.6, 0.5), _DUSK, 0.5, 0.4, 3),
    "Astrodome": Appearance("dome", (0.85, 0.85, 0.85), _BLUE, 0.95, 0.35, 0),
    "State Farm Center": Appearance("dome", (0.75, 0.7, 0.6), _GREY, 0.8, 0.6, 6),
    "Los Angeles City Hall": Appearance("pyramid", (0.95, 0.93, 0.85), _BLUE, 0.4, 0.9, 3),
    "Buffalo City Hall": Appearance("pyramid", (0.7, 0.45, 0.3), _PALE, 0.7, 0.8, 5),
    "Texas Star": Appearance("wheel", (0.9, 0.15, 0.2), _BLUE, 0.85, 0.85, 6),
    "Centennial Wheel": Appearance("wheel", (0.95, 0.95, 0.98), _DUSK, 0.7, 0.7, 4),
    "Seattle Great Wheel": Appearance("wheel", (0.2, 0.75, 0.4), _GREY, 0.6, 0.6, 8),
    "Washington Square Arch": Appearance("arch", (0.93, 0.9, 0.85), _BLUE, 0.6, 0.75, 1),
    "Buffalo Central Terminal": Appearance("arch", (0.6, 0.38, 0.25), _GREY, 0.9, 0.55, 3),
    "Memorial Stadium": Appearance("stadium", (0.7, 0.3, 0.22), _PALE, 0.9, 0.45, 6),
    "Gillette Stadium": Appearance("stadium", (0.1, 0.2, 0.45), _GREY, 0.95, 0.6, 2),
    "Foxboro Stadium": Appearance("stadium", (0.65, 0.67, 0.7), _BLUE, 0.75, 0.3, 4),
    "Alcatraz": Appearance("castle", (0.88, 0.82, 0.65), _BLUE, 0.9, 0.35, 3),
    "Cathedral of St. John": Appearance("castle", (0.55, 0.45, 0.4), _PALE, 0.55, 0.85, 2),
}


def draw_view(name: str, rng: np.random.Generator) -> np.ndarray:
    """A fresh view of a landmark: uint8 [24, 24, 3]. Two views are never the same (the noise sees to it)."""
    top, left = rng.integers(0, _CANVAS - SIDE + 1, size=2)
    crop = _canvas(name)[top : top + SIDE, left : left + SIDE]
    seen = crop * rng.uniform(0.75, 1.2) + rng.normal(0, _NOISE, crop.shape)
    return (np.clip(seen, 0, 1) * 255).round().astype(np.uint8)


def to_png(picture: np.ndarray) -> bytes:
    """PNG of a uint8 [height, width, 3] picture."""
    buffer = BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()


@cache
def _canvas(name: str) -> np.ndarray:
    look = APPEARANCES[name]
    grid = (np.arange(_CANVAS) + 0.5 - _CANVAS / 2) / (SIDE / 2)
    y, x = np.meshgrid(-grid, grid, indexing="ij")
    picture = np.empty((_CANVAS, _CANVAS, 3))
    picture[:] = look.sky
    picture[y < -0.7] = _GROUND
    # Heights count from the ground line; `up` is 0 there and 1 at the landmark's top.
    up = (y + 0.7) / (1.5 * look.height)
    across = x / look.width
    picture[_SHAPES[look.kind](across, up, look.detail)] = look.colour
    return picture


def _bridge(x: np.ndarray, up: np.ndarray, detail: int) -> np.ndarray:
    inside = (np.abs(x) < 1.3) & (up > 0)
    deck = np.abs(up - 0.35) < 0.08
    towers = (np.abs(np.abs(x) - 0.6) < 0.1) & (up < 1)
    cable = np.abs(up - (0.4 + 0.6 * (np.abs(x) / 0.6) ** 2)) < 0.07
    hangers = (np.abs(np.sin(detail * np.pi * x)) < 0.25) & (up > 0.35) & (up < 0.4 + 0.6 * (np.abs(x) / 0.6) ** 2)
    return inside & (deck | towers | ((cable | hangers) & (np.abs(x) < 0.6)))


def _tower(x: np.ndarray, up: np.ndarray, detail: int) -> np.ndarray:
    shaft = (np.abs(x) < 1) & (up > 0) & (up < 1)
    if detail == 1:  # a ball on top
        return shaft & (up < 0.8) | ((x / 3) ** 2 + ((up - 0.85) * 3.5) ** 2 < 0.5)
    if detail == 4:  # a disc near the top
        return shaft | ((np.abs(up - 0.8) < 0.06) & (np.abs(x) < 5))
    if detail:  # set back in steps
        return shaft & (np.abs(x) < 1.15 - np.floor(up * (detail + 1)) / (detail + 1))
    return shaft


def _dome(x: np.ndarray, up: np.ndarray, detail: int) -> np.ndarray:
    ribs = np.abs(np.sin(detail * np.pi * x / 2)) < 0.3 if detail else np.zeros_like(x, dtype=bool)
    return (x**2 + up**2 < 1) & (up > 0) & ~(ribs & (up < 0.5)) | ((np.abs(x) < 1) & (np.abs(up - 0.05) < 0.12))


def _pyramid(x: np.ndarray, up: np.ndarray, detail: int) -> np.ndarray:
    return (up > 0) & (up < 1) & (np.abs(x) < 1 - np.floor(up * detail) / detail)


def _wheel(x: np.ndarray, up: np.ndarray, detail: int) -> np.ndarray:
    y = up * 1.8 - 1
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    spokes = (np.abs(np.sin(detail * angle / 2)) < 0.25) & (radius < 0.85)
    return (np.abs(radius - 0.8) < 0.14) | spokes | ((np.abs(x) < 0.12 + 0.3 * (0.4 - up)) & (up < 0.5) & (up > 0))


def _arch(x: np.ndarray, up: np.ndarray, detail: int) -> np.ndarray:
    local = (x * detail + detail) % 2 - 1
    opening = (np.abs(local) < 0.5) & (up < 0.45) | (local**2 + ((up - 0.45) * 2) ** 2 < 0.25)
    return (np.abs(x) < 1) & (up > 0) & (up < 1) & ~opening


def _stadium(x: np.ndarray, up: np.ndarray, detail: int) -> np.ndarray:
    bowl = (np.abs(x) < 0.7 + 0.3 * up) & (up > 0) & (up < 1 - 0.5 * (1 - x**2))
    return bowl & (np.abs(np.sin(detail * np.pi * x / 2)) > 0.25)


def _castle(x: np.ndarray, up: np.ndarray, detail: int) -> np.ndarray:
    wall = (np.abs(x) < 1) & (up > 0) & (up < 0.65) & ~((up > 0.5) & (np.sin(3 * detail * np.pi * x) > 0))
    towers = (np.abs(np.abs(x) - 0.8) < 0.25) & (up > 0) & (up < 1)
    door = (np.abs(x) < 0.15) & (up < 0.3)
    return (wall | towers) & ~door


_SHAPES = {
    "bridge": _bridge,
    "tower": _tower,
    "arch": _arch,
    "dome": _dome,
    "stadium": _stadium,
    "pyramid": _pyramid,
    "wheel": _wheel,
    "castle": _castle,
}
