"""What light says of a mask: shadow lies where a cloud can cast it, and white in the midst of cloud is cloud.

The network sees texture. It knows neither where the sun stands nor that bands were clipped. Here the probabilities of
one window are changed by both. Shadow only loses probability and none is given instead. So the pixel has the low
probability that the network gave its new class. If that class has a curve, confidence is what the curve has there: how
often such pixels are right. White cores are sure: the network has nothing to see in them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import fft, ndimage

from ..classes import CLOUDS, CloudClass
from ..models.model import Model
from ..scenes.angles import Angles, find_angles

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

METHOD = "light"
"""Name of what is done here, in documents."""

VERSION = "2"
"""Counts up when the same angles and probabilities give other classes or confidence than before."""

LOWEST, HIGHEST = 200.0, 4000.0
"""Heights of clouds above the ground that are thought possible, metres. Higher cloud casts hardly a shadow."""

_STEP = 50.0
"""Metres between the heights that are tried."""

_NEAR = 0.7, 1.2
"""Heights that count as the one that was found, as a share of it."""

_DOUBT = math.exp(-2)
"""What is left of the probability of shadow outside these heights."""

_SHARP = 0.15
"""By how much more shadow the cloud meets at its height than at the median one, if that height is sharp."""

_PROBABLE = 0.5
"""Least mean probability of shadow there."""

_FEWEST = 200
"""Least pixels on which a height is found."""

_COARSE = 60.0
"""Pixel size, metres, at which heights are tried."""

_ORBIT = 786_000.0
"""Height of Sentinel-2 above the ground, metres. Across a window the direction to it changes by as much."""

_ACROSS = 106.0
"""Azimuth of the line across the swath, degrees."""

_SWATH = 0.2
"""Tangent of the steepest view, at the edge of the swath."""

_SIDES = 9
"""Views that are tried where none is known."""

_LEVELS = np.arange(0.2975, 1.3, 0.005)
"""Edges of the bins in which the level is looked for at which bands are clipped, reflectance."""

_SPIKE, _SPIKE_PIXELS = 4, 100
"""How much fuller than the bins below it the one of clipped pixels is, and its least pixels."""

_WHITE_NIR = 0.35
"""Least reflectance of near infrared of white cloud."""

_ENCLOSED = 0.3
"""Least share of the border of a white core that is cloud. On labelled snow it is below 0.05."""


@dataclass(frozen=True)
class Light:
    """That a mask is refined by light, and by which."""

    angles: Angles | None = None
    """Where sun and satellite stand; None if that is not known, so that all shadow stays."""

    reason: str = ""
    """Why no angles are known."""

    wrong: bool = False
    """Whether the reason is that the scene states angles that cannot be right."""

    @classmethod
    def of(cls, properties: Mapping[str, Any], grid: GeoBox) -> Light:
        """Return the light over a scene.

        Parameters
        ----------
        properties
            Of the dataset or the STAC item, with its ``datetime``; see :func:`~odc_cleansat.scenes.angles.find_angles`.
        grid
            The grid of the scene.
        """
        return cls(*find_angles(properties, place_of(grid)))

    @property
    def complaint(self) -> str | None:
        """What the caller should know; None if there is nothing."""
        if not self.wrong:
            return None
        return f"shadow is left as the network gave it, for the angles of the scene are not used: {self.reason}"

    def describe(self) -> str:
        """Return in a few words by which light a mask is refined."""
        return f"none: {self.reason}" if self.angles is None else self.angles.source


def place_of(grid: GeoBox) -> tuple[float, float] | None:
    """Return longitude and latitude of the middle of a grid, degrees; None if it is not on the Earth."""
    from ..grids.grid import centre

    longitude, latitude = centre(grid)
    if math.isfinite(longitude) and math.isfinite(latitude):
        return round(longitude, 2), round(latitude, 2)
    return None


class Motion(NamedTuple):
    """By how much the shadow of a cloud is seen beside it, for each metre of its height."""

    down: float
    """Metres towards the last row of the grid."""

    right: float
    """Metres towards the last column."""


def refine_window(
    probabilities: np.ndarray, pixels: np.ndarray, model: Model, window: GeoBox, light: Light
) -> np.ndarray:
    """Change the probabilities of a window by light.

    Parameters
    ----------
    probabilities
        ``(K, h, w)`` float32, 0 to 1, of the classes of the model.
    pixels
        ``(C, h, w)`` float32 reflectance of the bands of the model, NaN for nodata.
    model
        The model.
    window
        Grid of the window.
    light
        The angles.

    Returns
    -------
    numpy.ndarray
        ``(K, h, w)`` float32. What was taken is given to no other class, so that they may sum to less than 1.
    """
    classes = list(model.classes)
    result: np.ndarray = probabilities.copy()
    valid = np.isfinite(pixels).all(axis=0)
    cloud = valid & np.isin(np.array(classes, "uint8")[probabilities.argmax(axis=0)], CLOUDS)
    cores = white_cores(pixels, model.bands, cloud)
    if cores.any():
        for c, plane in zip(classes, result, strict=True):
            plane[cores] = c is CloudClass.CLOUD
        cloud |= cores
    if light.angles is None or CloudClass.SHADOW not in classes:
        return result
    shadow = result[classes.index(CloudClass.SHADOW)]
    resolution = abs(window.resolution.x)
    motions = motions_of(light.angles, window)
    known = light.angles.view_zenith is not None
    found = find_height(cloud, shadow, valid, motions, resolution)
    cloud = _grown(cloud) | ~valid
    possible = cast(cloud, motions, (LOWEST, HIGHEST), resolution)
    if found is not None:
        height, best = found
        beside = motions if known else motions[max(best - 1, 0) : best + 2]
        near = cast(cloud, beside, (_NEAR[0] * height, _NEAR[1] * height), resolution)
        shadow[possible & ~near] *= np.float32(_DOUBT)
    shadow[~possible] = 0
    return result


# --- where a shadow can lie -----------------------------------------------------------


def motions_of(angles: Angles, window: GeoBox) -> list[Motion]:
    """Return the ways that shadows can lie beside their clouds in a window.

    A cloud is seen displaced away from the satellite, and its shadow lies away from the sun. Within a window the
    direction to the satellite changes, and it is not known where the metadata lack it. So there are several ways, in
    order from one side of the swath to the other.

    Parameters
    ----------
    angles
        Of the scene.
    window
        Grid of the window.
    """
    from ..grids.grid import grid_north

    north = grid_north(window)
    sun = _away(angles.sun_azimuth - north, math.tan(math.radians(angles.sun_zenith)))
    across = _away(_ACROSS - north, 1.0)
    if angles.view_azimuth is None or angles.view_zenith is None:
        offsets = np.linspace(-_SWATH, _SWATH, _SIDES)
        return [Motion(*(sun - across * each)) for each in offsets]
    view = _away(angles.view_azimuth - north, math.tan(math.radians(angles.view_zenith)))
    half = window.shape[1] * abs(window.resolution.x) / 2 / _ORBIT
    return [Motion(*(sun - view - across * each)) for each in (-half, 0.0, half)]


def _away(azimuth: float, tangent: float) -> np.ndarray:
    """Return the metres down and right for each metre of height, away from an azimuth in degrees."""
    turned = math.radians(azimuth)
    return np.array([tangent * math.cos(turned), -tangent * math.sin(turned)])


def cast(
    cloud: np.ndarray, motions: Sequence[Motion], heights: tuple[float, float], resolution: float
) -> np.ndarray:
    """Return where clouds can cast shadow.

    Parameters
    ----------
    cloud
        ``(h, w)`` bool: where there is cloud, or may be. Beyond the edges there may be cloud everywhere.
    motions
        The ways that shadows can lie.
    heights
        The lowest and the highest cloud, metres above the ground.
    resolution
        Pixel size, metres.

    Returns
    -------
    numpy.ndarray
        ``(h, w)`` bool.
    """
    low, high = heights
    result = np.zeros_like(cloud)
    for motion in motions:
        whole = np.array(motion) * (high - low) / resolution
        steps = max(1, math.ceil(np.abs(whole).max()))
        swept, done = cloud, 1
        while done <= steps:  # each time the swept part is twice as long
            more = min(done, steps + 1 - done)
            swept = swept | _moved(swept, whole * more / steps)
            done += more
        result |= _moved(swept, np.array(motion) * low / resolution)
    return result


def _grown(plane: np.ndarray) -> np.ndarray:
    """Return a bool plane grown by a pixel to all eight sides."""
    rows = plane.copy()
    rows[1:] |= plane[:-1]
    rows[:-1] |= plane[1:]
    result: np.ndarray = rows.copy()
    result[:, 1:] |= rows[:, :-1]
    result[:, :-1] |= rows[:, 1:]
    return result


def _moved(plane: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Return a bool plane moved by whole pixels down and right, true where nothing is known."""
    result = np.ones_like(plane)
    (down, right), (rows, columns) = np.rint(pixels).astype(int), plane.shape
    if abs(down) < rows and abs(right) < columns:
        to = np.s_[max(down, 0) : rows + min(down, 0), max(right, 0) : columns + min(right, 0)]
        of = np.s_[max(-down, 0) : rows - max(down, 0), max(-right, 0) : columns - max(right, 0)]
        result[to] = plane[of]
    return result


