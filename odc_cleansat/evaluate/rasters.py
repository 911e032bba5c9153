"""Classified rasters, read block by block onto the grid of a label."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from odc.geo.geobox import GeoBox

from ..errors import SceneError
from ..grids.centres import Roi, sample_nearest
from ..scenes.files import local_path
from ..storage.failures import store_advice
from ..storage.settings import gdal_settings
from .mappings import MAPPINGS, ClassMapping, check_codes

if TYPE_CHECKING:
    from rasterio.io import DatasetReader


@dataclass(frozen=True)
class ClassRaster:
    """A file of classes."""

    uri: str
    """Path or URL that rasterio opens."""

    mapping: ClassMapping = MAPPINGS["ucl"]
    """What its codes mean."""

    band: int = 1
    """Of the file, from 1."""


@dataclass(frozen=True)
class Case:
    """A scene with a label and what is to be judged by it."""

    name: str
    """Of the scene."""

    label: ClassRaster
    """What is held to be true."""

    predictions: Mapping[str, ClassRaster]
    """By the name of what made them."""


class Layer:
    """An open raster of classes."""

    def __init__(self, file: DatasetReader, raster: ClassRaster) -> None:
        if raster.band > file.count:
            raise SceneError(f"{raster.uri} has {file.count} band(s) and no band {raster.band}.")
        self.file = file
        self.raster = raster
        self.grid = GeoBox.from_rio(file)

    def read(self, rows: slice, columns: slice) -> np.ndarray:
        """Pixels of the file as uint8 class codes."""
        from rasterio.errors import RasterioError

        window = ((rows.start, rows.stop), (columns.start, columns.stop))
        try:
            values = self.file.read(self.raster.band, window=window)
        except RasterioError as error:
            raise _unreadable(self.raster.uri, error) from error
        check_codes(self.raster.mapping, values, self.file.nodata, self.raster.uri)
        return self.raster.mapping.apply(values)

    def onto(self, grid: GeoBox, roi: Roi) -> np.ndarray:
        """The classes on a part of another grid: of the pixel in which each centre lies.

        Returns
        -------
        numpy.ndarray
            Of the part's shape, uint8 class codes, nodata 0 beyond the raster.
        """
        if self.grid == grid:
            return self.read(*roi)
        part = grid[roi]
        codes = np.zeros(part.shape, dtype="uint8")
        sample_nearest(self.grid, part, lambda window: self.read(*window), codes)
        return codes


@contextlib.contextmanager
def opened(raster: ClassRaster) -> Iterator[Layer]:
    """Open a raster for a while.

    Raises
    ------
    SceneError
        If it cannot be read.
    """
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    with gdal_settings(raster.uri), contextlib.ExitStack() as stack:
        try:
            with warnings.catch_warnings():
                # Chips for machine learning often have no coordinates, and need none.
                warnings.simplefilter("ignore", NotGeoreferencedWarning)
                file = stack.enter_context(rasterio.open(local_path(raster.uri)))
        except RasterioError as error:
            raise _unreadable(raster.uri, error) from error
        yield Layer(file, raster)


def check_grids(label: Layer, prediction: Layer) -> None:
    """Refuse a prediction that cannot be laid over a label.

    One without a coordinate system is compared pixel by pixel, if it is of the same shape.

    Raises
    ------
    SceneError
        If neither coordinates nor shape tell where it belongs.
    """
    if label.grid.crs is not None and prediction.grid.crs is not None:
        return
    if label.grid.shape != prediction.grid.shape:
        raise SceneError(
            f"{prediction.raster.uri} has {_size(prediction)} and {label.raster.uri} {_size(label)} "
            "pixels, and not both have a coordinate system; without one they must be of one shape."
        )
    prediction.grid = label.grid


def _size(layer: Layer) -> str:
    rows, columns = layer.grid.shape
    return f"{rows} x {columns}"


def _unreadable(uri: str, error: Exception) -> SceneError:
    hint = store_advice(error) if "://" in uri else None
    return SceneError(
        f"cannot read {uri}: {error}. {f'Probably {hint}.' if hint else 'Is it there, and whole?'}"
    )
