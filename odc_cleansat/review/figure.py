"""Masks side by side in one picture: true colour, Sen2Cor's SCL and the UCL."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..classes import CloudClass, class_percent, scl_to_ucl
from ..errors import SceneError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from odc.geo.geobox import GeoBox

PANEL = 2000
"""Greatest number of pixels along a side of a panel that are drawn."""
SHOWN = (CloudClass.CLEAR, CloudClass.CLOUD, CloudClass.THIN_CLOUD, CloudClass.SHADOW)


def compare(
    rgb: np.ndarray,
    ucl: np.ndarray,
    geobox: GeoBox,
    path: Path,
    *,
    scl: np.ndarray | None = None,
    scl_name: str = "SCL (Sen2Cor)",
    title: str = "",
) -> Path:
    """Draw RGB | SCL (cloud classes only) | UCL side by side.

    Parameters
    ----------
    rgb
        ``(h, w, 3)`` reflectance, NaN without data.
    ucl
        ``(h, w)`` :class:`CloudClass` codes.
    geobox
        The grid they stand on.
    path
        Where the figure goes; the suffix chooses the format.
    scl
        ``(h, w)`` Sen2Cor's codes; without it that panel is left out.
    scl_name
        What that panel is called.
    title
        Written above, for instance scene and date.

    Raises
    ------
    SceneError
        If the arrays are not of the geobox's shape.
    """
    from matplotlib.figure import Figure

    layers: list[tuple[str, np.ndarray]] = []
    if scl is not None:
        layers.append((f"{scl_name}, cloud classes only", scl_to_ucl(scl)))
    layers.append(("UCL (UNet)", ucl))
    for name, array in [("rgb", rgb[..., 0]), *layers]:
        if array.shape != tuple(geobox.shape):
            raise SceneError(f"{name} has the shape {array.shape}, its grid {tuple(geobox.shape)}.")

    if geobox.affine.e > 0:  # rows from south to north
        rgb, geobox = rgb[::-1], geobox.flipy()
        layers = [(name, codes[::-1]) for name, codes in layers]
    columns = 1 + len(layers)
    aspect = _aspect(geobox)
    figure = Figure(
        figsize=(4.6 * columns, 4.4 * min(max(aspect, 0.5), 2) + 1.5), layout="constrained"
    )
    axes: Sequence[Axes] = figure.subplots(1, columns, sharex=True, sharey=True)
    extent = _extent(geobox)
    # No more pixels than a panel can show; a tile of 5490 would take a minute.
    step = -(-max(geobox.shape) // PANEL)
    axes[0].imshow(true_colour(rgb[::step, ::step]), extent=extent, interpolation="nearest")
    axes[0].set_title("True colour")
    for ax, (name, codes) in zip(axes[1:], layers, strict=True):
        ax.imshow(_paint(codes[::step, ::step]), extent=extent, interpolation="nearest")
        ax.set_title(name)
    for ax in axes:
        ax.set_aspect("equal" if not geobox.crs.geographic else 1 / _shrink(geobox))
        _label_axis(ax, geobox)
    axes[0].set_ylabel(_axis_names(geobox)[1])
    _scale_bar(axes[0], geobox)
    _north(axes[0])
    figure.legend(
        handles=_legend(layers), loc="outside lower center", ncols=len(SHOWN) + 1, frameon=False
    )
    if title:
        figure.suptitle(title, fontsize="medium")
    figure.savefig(path, dpi=130)
    return path


def true_colour(rgb: np.ndarray) -> np.ndarray:
    """Stretch reflectance for the eye: dark water keeps detail and bright cloud its shape.

    Parameters
    ----------
    rgb
        ``(h, w, 3)`` reflectance, NaN without data.

    Returns
    -------
    numpy.ndarray
        Same shape, 0 to 1, white without data.
    """
    valid = np.isfinite(rgb).all(axis=-1)
    if not valid.any():
        return np.ones(rgb.shape, dtype="float32")
    low, high = np.percentile(rgb[valid], (0.5, 98))
    # Bounded: without bright ground a scene would glare, and under much cloud its ground drown.
    high = min(max(high, 0.2), 0.5)
    low = min(max(low, 0.0), 0.06)
    stretched = np.clip((rgb - low) / (high - low), 0, 1) ** (1 / 1.7)
    return np.where(valid[..., np.newaxis], stretched, 1).astype("float32")


def _paint(codes: np.ndarray) -> np.ndarray:
    from matplotlib.colors import to_rgb

    table = np.ones((256, 3), dtype="float32")
    for c in CloudClass:
        table[c] = to_rgb(c.colour)
    picture: np.ndarray = table[codes]
    return picture


def _legend(layers: list[tuple[str, np.ndarray]]) -> list[Any]:
    from matplotlib.patches import Patch

    shares = [(name.split()[0], class_percent(codes)) for name, codes in layers]
    handles = []
    for c in SHOWN:
        if c is CloudClass.THIN_CLOUD and not any(percent[c] > 0 for _, percent in shares):
            continue
        text = ", ".join(f"{name} {percent[c]:.1f} %" for name, percent in shares)
        handles.append(
            Patch(facecolor=c.colour, edgecolor="#888888", label=f"{c.description}\n{text}")
        )
    if any((codes == CloudClass.NODATA).any() for _, codes in layers):
        handles.append(
            Patch(facecolor=CloudClass.NODATA.colour, edgecolor="#888888", label="no data")
        )
    return handles


def _extent(geobox: GeoBox) -> tuple[float, float, float, float]:
    """Left, right, bottom, top; kilometres, or degrees for a geographic grid."""
    scale = 1 if geobox.crs.geographic else 1000
    box = geobox.extent.boundingbox
    return box.left / scale, box.right / scale, box.bottom / scale, box.top / scale


def _shrink(geobox: GeoBox) -> float:
    """Length of a degree of longitude over one of latitude, 1 for a projected grid."""
    if not geobox.crs.geographic:
        return 1.0
    box = geobox.extent.boundingbox
    return max(math.cos(math.radians((box.top + box.bottom) / 2)), 0.1)


def _aspect(geobox: GeoBox) -> float:
    left, right, bottom, top = _extent(geobox)
    return (top - bottom) / ((right - left) * _shrink(geobox))


def _axis_names(geobox: GeoBox) -> tuple[str, str]:
    if geobox.crs.geographic:
        return "longitude, degrees", "latitude, degrees"
    code = f" (EPSG:{geobox.crs.epsg})" if geobox.crs.epsg else ""
    return f"easting, km{code}", "northing, km"


def _label_axis(ax: Axes, geobox: GeoBox) -> None:
    from matplotlib.ticker import MaxNLocator, ScalarFormatter

    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(4))
        axis.set_major_formatter(ScalarFormatter(useOffset=False))
    ax.set_xlabel(_axis_names(geobox)[0])
    ax.tick_params(labelsize="small")


def _scale_bar(ax: Axes, geobox: GeoBox) -> None:
    """A bar of a round number of kilometres, about a quarter of the width."""
    left, right, bottom, top = _extent(geobox)
    kilometres = 111.32 * _shrink(geobox) if geobox.crs.geographic else 1.0
    width = (right - left) * kilometres / 4
    magnitude = 10.0 ** math.floor(math.log10(width))
    length = max(m * magnitude for m in (1, 2, 5) if m * magnitude <= width)
    start, height = left + 0.05 * (right - left), bottom + 0.06 * (top - bottom)
    for colour, thickness in (("black", 6), ("white", 3)):
        ax.plot(
            [start, start + length / kilometres],
            [height, height],
            color=colour,
            lw=thickness,
            solid_capstyle="butt",
        )
    text = f"{length:g} km" if length >= 1 else f"{1000 * length:g} m"
    ax.annotate(
        text,
        (start, height),
        xytext=(0, 5),
        textcoords="offset points",
        color="white",
        fontsize="small",
        fontweight="bold",
        path_effects=_outlined(),
    )
    ax.set_xlim(left, right)
    ax.set_ylim(bottom, top)


def _north(ax: Axes) -> None:
    ax.annotate(
        "N",
        xy=(0.95, 0.97),
        xytext=(0.95, 0.86),
        xycoords="axes fraction",
        ha="center",
        va="top",
        color="white",
        fontweight="bold",
        path_effects=_outlined(),
        arrowprops={"arrowstyle": "-|>", "color": "white", "lw": 2, "path_effects": _outlined()},
    )


def _outlined() -> list[Any]:
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=3, foreground="black")]