# --- the height of the clouds ---------------------------------------------------------


def find_height(
    cloud: np.ndarray,
    shadow: np.ndarray,
    valid: np.ndarray,
    motions: Sequence[Motion],
    resolution: float,
) -> tuple[float, int] | None:
    """Find the height at which the moved clouds meet the most probable shadow.

    Parameters
    ----------
    cloud, valid
        ``(h, w)`` bool: where there is cloud, and where there are data.
    shadow
        ``(h, w)`` float32, probability of shadow, 0 to 1.
    motions
        The ways that shadows can lie.
    resolution
        Pixel size, metres.

    Returns
    -------
    tuple or None
        The height, metres above the ground, and the position of the way for which it was found. None if no height
        is much better than the others.
    """
    if not cloud.any():
        return None
    size = max(1, round(_COARSE / resolution))
    free = valid & ~cloud
    planes = [cloud, np.where(free, shadow, 0), free]
    coarse = [_block_mean(each, size) for each in planes]
    heights = np.arange(LOWEST, HIGHEST + 1, _STEP)
    paths = [np.outer(each, heights) / (resolution * size) for each in motions]
    margin = math.ceil(max(np.abs(path).max() for path in paths)) + 1
    shape = [fft.next_fast_len(side + margin, real=True) for side in coarse[0].shape]
    moved, *met = (fft.rfft2(each, shape) for each in coarse)
    sums, counts = (fft.irfft2(np.conj(moved) * each, shape) for each in met)
    best: tuple[float, float, int] | None = None
    for position, path in enumerate(paths):
        total, count = (
            ndimage.map_coordinates(each, path, order=1, mode="grid-wrap")
            for each in (sums, counts)
        )
        enough = count * size**2 >= _FEWEST
        mean = np.where(enough, total / np.where(enough, count, 1), 0).round(4)
        top = int(mean.argmax())
        sharp = mean[top] >= max(_PROBABLE, np.median(mean) + _SHARP)
        if sharp and (best is None or mean[top] > best[0]):
            best = float(mean[top]), float(heights[top]), position
    return best and best[1:]


