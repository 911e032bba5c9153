"""Sample masks on an output grid: one task for each block, with bounded memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np
from odc.geo.geobox import GeoBox

from ..classes import CLOUDS, CONFIDENCE_NODATA, CloudClass
from ..errors import CubeError, GapWarning, tell
from ..grids.centres import TILE, Roi, pixel_indices, reach, sample_nearest, tiles
from ..storage.rasters import open_file
from ..storage.reader import DocumentError
from ..storage.settings import credentials

if TYPE_CHECKING:
    from rasterio.io import DatasetReader


CLASSES = ("ucl", "ucl_confidence")
"""Layers of a mask, as they are stored."""

FRACTIONS = ("cloud_fraction", "shadow_fraction")
"""Layers that are counted from the classes."""

VARIABLES = {
    "nearest": CLASSES,
    "mode": CLASSES,
    "any_cloud": CLASSES,
    "fraction": FRACTIONS,
}
"""The layers that each way of resampling, `how`, can give."""

SEVERITY = (
    CloudClass.CLOUD,
    CloudClass.THIN_CLOUD,
    CloudClass.SHADOW,
    CloudClass.SNOW,
    CloudClass.WATER,
    CloudClass.CLEAR,
)
"""Which class stands for several: in "any_cloud" the first that is there, in "mode" the first of equals."""


@dataclass(frozen=True)
class IndexedMask:
    """Where a mask is. It is small, for it goes into dask's graph."""

    id: UUID
    """Id of its dataset."""

    label: str
    """Name for people: time and id."""

    grid: GeoBox
    """Its native grid."""

    bands: tuple[tuple[str, int], ...]
    """File and band number of ``ucl`` and, if asked for, of ``ucl_confidence``."""


class Losses:
    """Notes why masks could not be read while a result in memory is made.

    It is neither a dataclass nor a dict: dask would copy those into its graph.
    """

    def __init__(self) -> None:
        self.why: dict[UUID, str] = {}
        """The reason by the id of the mask."""


def layer_dtype(name: str) -> np.dtype[Any]:
    """Return the dtype of a layer: float32 for fractions, uint8 for the others."""
    return np.dtype("float32" if name in FRACTIONS else "uint8")


def layer_nodata(name: str) -> float:
    """Return the value of a layer for no data: NaN for fractions."""
    return {"ucl": int(CloudClass.NODATA), "ucl_confidence": CONFIDENCE_NODATA}.get(name, math.nan)


def sample_block(
    masks: Sequence[IndexedMask],
    target: GeoBox,
    how: str,
    names: Sequence[str],
    losses: Losses | None,
    options: dict[str, Any],
) -> dict[str, np.ndarray]:
    """Sample masks on one block of the output, at one time.

    Parameters
    ----------
    masks
        The masks. The first that has data at a native pixel decides it.
    target
        Grid of the block.
    how
        A key of :data:`VARIABLES`.
    names
        The layers.
    losses
        Where to note why masks could not be read. Without, the user is told at once.
    options
        Settings of GDAL.

    Returns
    -------
    dict of numpy.ndarray
        Each layer, ``target.shape``: uint8 class codes, nodata 0; uint8 percent, nodata 255; float32 shares
        of 0 to 1, NaN without data.

    Raises
    ------
    CubeError
        If a file holds values that are no classes.
    """
    result = {n: np.full(target.shape, layer_nodata(n), dtype=layer_dtype(n)) for n in names}
    with credentials(options), ExitStack() as stack:
        opened = [one for mask in masks if (one := _open(mask, stack, losses))]
        for row in tiles(target.shape, TILE, TILE):
            for roi in row:
                near = [each for each in opened if reach(each.indexed.grid, target[roi])]
                if near:
                    for name, values in _tile(near, target[roi], how, names).items():
                        result[name][roi] = values
    return result


