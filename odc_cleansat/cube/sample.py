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
from ..storage.settings import credentials

if TYPE_CHECKING:
    from rasterio.io import DatasetReader


CLASSES = ("ucl", "ucl_confidence")
FRACTIONS = ("cloud_fraction", "shadow_fraction")
VARIABLES = {
    "nearest": CLASSES,
    "mode": CLASSES,
    "any_cloud": CLASSES,
    "fraction": FRACTIONS,
}
"""What each `how` can give."""

SEVERITY = (
    CloudClass.CLOUD,
    CloudClass.THIN_CLOUD,
    CloudClass.SHADOW,
    CloudClass.SNOW,
    CloudClass.WATER,
    CloudClass.CLEAR,
)
"""Which class stands for several: the first that is there in "any_cloud", the first of equals in "mode"."""


@dataclass(frozen=True)
class IndexedMask:
    """Where a mask is; small, and goes into the graph."""

    id: UUID
    """Of its dataset."""

    label: str
    """What a person calls it."""

    grid: GeoBox
    """Its native grid."""

    bands: tuple[tuple[str, int], ...]
    """File and band number of ``ucl`` and, if asked for, of ``ucl_confidence``."""


class Losses:
    """Why masks could not be read, while a result in memory is made.

    No dataclass and no dict: dask would copy those into its graph.
    """

    def __init__(self) -> None:
        self.why: dict[UUID, str] = {}


# --- the result -----------------------------------------------------------------------


def layer_dtype(name: str) -> np.dtype[Any]:
    """Return the dtype of a layer: float32 for fractions, uint8 for the others."""
    return np.dtype("float32" if name in FRACTIONS else "uint8")


def layer_nodata(name: str) -> float:
    """Return the value of a layer for no data: NaN for fractions."""
    return {"ucl": int(CloudClass.NODATA), "ucl_confidence": CONFIDENCE_NODATA}.get(name, math.nan)


# --- the tasks ------------------------------------------------------------------------


def sample_block(
    masks: Sequence[IndexedMask],
    target: GeoBox,
    how: str,
    names: Sequence[str],
    lost: Losses | None,
    options: dict[str, Any],
) -> dict[str, np.ndarray]:
    """The layers of one time and one block of the output, ``(y, x)``."""
    result = {n: np.full(target.shape, layer_nodata(n), dtype=layer_dtype(n)) for n in names}
    with credentials(options), ExitStack() as stack:
        opened = [_open(mask, stack, lost) for mask in masks]
        sources = [source for source in opened if source is not None]
        for row in tiles(target.shape, TILE, TILE):
            for roi in row:
                near = [source for source in sources if reach(source.grid, target[roi])]
                if near:
                    for name, values in _tile(near, target[roi], how, names).items():
                        result[name][roi] = values
    return result


def _tile(
    sources: Sequence[OpenMask], target: GeoBox, how: str, names: Sequence[str]
) -> dict[str, np.ndarray]:
    bands = 2 if "ucl_confidence" in names else 1
    if how == "nearest":
        found = dict(zip(CLASSES, _fused(sources, target, bands), strict=False))
    else:
        counts, percents = _counts(sources, target, bands)
        found = _fractions(counts) if how == "fraction" else _winners(counts, percents, how)
    return {name: found[name] for name in names}


def _fractions(counts: np.ndarray) -> dict[str, np.ndarray]:
    data = counts.sum(axis=0) - counts[CloudClass.NODATA]
    cloud = counts[list(CLOUDS)].sum(axis=0)
    with np.errstate(invalid="ignore"):
        return {
            "cloud_fraction": (cloud / data).astype("float32"),
            "shadow_fraction": (counts[CloudClass.SHADOW] / data).astype("float32"),
        }


