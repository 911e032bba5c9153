"""Classified rasters, read block by block onto the grid of a label."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from odc.geo.geobox import GeoBox

from ..classes import CloudClass
from ..errors import GapWarning, SceneError
from ..grids.centres import Roi, sample_nearest
from ..scenes.files import local_path
from ..storage.failures import store_advice
from ..storage.rasters import open_file
from .mappings import MAPPINGS, ClassMapping

if TYPE_CHECKING:
    from rasterio.io import DatasetReader


@dataclass(frozen=True)
class ClassRaster:
    """A file of classes."""

    uri: str
    """Path or URL that rasterio opens."""

    mapping: ClassMapping = MAPPINGS["ucl"]
    """The meaning of its codes."""

    band: int = 1
    """Number of the band in the file, from 1."""


@dataclass(frozen=True)
class Case:
    """A scene with a label and the predictions that are compared with it."""

    name: str
    """Name of the scene."""

    label: ClassRaster
    """The classes that are held to be true."""

    predictions: Mapping[str, ClassRaster]
    """The predictions, by the name of what made them."""


class OpenRaster:
    """A raster of classes that is open for reading.

    Parameters
    ----------
    file
        The open file.
    raster
        What it holds.

    Raises
    ------
    SceneError
        If the file has no such band.
    """

    def __init__(self, file: DatasetReader, raster: ClassRaster) -> None:
        from rasterio.enums import MaskFlags

        if raster.band > file.count:
            raise SceneError(f"{raster.uri} has {file.count} band(s) and no band {raster.band}.")
        self.file = file
        self.raster = raster
        self.grid = GeoBox.from_rio(file)
        self.unknown: set[float] = set()
        """Values met so far that the mapping does not name, nor the file as nodata."""
        flags = file.mask_flag_enums[raster.band - 1]
        self._masked = MaskFlags.per_dataset in flags and MaskFlags.nodata not in flags

    @property
    def size(self) -> str:
        """Rows and columns for messages, e.g. ``150 x 200``."""
        rows, columns = self.grid.shape
        return f"{rows} x {columns}"

    def read(self, rows: slice, columns: slice) -> np.ndarray:
        """Read a rectangle of pixels.

        A mask of GDAL beside the values, as newer GeoTIFFs of OmniCloudMask have, says where there are no data.

        Returns
        -------
        numpy.ndarray
            ``(rows, columns)`` uint8 class codes, nodata 0.

        Raises
        ------
        SceneError
            If the file cannot be read, or holds other codes than its mapping.
        """
        from rasterio.errors import RasterioError

        window = ((rows.start, rows.stop), (columns.start, columns.stop))
        try:
            values = self.file.read(self.raster.band, window=window)
            there = self.file.read_masks(self.raster.band, window=window) if self._masked else None
        except RasterioError as error:
            raise _unreadable(self.raster.uri, error) from error
        mapping, declared = self.raster.mapping, self.file.nodata
        known = values if there is None else values[there > 0]
        check_codes(mapping, known, declared, self.raster.uri)
        self.unknown.update(mapping.unknown(known, declared).tolist())
        codes = mapping.apply(values)
        return codes if there is None else np.where(there > 0, codes, np.uint8(CloudClass.NODATA))

    def read_onto(self, grid: GeoBox, roi: Roi) -> np.ndarray:
        """Read the classes of a part of another grid, each from the pixel in which the centre lies.

        Returns
        -------
        numpy.ndarray
            ``grid[roi].shape`` uint8 class codes, nodata 0 beyond the raster.
        """
        if self.grid == grid:
            return self.read(*roi)
        part = grid[roi]
        codes = np.zeros(part.shape, dtype="uint8")
        sample_nearest(self.grid, part, lambda window: self.read(*window), codes)
        return codes


def warn_of_gap(text: str) -> None:
    """Warn of what is no data in the result."""
    warnings.warn(text, GapWarning, stacklevel=4)


@contextlib.contextmanager
def open_raster(
    raster: ClassRaster, tell: Callable[[str], object] = warn_of_gap
) -> Iterator[OpenRaster]:
    """Open a raster within a ``with`` block.

    Parameters
    ----------
    raster
        The raster.
    tell
        Called at the end if pixels were read whose values the mapping does not name; by default it warns.

    Raises
    ------
    SceneError
        If it cannot be read.
    """
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    with contextlib.ExitStack() as stack:
        try:
            with warnings.catch_warnings():
                # Chips for machine learning often have no coordinates, and need none.
                warnings.simplefilter("ignore", NotGeoreferencedWarning)
                file = stack.enter_context(open_file(local_path(raster.uri)))
        except RasterioError as error:
            raise _unreadable(raster.uri, error) from error
        opened = OpenRaster(file, raster)
        yield opened
        tell_unknown(raster.mapping, opened.unknown, raster.uri, tell)


def place_on_label(label: OpenRaster, prediction: OpenRaster) -> None:
    """Give a prediction the grid of the label, if one of the two has no coordinate system.

    They are then compared pixel by pixel.

    Raises
    ------
    SceneError
        If one has no coordinate system, and the shapes differ.
    """
    if label.grid.crs is not None and prediction.grid.crs is not None:
        return
    if label.grid.shape != prediction.grid.shape:
        raise SceneError(
            f"{prediction.raster.uri} has {prediction.size} and {label.raster.uri} {label.size} "
            "pixels, and not both have a coordinate system; without one they must be of one shape."
        )
    prediction.grid = label.grid


_VECTORS = (".gpkg", ".shp", ".geojson", ".json", ".kml", ".fgb", ".gml")
"""Endings of files of polygons and points."""


def _unreadable(uri: str, error: Exception) -> SceneError:
    hint = store_advice(error) if "://" in uri else None
    if hint is None and uri.lower().endswith(_VECTORS):
        return SceneError(
            f"{uri} holds no pixels. Make a raster of its polygons, on the grid of a mask and with its codes."
        )
    return SceneError(
        f"cannot read {uri}: {error}. {f'Probably {hint}.' if hint else 'Is it there, and whole?'}"
    )


def check_codes(mapping: ClassMapping, values: np.ndarray, nodata: float | None, name: str) -> None:
    """Raise if a raster is read as a UCL by default, but holds other codes.

    Parameters
    ----------
    mapping
        The mapping of the raster; only that of the UCL is checked.
    values
        Any shape, any number type: pixels of the raster.
    nodata
        The nodata value that the file declares, or None.
    name
        Name of the raster, for the message.

    Raises
    ------
    SceneError
        If there are other codes; the message names some of them.
    """
    if mapping is not MAPPINGS["ucl"]:
        return
    strange = mapping.unknown(values, nodata)
    strange = strange[(strange != 255) & np.isfinite(strange)]
    if strange.size:
        raise SceneError(
            f"{name} holds {', '.join(f'{code:g}' for code in strange[:5])}, which are no codes of a UCL; name the "
            f"mapping of its codes: {', '.join(MAPPINGS)}."
        )


def tell_unknown(
    mapping: ClassMapping,
    unknown: Iterable[float],
    name: str,
    tell: Callable[[str], object] = warn_of_gap,
) -> None:
    """Tell that a raster holds values that its mapping does not name.

    Parameters
    ----------
    mapping
        The mapping of the raster.
    unknown
        The values; nothing is said if there are none.
    name
        Name of the raster, for the message.
    tell
        Called with the message, which names some of the values; by default it warns.
    """
    found = sorted(unknown)
    if mapping is MAPPINGS["ucl"]:  # 255 stands for no data in many files
        found = [value for value in found if value != 255]
    if found:
        tell(
            f"{name} holds {', '.join(f'{value:g}' for value in found[:5])}{' and more' * (len(found) > 5)}, which the "
            f"mapping {mapping.name} does not name; these pixels count as no data."
        )