def _tile(
    masks: Sequence[OpenMask], target: GeoBox, how: str, names: Sequence[str]
) -> dict[str, np.ndarray]:
    """Return the layers of one tile of a block, ``target.shape``."""
    bands = 2 if "ucl_confidence" in names else 1
    if how == "nearest":
        found = dict(zip(CLASSES, _fused(masks, target, bands), strict=False))
    else:
        counts, percents = _counts(masks, target, bands)
        found = _fractions(counts) if how == "fraction" else _winners(counts, percents, how)
    return {name: found[name] for name in names}


def _fractions(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Turn counts of native pixels, ``(7, y, x)``, into shares, ``(y, x)`` float32."""
    data = counts.sum(axis=0) - counts[CloudClass.NODATA]
    cloud = counts[list(CLOUDS)].sum(axis=0)
    with np.errstate(invalid="ignore"):
        return {
            "cloud_fraction": (cloud / data).astype("float32"),
            "shadow_fraction": (counts[CloudClass.SHADOW] / data).astype("float32"),
        }


def _winners(counts: np.ndarray, percents: np.ndarray | None, how: str) -> dict[str, np.ndarray]:
    """Turn counts of native pixels, ``(7, y, x)``, into one class and its mean confidence, ``(y, x)`` uint8."""
    ranked = counts[list(SEVERITY)]
    winner = np.argmax(ranked > 0 if how == "any_cloud" else ranked, axis=0)
    data = ranked.any(axis=0)
    codes = np.where(data, np.array(SEVERITY, dtype="uint8")[winner], np.uint8(CloudClass.NODATA))
    found = {"ucl": codes}
    if percents is not None:
        number = np.take_along_axis(counts, codes[np.newaxis].astype(int), 0)[0]
        total = np.take_along_axis(percents, codes[np.newaxis].astype(int), 0)[0]
        mean = np.rint(total / np.maximum(number, 1))
        found["ucl_confidence"] = np.where(data, mean, CONFIDENCE_NODATA).astype("uint8")
    return found


def _counts(
    masks: Sequence[OpenMask], target: GeoBox, bands: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """Count the native pixels of each class within each pixel.

    Returns
    -------
    numpy.ndarray
        ``(7, y, x)`` int64, by class code.
    numpy.ndarray or None
        Sums of their confidences, percent, ``(7, y, x)`` float64; None unless `bands` is 2.
    """
    counted = _ClassCounts(target.shape, with_percent=bands == 2)
    for i, mask in enumerate(masks):
        for window in mask.windows(target):
            block = mask.indexed.grid[window]
            inside, row, column = pixel_indices(block, target)
            if not inside.any():
                continue
            # A later mask counts only where the earlier have no data.
            own = _fused(masks[:i], block, 1)[0][inside] == CloudClass.NODATA
            values = [band[inside][own] for band in mask.read(window, bands)]
            counted.add(values[0], values[-1], (row * target.shape[1] + column)[own])
    empty = np.flatnonzero(counted.counts.sum(axis=0) == 0)
    if empty.size:
        values = [band.ravel()[empty] for band in _fused(masks, target, bands)]
        counted.add(values[0], values[-1], empty)
    shape = (len(CloudClass), *target.shape)
    percents = counted.percents
    return counted.counts.reshape(shape), None if percents is None else percents.reshape(shape)


class _ClassCounts:
    """Counts native pixels by the class that they have and the pixel that they lie in."""

    def __init__(self, shape: tuple[int, int], *, with_percent: bool) -> None:
        self._size = shape[0] * shape[1]
        self.counts = np.zeros((len(CloudClass), self._size), dtype="int64")
        """Number of native pixels, by class and pixel."""

        self.percents = np.zeros(self.counts.shape) if with_percent else None
        """Sum of their confidences, by class and pixel, percent."""

    def add(self, codes: np.ndarray, percents: np.ndarray, pixels: np.ndarray) -> None:
        """Count native pixels: their class codes, their confidence in percent, and where they lie; each 1-d."""
        where = codes.astype("int64") * self._size + pixels
        self.counts.ravel()[:] += np.bincount(where, minlength=self.counts.size)
        if self.percents is not None:
            summed = np.bincount(where, weights=percents, minlength=self.counts.size)
            self.percents.ravel()[:] += summed


def _fused(masks: Sequence[OpenMask], target: GeoBox, bands: int) -> np.ndarray:
    """Return the values at the centres of pixels, ``(bands, y, x)`` uint8; the first mask with data wins."""
    result = _blank(bands, target.shape)
    for mask in masks:
        missing = result[0] == CloudClass.NODATA
        if not missing.any():
            break
        result = np.where(missing, mask.sample(target, bands), result)
    return result


def _blank(bands: int, shape: Sequence[int]) -> np.ndarray:
    """Return nodata of the first `bands` layers, ``(bands, *shape)`` uint8."""
    result = np.empty((bands, *shape), dtype="uint8")
    for plane, nodata in zip(result, (CloudClass.NODATA, CONFIDENCE_NODATA), strict=False):
        plane[:] = nodata
    return result


@dataclass
class OpenMask:
    """An open mask."""

    indexed: IndexedMask
    """Where it is."""

    files: list[DatasetReader]
    """The open file of each of its bands."""

    losses: Losses | None
    """Where to note why it cannot be read."""

    broken: bool = field(default=False)
    """Whether reading it has failed before."""

    def read(self, window: Roi, bands: int) -> np.ndarray:
        """Read native values, ``(bands, y, x)`` uint8; nodata if they cannot be read.

        Raises
        ------
        CubeError
            If the file holds values that are no classes.
        """
        from rasterio.errors import RasterioError
        from rasterio.windows import Window

        rows, columns = window
        blank = _blank(bands, (rows.stop - rows.start, columns.stop - columns.start))
        if self.broken:
            return blank
        area = Window.from_slices(rows, columns)
        pairs = list(zip(self.files, self.indexed.bands, strict=True))[:bands]
        try:
            values = np.stack([file.read(band, window=area) for file, (_, band) in pairs])
        except RasterioError as error:
            self.broken = True
            _note_loss(self.indexed, error, self.losses)
            return blank
        if values[0].max() > max(CloudClass):
            raise CubeError(
                f"{self.files[0].name} holds the value {values[0].max()}, which is no class of a UCL; "
                "check what was indexed as a mask."
            )
        return values

    def sample(self, target: GeoBox, bands: int) -> np.ndarray:
        """Return the values at the centres of pixels, ``(bands, y, x)`` uint8, nodata outside."""
        result = _blank(bands, target.shape)
        sample_nearest(self.indexed.grid, target, lambda window: self.read(window, bands), result)
        return result

    def windows(self, target: GeoBox) -> Iterator[Roi]:
        """Yield blocks of native pixels, which together hold all whose centres may lie in a grid."""
        near = reach(self.indexed.grid, target)
        roi = near and reach(target[near], self.indexed.grid)
        if roi is None:
            return
        rows, columns = roi
        shape = (rows.stop - rows.start, columns.stop - columns.start)
        for line in tiles(shape, 2 * TILE, 2 * TILE):
            for y, x in line:
                yield (
                    slice(rows.start + y.start, rows.start + y.stop),
                    slice(columns.start + x.start, columns.start + x.stop),
                )


def _open(mask: IndexedMask, stack: ExitStack, losses: Losses | None) -> OpenMask | None:
    """Open a mask until the stack is closed; None if it cannot be read."""
    from rasterio.errors import RasterioError

    try:
        files = [stack.enter_context(open_file(path)) for path, _ in mask.bands]
        for file in files:
            found = GeoBox.from_rio(file)
            if (
                found.shape != mask.grid.shape
                or found.crs != mask.grid.crs
                or not found.affine.almost_equals(mask.grid.affine, 1e-6)
            ):
                raise RasterioError(f"{file.name} is not on the grid that its document says")
    except (RasterioError, DocumentError) as error:
        _note_loss(mask, error, losses)
        return None
    return OpenMask(mask, files, losses)


def _note_loss(mask: IndexedMask, error: Exception, losses: Losses | None) -> None:
    """Note why a mask cannot be read; without a place for notes, tell the user at once."""
    if losses is not None:
        losses.why[mask.id] = str(error)
    else:
        tell(
            f"a mask cannot be read, and there are no data where it would be: {mask.label} ({error}).",
            GapWarning,
        )
