"""Write a comparison as a page to swipe between layers, zoom and read pixels: one file, without a network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ..grids.grid import crs_name, ground_resolution
from .figure import percent_text, stretch_limits, true_colour
from .images import png_uri, webp_uri
from .layers import Frame, Layer, Panels
from .templates import fill_template

QUALITY = 82
"""WebP quality of true colour, 0 to 100."""

SHORT = {
    "scl": "SCL",
    "ucl": "UCL",
    "label": "label",
    "confidence": "confidence (percent)",
    "agreement-scl": "UCL and SCL",
    "agreement-label": "UCL and label",
}
"""Short names of layers, by key."""


def swipe_page(panels: Panels, mark: str = "odc_cleansat comparison") -> str:
    """Return a page (HTML) with everything in it: true colour as WebP, layers as PNG with a palette.

    It has no more than a few megabytes, for :data:`~odc_cleansat.review.comparison.DRAWN` bounds the
    pixels of all dates together.
    """
    title = panels.title or "Masks compared"
    frames = panels.frames
    if len(frames) == 1 and frames[0].date not in ("", title):
        title += f", {frames[0].date}"
    return fill_template("swipe.html", title, _data(panels), mark)


def _data(panels: Panels) -> dict[str, Any]:
    grid, frames = panels.grid, panels.frames
    limits = stretch_limits(frame.rgb for frame in frames)
    along_y, along_x = ground_resolution(grid)
    rows, columns = grid.shape
    return {
        "size": [columns, rows],
        "transform": list(grid.affine)[:6],
        "pixel": [along_x, along_y],
        "geographic": bool(grid.crs.geographic),
        "grid": f"{columns} x {rows} pixels of {along_x:.0f} x {along_y:.0f} m, {crs_name(grid.crs)}.",
        "mode": "outline" if panels.style == "outlines" else "fill",
        "dates": [
            {
                "name": frame.date or f"date {i}",
                "rgb": _true_colour(frame.rgb, limits),
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
        "short": short_name(layer.key),
        "image": png_uri(layer.codes, {c.value: c.colour for c in layer.categories}),
        "gaps": layer.gaps,
        "categories": categories,
    }


def short_name(key: str) -> str:
    """Return the short name of a layer, by its key."""
    if key in SHORT:
        return SHORT[key]
    name = key.partition(":")[2]
    return f"UCL and {name}" if key.startswith("agreement-") else name


def _agreement(frame: Frame) -> str:
    agreed = {"SCL": frame.agreement, **frame.others}
    return " ".join(
        f"UCL and {name} agree on {', '.join(_shares(shares))} of the pixels."
        for name, shares in agreed.items()
        if shares
    )


def _shares(agreement: Mapping[str, float]) -> Iterator[str]:
    for name, value in agreement.items():
        what = "all classes" if name == "overall" else name
        yield f"{what} in {percent_text(value)}"


def _true_colour(rgb: np.ndarray, limits: tuple[float, float]) -> str:
    """A picture that is transparent without data."""
    valid = np.isfinite(rgb).all(axis=-1)
    picture = true_colour(rgb, limits)
    return webp_uri(picture if valid.all() else np.dstack([picture, valid]), QUALITY, method=4)
