"""Pictures as bytes and as arrays. Nothing here needs torch."""

import io

import numpy as np
from PIL import Image, UnidentifiedImageError

from sae.errors import AtlasError

_PNG = b"\x89PNG\r\n\x1a\n"


def decode_picture(data: bytes, where: str, max_pixels: int | None = None) -> np.ndarray:
    """uint8 [height, width, 3] of a PNG or JPEG.

    Raises AtlasError that names `where` when it is corrupt, and before its pixels are read when it has too many.
    """
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as picture:
            if max_pixels is not None and picture.width * picture.height > max_pixels:
                size = f"{picture.width} × {picture.height}"
                raise AtlasError(f"{where}: {size} pixels are too many, {max_pixels:,} are allowed. Make it smaller.")
            return np.asarray(picture.convert("RGB"))
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise AtlasError(
            f"{where}: the picture is corrupt, or neither PNG nor JPEG. Repair it or take it out."
        ) from error


def encode_picture(pixels: np.ndarray) -> bytes:
    """PNG bytes of uint8 [height, width, 3], the same for the same pixels."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, format="PNG")
    return out.getvalue()


def to_png(data: bytes, where: str) -> bytes:
    """A PNG as it is, a JPEG as a PNG. Raises AtlasError that names `where` when it is corrupt."""
    pixels = decode_picture(data, where)
    return data if data.startswith(_PNG) else encode_picture(pixels)
