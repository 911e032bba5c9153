"""Draw a comparison as a picture: dates as rows, layers as columns."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import OutputError
from .layers import NODATA, Category, Frame, Layer, Panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from odc.geo.geobox import GeoBox


ROWS = 24
"""Most dates in one picture."""

WIDTH = 4.6
"""Width of a panel, inches."""

HATCHED: dict[str, Any] = {"facecolor": "white", "edgecolor": "#999999", "hatch": "////"}
"""Look of pixels without data. White alone would look like cloud or snow."""

SHOULDER = 0.86
"""Brightness of the brightest ground, 0 to 1. What is brighter is left to cloud."""

GAMMA = 2.2
"""Exponent of the ground's power law. It keeps dark pixels apart, such as shadow and water."""


def draw(panels: Panels) -> Figure:
    """Draw a comparison: dates as rows, layers as columns.

    Raises
    ------
    OutputError
        If there are too many dates.
    """
    from matplotlib.figure import Figure

    frames, grid = panels.frames, panels.grid
    if len(frames) > ROWS:
        raise OutputError(
            f"{len(frames)} dates are too many for one picture; select at most {ROWS}, or write a page "
            "(.html), which shows one at a time."
        )
    rows, columns = _arrangement(len(frames), 1 + len(frames[0].layers))
    aspect = min(max(_aspect(grid), 0.4), 2.5)
    size = (WIDTH * columns, rows * (WIDTH * aspect + 1.2) + 0.6)
    figure = Figure(figsize=size, layout="compressed")
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    places = iter(axes.flat)
    limits = stretch_limits(frame.rgb for frame in frames)
    for frame in frames:
        _draw_frame(frame, panels, limits, places)
    for unused in places:
        unused.remove()
    _label_axes(axes, grid)
    _scale_bar(axes[0, 0], grid)
    _north_arrow(axes[0, 0])
    dates = [frame.date for frame in frames] if len(frames) == 1 else []
    if title := ", ".join(filter(None, dict.fromkeys((panels.title, *dates)))):
        figure.suptitle(title, fontsize="large")
    return figure


def _draw_frame(
    frame: Frame, panels: Panels, limits: tuple[float, float], places: Iterator[Axes]
) -> None:
    """Draw true colour and the layers of one date into the next places."""
    grid = panels.grid
    rgb, valid = true_colour(frame.rgb, limits), np.isfinite(frame.rgb).all(axis=-1)
    ax = next(places)
    _show(ax, rgb, valid, grid, smooth=True)
    date = frame.date if len(panels.frames) > 1 else ""
    _head(ax, ", ".join(filter(None, ("True colour", date))), [])
    for layer in frame.layers:
        ax = next(places)
        outlined = panels.style == "outlines" and layer.key != "confidence"
        if outlined:
            _show(ax, rgb, valid & (layer.codes != NODATA), grid, smooth=True)
            _outline(ax, layer, grid)
        else:
            _show(ax, paint(layer), layer.codes != NODATA, grid)
        _head(ax, layer.name, _handles(layer, outlined))


def _arrangement(dates: int, panels: int) -> tuple[int, int]:
    """Rows and columns: one row for each date, but two for one date with many panels."""
    if dates == 1 and panels > 4:
        return 2, math.ceil(panels / 2)
    return dates, panels


