"""The map: a dictionary's features as points, quantised to 13 bytes each, drawn on a canvas in the browser."""

import json
import struct
from typing import Literal

import numpy as np
import polars as pl
from streamlit.components.v2 import component

from catalog_ui.components.sources import script, style

LABELS_SENT = 20_000
"""Maps with more features leave the labels on the server; a click fetches one."""
POINTS_SHOWN = 400_000
"""Beyond this the densest features are shown, and the page says so."""
_COLOURS = 12
_RAMP = 9
_NO_CLUSTER = 65_535
_NO_COLOUR = 255

_mount = component("feature_map", css=style("feature_map"), js=script("feature_map"))


def feature_map(payload: bytes, key: str) -> int | None:
    """Draw a payload of `encode_map`; the index of the feature that was clicked last, if one was."""
    selected = _mount(key=key, data=payload, on_selected_change=lambda: None).selected
    return selected if isinstance(selected, int) else None


def encode_map(
    points: pl.DataFrame,
    clusters: pl.DataFrame,
    name: str,
    colour: Literal["cluster", "density"] = "cluster",
    highlight: str = "",
) -> bytes:
    """Quantise a map.

    points: index, x, y, cluster_id, density, label (one row a feature); clusters: cluster_id, label, x, y.
    Coordinates become 16-bit fractions of the larger of the two extents, so that the map keeps its proportions.
    Features whose label does not contain `highlight` are drawn faint.
    """
    n = points.height
    xy = points.select("x", "y").to_numpy().astype(np.float64)
    low, extent = (xy.min(axis=0), max(float(np.ptp(xy, axis=0).max()), 1e-9)) if n else (np.zeros(2), 1.0)
    centring = 0.5 - (np.ptp(xy, axis=0) / extent / 2 if n else np.zeros(2))
    fractions = (xy - low) / extent + centring
    rows = {cluster_id: row for row, cluster_id in enumerate(clusters["cluster_id"])}
    cluster = np.array([rows.get(c, _NO_CLUSTER) for c in points["cluster_id"]], dtype="<u2")
    density = points["density"].fill_null(0).to_numpy()
    level = _levels(density)
    colours = (
        (level * (_RAMP - 1)).round().astype("u1")
        if colour == "density"
        else np.where(cluster == _NO_CLUSTER, _NO_COLOUR, points["cluster_id"].to_numpy() % _COLOURS).astype("u1")
    )
    labels = points["label"].fill_null("")
    lit = labels.str.to_lowercase().str.contains(highlight.lower(), literal=True).to_numpy()
    centres = ((clusters.select("x", "y").to_numpy().astype(np.float64) - low) / extent + centring) * _NO_CLUSTER
    header = {
        "n": n,
        "map": name,
        "ramp": colour == "density",
        "clusters": [
            {"name": label or f"cluster {cluster_id}", "x": round(float(x)), "y": round(float(y))}
            for cluster_id, label, (x, y) in zip(clusters["cluster_id"], clusters["label"], centres, strict=True)
        ],
        "labels": labels.to_list() if n <= LABELS_SENT else None,
    }
    text = json.dumps(header, ensure_ascii=False).encode()
    text += b" " * (-len(text) % 4)
    quantised = (fractions * _NO_CLUSTER).round().clip(0, _NO_CLUSTER).astype("<u2")
    columns = (
        points["index"].to_numpy().astype("<u4"),
        quantised[:, 0],
        quantised[:, 1],
        cluster,
        colours,
        (level * 255).astype("u1"),
        lit.astype("u1"),
    )
    return struct.pack("<I", len(text)) + text + b"".join(np.ascontiguousarray(column).tobytes() for column in columns)


def _levels(density: np.ndarray) -> np.ndarray:
    """Log density scaled to 0..1 over the live features."""
    logs = np.log10(np.where(density > 0, density, np.nan))
    if not np.isfinite(logs).any():
        return np.zeros(len(density))
    low, high = np.nanmin(logs), np.nanmax(logs)
    return np.nan_to_num((logs - low) / max(high - low, 1e-9))
