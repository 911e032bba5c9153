"""A comparison as a page: swipe between layers, zoom and read pixels, in one file and without a network."""

from __future__ import annotations

import html
import io
import json
from base64 import b64encode
from collections.abc import Iterator, Mapping
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np

from ..grids.grid import crs_name, ground_resolution
from .figure import percent_text, stretch_limits, true_colour

if TYPE_CHECKING:
    from .comparison import Comparison
    from .layers import Frame, Layer


QUALITY = 82
"""Of the true colour, WebP's 0 to 100."""

SHORT = {
    "scl": "SCL",
    "ucl": "UCL",
    "label": "label",
    "confidence": "confidence (percent)",
    "agreement-scl": "UCL and SCL",
    "agreement-label": "UCL and label",
}
"""What layers are called where there is little room."""


def swipe_page(comparison: Comparison) -> str:
    """A page (HTML) with everything in it: true colour as WebP, layers as indexed PNG, plain JavaScript.

    No more than a few megabytes, as :data:`~odc_cleansat.review.comparison.DRAWN` bounds the pixels of
    all dates together.
    """
    title = comparison.title or "Masks compared"
    frames = comparison.frames
    if len(frames) == 1 and frames[0].date not in ("", title):
        title += f", {frames[0].date}"
    # No tag can end the element that holds it.
    data = json.dumps(_data(comparison), allow_nan=False).replace("<", "\\u003c")
    template = resources.files(__package__).joinpath("swipe.html").read_text(encoding="utf-8")
    head, _, tail = template.partition("__DATA__")
    return head.replace("__TITLE__", html.escape(title)) + data + tail


def _data(comparison: Comparison) -> dict[str, Any]:
    grid, frames = comparison.grid, comparison.frames
    limits = stretch_limits(frame.rgb for frame in frames)
    along_y, along_x = ground_resolution(grid)
    rows, columns = grid.shape
    return {
        "size": [columns, rows],
        "transform": list(grid.affine)[:6],
        "pixel": [along_x, along_y],
        "geographic": bool(grid.crs.geographic),
        "grid": f"{columns} x {rows} pixels of {along_x:.0f} x {along_y:.0f} m, {crs_name(grid.crs)}.",
        "mode": "outline" if comparison.style == "outlines" else "fill",
        "dates": [
            {
                "name": frame.date or f"date {i}",
                "rgb": _webp(frame.rgb, limits),
                "agreement": _agreement(frame),
                "layers": [_layer(layer) for layer in frame.layers],
            }
            for i, frame in enumerate(frames, start=1)
        ],
    }


def _layer(layer: Layer) -> dict[str, Any]:
    listed = layer.listed
    categories = [
        {
            "value": c.value,
            "name": c.name,
            "colour": c.colour,
            "background": c.background,
            "listed": c in listed,
            "percent": percent_text(layer.percent[c.value]),
        }
        for c in layer.categories
    ]
    return {
        "key": layer.key,
        "name": layer.name,
        "short": SHORT[layer.key],
        "image": _png(layer),
        "gaps": layer.gaps,
        "categories": categories,
    }


def _agreement(frame: Frame) -> str:
    if not frame.agreement:
        return ""
    return f"UCL and SCL agree on {', '.join(_shares(frame.agreement))} of the pixels."


def _shares(agreement: Mapping[str, float]) -> Iterator[str]:
    for name, value in agreement.items():
        what = "all classes" if name == "overall" else name
        yield f"{what} in {percent_text(value)}"


def _webp(rgb: np.ndarray, limits: tuple[float, float]) -> str:
    """True colour, transparent without data."""
    from PIL import Image

    valid = np.isfinite(rgb).all(axis=-1)
    pixels = np.dstack([true_colour(rgb, limits), valid]) * 255
    pixels = np.round(pixels if not valid.all() else pixels[..., :3]).astype("uint8")
    return _uri(Image.fromarray(pixels), "webp", quality=QUALITY, method=4)


def _png(layer: Layer) -> str:
    """Indexed: each value has its category's colour, nodata white."""
    from PIL import Image

    colours = dict.fromkeys(range(1 + max(c.value for c in layer.categories)), "#ffffff")
    colours |= {c.value: c.colour for c in layer.categories}
    palette = b"".join(bytes.fromhex(colour[1:]) for colour in colours.values())
    image = Image.fromarray(np.ascontiguousarray(layer.codes))
    image.putpalette(palette)
    return _uri(image, "png", optimize=True)


def _uri(image: Any, kind: str, **options: Any) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return f"data:image/{kind};base64,{b64encode(buffer.getvalue()).decode('ascii')}"
