"""Pictures as text: images that stand in a page itself."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

import numpy as np


def webp_uri(pixels: np.ndarray, quality: int, **options: Any) -> str:
    """Return a picture as a WebP ``data:`` URL.

    Parameters
    ----------
    pixels
        ``(h, w, 3)`` or, with opacity, ``(h, w, 4)``; floating-point numbers of 0 to 1.
    quality
        From 0 to 100.
    options
        Further options of Pillow's WebP encoder.
    """
    from PIL import Image

    image = Image.fromarray(np.round(pixels * 255).astype("uint8"))
    return _data_uri(image, "webp", quality=quality, **options)


def png_uri(codes: np.ndarray, colours: Mapping[int, str]) -> str:
    """Return a raster of codes as a PNG ``data:`` URL with a palette.

    Parameters
    ----------
    codes
        ``(h, w)`` uint8.
    colours
        Code to colour, hexadecimal RGB. Codes without a colour are white.
    """
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(codes))
    palette = (colours.get(code, "#ffffff") for code in range(1 + max(colours)))
    image.putpalette(b"".join(bytes.fromhex(colour[1:]) for colour in palette))
    return _data_uri(image, "png", optimize=True)


def _data_uri(image: Any, kind: str, **options: Any) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return f"data:image/{kind};base64,{b64encode(buffer.getvalue()).decode('ascii')}"