def _winners(counts: np.ndarray, percents: np.ndarray | None, how: str) -> dict[str, np.ndarray]:
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
    sources: Sequence[OpenMask], target: GeoBox, bands: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """How many native pixels of each class each pixel has.

    Returns
    -------
    numpy.ndarray
        ``(7, y, x)``, int64, by class code.
    numpy.ndarray or None
        Sum of their confidences, float64, if `bands` is 2.
    """
    size = target.shape[0] * target.shape[1]
    counts = np.zeros(len(CloudClass) * size, dtype="int64")
    percents = np.zeros(counts.shape, dtype="float64") if bands == 2 else None

    def add(codes: np.ndarray, percent: np.ndarray | None, pixels: np.ndarray) -> None:
        where = codes.astype("int64") * size + pixels
        counts[:] += np.bincount(where, minlength=counts.size)
        if percents is not None:
            percents[:] += np.bincount(where, weights=percent, minlength=counts.size)

    for i, source in enumerate(sources):
        for window in source.windows(target):
            block = source.grid[window]
            inside, row, column = pixel_indices(block, target)
            if not inside.any():
                continue
            # A later mask counts only where the earlier have no data.
            own = _fused(sources[:i], block, 1)[0][inside] == CloudClass.NODATA
            values = [band[inside][own] for band in source.read(window, bands)]
            add(values[0], values[-1], (row * target.shape[1] + column)[own])
    empty = np.flatnonzero(counts.reshape(len(CloudClass), size).sum(axis=0) == 0)
    if empty.size:
        values = [band.ravel()[empty] for band in _fused(sources, target, bands)]
        add(values[0], values[-1], empty)
    shape = (len(CloudClass), *target.shape)
    return counts.reshape(shape), None if percents is None else percents.reshape(shape)


def _fused(sources: Sequence[OpenMask], target: GeoBox, bands: int) -> np.ndarray:
    """Values at the centres of pixels, ``(bands, y, x)`` uint8; the first with data wins."""
    result = _blank(bands, target.shape)
    for source in sources:
        missing = result[0] == CloudClass.NODATA
        if not missing.any():
            break
        result = np.where(missing, source.sample(target, bands), result)
    return result


def _blank(bands: int, shape: Sequence[int]) -> np.ndarray:
    result = np.empty((bands, *shape), dtype="uint8")
    for plane, nodata in zip(result, (CloudClass.NODATA, CONFIDENCE_NODATA), strict=False):
        plane[:] = nodata
    return result


@dataclass
class OpenMask:
    """An open mask."""

    mask: IndexedMask
    files: list[DatasetReader]
    lost: Losses | None
    broken: bool = field(default=False)

    @property
    def grid(self) -> GeoBox:
        return self.mask.grid

    def read(self, window: Roi, bands: int) -> np.ndarray:
        """Native values, ``(bands, y, x)`` uint8; nodata if they cannot be read."""
        from rasterio.errors import RasterioError

        rows, columns = window
        if self.broken:
            return _blank(bands, (rows.stop - rows.start, columns.stop - columns.start))
        area = ((rows.start, rows.stop), (columns.start, columns.stop))
        pairs = list(zip(self.files, self.mask.bands, strict=True))[:bands]
        try:
            values = np.stack([file.read(band, window=area) for file, (_, band) in pairs])
        except RasterioError as error:
            self.broken = True
            _lose(self.mask, error, self.lost)
            return self.read(window, bands)
        if values[0].max() > max(CloudClass):
            raise CubeError(
                f"{self.files[0].name} holds the value {values[0].max()}, which is no class of a UCL; "
                "check what was indexed as a mask."
            )
        return values

    def sample(self, target: GeoBox, bands: int) -> np.ndarray:
        """Values at the centres of pixels, ``(bands, y, x)`` uint8, nodata outside."""
        result = _blank(bands, target.shape)
        sample_nearest(self.grid, target, lambda window: self.read(window, bands), result)
        return result

    def windows(self, target: GeoBox) -> Iterator[Roi]:
        """The blocks of native pixels whose centres may lie in a grid."""
        near = reach(self.grid, target)
        roi = near and reach(target[near], self.grid)
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


def _open(mask: IndexedMask, stack: ExitStack, lost: Losses | None) -> OpenMask | None:
    import rasterio
    from rasterio.errors import RasterioError

    try:
        files = [stack.enter_context(rasterio.open(path)) for path, _ in mask.bands]
        for file in files:
            if file.shape != tuple(mask.grid.shape) or not file.transform.almost_equals(
                mask.grid.affine, 1e-6
            ):
                raise RasterioError(f"{file.name} is not on the grid that its document says")
    except RasterioError as error:
        _lose(mask, error, lost)
        return None
    return OpenMask(mask, files, lost)


def _lose(mask: IndexedMask, error: Exception, lost: Losses | None) -> None:
    """Note that a mask cannot be read; on a worker, tell the user at once."""
    if lost is not None:
        lost.why[mask.id] = str(error)
    else:
        tell(
            f"a mask cannot be read, and there are no data where it would be: {mask.label} ({error}).",
            GapWarning,
        )