def _block_mean(plane: np.ndarray, size: int) -> np.ndarray:
    """Return the means of blocks of pixels; what is left at the edges is dropped, unless there is nothing else."""
    if size == 1 or min(plane.shape) < size:
        return plane.astype("float32")
    rows, columns = (side // size for side in plane.shape)
    cut = plane[: rows * size, : columns * size]
    if plane.dtype == bool:  # whole numbers have the same sum in any order
        parts = (cut[i::size, j::size] for i in range(size) for j in range(size))
        total: np.ndarray = sum(parts, np.zeros((rows, columns), "float32"))
        return total / np.float32(size**2)
    mean: np.ndarray = cut.reshape(rows, size, columns, size).mean(axis=(1, 3), dtype="float32")
    return mean


# --- white cores ----------------------------------------------------------------------


def white_cores(pixels: np.ndarray, bands: Sequence[str], cloud: np.ndarray) -> np.ndarray:
    """Find the white cores of clouds in which all visible bands are clipped.

    There is nothing in them that the network could know as cloud. They border on its cloud, and snow does not.

    Parameters
    ----------
    pixels
        ``(C, h, w)`` float32 reflectance, NaN for nodata.
    bands
        Names of the bands.
    cloud
        ``(h, w)`` bool: where there is cloud.

    Returns
    -------
    numpy.ndarray
        ``(h, w)`` bool; false everywhere if the bands are not clipped.
    """
    none = np.zeros_like(cloud)
    names = ("blue", "green", "red", "nir")
    if not cloud.any() or not set(names) <= set(bands):
        return none
    *visible, nir = (pixels[list(bands).index(name)] for name in names)
    white = nir > _WHITE_NIR
    for plane in visible:
        level = clip_level(plane)
        if level is None:
            return none
        white &= plane >= level - 0.002
    cores, count = ndimage.label(white & ~cloud, np.ones((3, 3), bool))
    if not count:
        return none
    inside, border = np.zeros(count + 1), np.zeros(count + 1)
    known = np.isfinite(pixels).all(axis=0)
    for axis, step in ((0, 1), (0, -1), (1, 1), (1, -1)):
        # The label of each pixel's neighbour; no core touches the other side of the window.
        beside = np.roll(cores, step, axis)
        beside[_first(axis, step)] = 0
        outside = (beside > 0) & (cores == 0) & known
        border += np.bincount(beside[outside], minlength=count + 1)
        inside += np.bincount(beside[outside & cloud], minlength=count + 1)
    enclosed = inside >= _ENCLOSED * np.maximum(border, 1)
    enclosed[0] = False
    found: np.ndarray = enclosed[cores]
    return found


def _first(axis: int, step: int) -> tuple[slice | int, ...]:
    """Return the row or column that `numpy.roll` filled from the other side."""
    edge = 0 if step > 0 else -1
    return (edge, slice(None)) if axis == 0 else (slice(None), edge)


def clip_level(plane: np.ndarray) -> float | None:
    """Return the reflectance at which a band is clipped: very many pixels have it, few have more.

    Parameters
    ----------
    plane
        ``(h, w)`` float32 reflectance, NaN for nodata.

    Returns
    -------
    float or None
        The level; None if the band is not clipped.
    """
    counts = np.histogram(plane[plane > _LEVELS[0]], _LEVELS)[0]
    below = ndimage.maximum_filter1d(counts, 3, origin=1, mode="constant")
    below = np.concatenate([[0], below[:-1]])
    above = counts[::-1].cumsum()[::-1] - counts
    spikes = (counts >= _SPIKE_PIXELS) & (counts >= _SPIKE * below) & (counts >= above)
    if not spikes.any():
        return None
    bin_ = int(np.where(spikes, counts, 0).argmax())
    within = plane[(plane >= _LEVELS[bin_]) & (plane < _LEVELS[bin_ + 1])]
    return float(np.median(within))