def stretch_limits(pictures: Iterable[np.ndarray]) -> tuple[float, float]:
    """Return the reflectances of dark and of bright ground, over all pictures together.

    Parameters
    ----------
    pictures
        ``(h, w, 3)`` floating-point reflectance, NaN without data.
    """
    found = [rgb[np.isfinite(rgb).all(axis=-1)] for rgb in pictures]
    values = np.concatenate([v.ravel() for v in found]) if found else np.empty(0)
    if not values.size:
        return 0.0, 0.3
    low, high = np.percentile(values[:: max(values.size // 2_000_000, 1)], (0.5, 98))
    # Without bounds a scene of dark ground would glare, and under much cloud the ground would be black.
    return min(max(float(low), 0.0), 0.06), min(max(float(high), 0.2), 0.4)


def true_colour(rgb: np.ndarray, limits: tuple[float, float] | None = None) -> np.ndarray:
    """Stretch reflectance so that dark water keeps detail and bright cloud its shape.

    It follows a power law up to the brightest ground, and from there a smooth shoulder to white.

    Parameters
    ----------
    rgb
        ``(h, w, 3)`` reflectance, NaN without data.
    limits
        See :func:`stretch_limits`; by default those of this picture.

    Returns
    -------
    numpy.ndarray
        Same shape, float32, 0 to 1, white without data.
    """
    valid = np.isfinite(rgb).all(axis=-1)
    low, high = stretch_limits([rgb]) if limits is None else limits
    values = np.where(valid[..., np.newaxis], rgb, high)
    relative = np.maximum((values - low) / (high - low), 0).astype("float32")
    ground = SHOULDER * np.minimum(relative, 1) ** np.float32(1 / GAMMA)
    slope = SHOULDER / GAMMA / (1 - SHOULDER)  # that of the ground where it ends
    cloud = 1 - (1 - SHOULDER) * np.exp(-slope * np.maximum(relative - 1, 0))
    stretched = np.where(relative < 1, ground, cloud)
    return np.where(valid[..., np.newaxis], stretched, 1).astype("float32")


def paint(layer: Layer) -> np.ndarray:
    """Return a layer in its colours: ``(h, w, 3)`` float32 of 0 to 1, white without data."""
    from matplotlib.colors import to_rgb

    table = np.ones((256, 3), dtype="float32")
    for category in layer.categories:
        table[category.value] = to_rgb(category.colour)
    picture: np.ndarray = table[layer.codes]
    return picture


def _show(
    ax: Axes, picture: np.ndarray, valid: np.ndarray, grid: GeoBox, smooth: bool = False
) -> None:
    """Draw a picture over hatching, which shows where there are no data. Classes are not smoothed."""
    ax.patch.set(**HATCHED)
    pixels = np.round(np.dstack([picture, valid]) * 255).astype("uint8")
    ax.imshow(pixels, extent=_extent(grid), interpolation="auto" if smooth else "nearest")
    ax.set_aspect("equal" if not grid.crs.geographic else 1 / _shrink(grid))


def _outline(ax: Axes, layer: Layer, grid: GeoBox) -> None:
    """Draw lines around all but the background, with a rim that stands out from any ground."""
    from matplotlib.patheffects import Normal, Stroke

    width = min(max(600 / max(layer.codes.shape), 0.4), 1.0)  # thinner where pixels are many
    for category in _drawn(layer):
        inside = layer.codes == category.value
        if min(inside.shape) < 2 or not inside.any() or inside.all():
            continue
        lines = ax.contour(
            inside,
            levels=[0.5],
            colors=[category.colour],
            linewidths=1.1 * width,
            extent=_extent(grid),
            origin="upper",
        )
        lines.set_path_effects(
            [Stroke(linewidth=2.0 * width, foreground="white", alpha=0.8), Normal()]
        )
        # In a PDF, lines around single pixels would grow without bound. Matplotlib 3.10 rasterises contours only so.
        ax.set_rasterization_zorder(lines.get_zorder() + 0.01)


def _drawn(layer: Layer) -> list[Category]:
    return [category for category in layer.listed if not category.background]


def _head(ax: Axes, title: str, handles: Sequence[Any]) -> None:
    """Write title and legend above a panel."""
    ax.legend(
        handles=list(handles),
        title=title,
        title_fontproperties={"weight": "bold", "size": "medium"},
        alignment="left",
        loc="lower left",
        bbox_to_anchor=(0, 1),
        borderaxespad=0.1,
        borderpad=0.2,
        handlelength=1.2,
        columnspacing=1.0,
        ncols=min(max(math.ceil(len(handles) / 2), 1), 3),
        fontsize="small",
        frameon=False,
    )


def _handles(layer: Layer, outlined: bool) -> list[Any]:
    from matplotlib.patches import Patch

    handles = []
    for category in _drawn(layer) if outlined else layer.listed:
        face = "none" if outlined else category.colour
        edge = category.colour if outlined else "#888888"
        text = f"{category.name}: {percent_text(layer.percent[category.value])}"
        handles.append(
            Patch(facecolor=face, edgecolor=edge, linewidth=1.6 if outlined else 0.8, label=text)
        )
    if layer.gaps:
        handles.append(Patch(**HATCHED, linewidth=0.8, label="no data"))
    return handles


def percent_text(value: float) -> str:
    """Return a percentage with one decimal, but ``<0.1 %`` for less; ``n/a`` for NaN."""
    if not math.isfinite(value):
        return "n/a"
    return "<0.1 %" if 0 < value < 0.05 else f"{value:.1f} %"


def _extent(grid: GeoBox) -> tuple[float, float, float, float]:
    """Left, right, bottom, top; kilometres, or degrees for a geographic grid."""
    scale = 1 if grid.crs.geographic else 1000
    box = grid.extent.boundingbox
    return box.left / scale, box.right / scale, box.bottom / scale, box.top / scale


def _shrink(grid: GeoBox) -> float:
    """Length of a degree of longitude over one of latitude, 1 for a projected grid."""
    if not grid.crs.geographic:
        return 1.0
    box = grid.extent.boundingbox
    return max(math.cos(math.radians((box.top + box.bottom) / 2)), 0.1)


def _aspect(grid: GeoBox) -> float:
    left, right, bottom, top = _extent(grid)
    return (top - bottom) / ((right - left) * _shrink(grid))


def axis_names(grid: GeoBox) -> tuple[str, str]:
    """Return the names of the x and the y axis."""
    if grid.crs.geographic:
        return "longitude, degrees", "latitude, degrees"
    code = f" (EPSG:{grid.crs.epsg})" if grid.crs.epsg else ""
    return f"easting, km{code}", "northing, km"


def _label_axes(axes: np.ndarray, grid: GeoBox) -> None:
    from matplotlib.ticker import MaxNLocator, ScalarFormatter

    along_x, along_y = axis_names(grid)
    drawn = axes[0, 0].figure.axes  # places at the end may have been removed
    there = [[ax for ax in column if ax in drawn] for column in axes.T]
    for ax in axes.flat:
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_locator(MaxNLocator(4))
            axis.set_major_formatter(ScalarFormatter(useOffset=False))
        ax.tick_params(labelsize="small")
    for column in there:
        column[-1].tick_params(labelbottom=True)
        column[-1].set_xlabel(along_x, fontsize="small")
    for ax in there[0]:
        ax.set_ylabel(along_y, fontsize="small")


def _scale_bar(ax: Axes, grid: GeoBox) -> None:
    """Draw a bar of a round length, about a quarter of the width."""
    left, right, bottom, top = _extent(grid)
    kilometres = 111.32 * _shrink(grid) if grid.crs.geographic else 1.0
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
        path_effects=_dark_rim(),
    )
    ax.set_xlim(left, right)
    ax.set_ylim(bottom, top)


def _north_arrow(ax: Axes) -> None:
    ax.annotate(
        "N",
        xy=(0.95, 0.97),
        xytext=(0.95, 0.86),
        xycoords="axes fraction",
        ha="center",
        va="top",
        color="white",
        fontweight="bold",
        path_effects=_dark_rim(),
        arrowprops={"arrowstyle": "-|>", "color": "white", "lw": 2, "path_effects": _dark_rim()},
    )


def _dark_rim() -> list[Any]:
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=3, foreground="black")]
