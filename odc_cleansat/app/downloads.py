"""Masks and composites as files to download, and the Python lines that make the same."""

from __future__ import annotations

import io
import re
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from odc.geo.geom import Geometry

from ..classes import CloudClass, scl_to_ucl, ucl_attrs
from ..cube.area import parse_crs
from ..errors import CubeError
from ..masks.composite import composite
from ..masks.rasters import composite_rasters, mask_rasters
from ..review.figure import true_colour
from ..storage.cog import Raster, write_cogs
from .settings import Limits

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Download:
    """A file to download."""

    name: str
    """Its name."""

    content: bytes
    """What is in it."""

    kind: str
    """Its media type."""


@dataclass(frozen=True)
class Grid:
    """Where a result lies and how fine it is; None is left to the masks or scenes."""

    area: Geometry
    """In degrees."""

    time: str
    """ISO 8601, or two times with a slash between."""

    crs: str | None = None
    """Coordinate system."""

    resolution: float | None = None
    """Pixel size in its units."""

    def check(self, limits: Limits, times: int = 1) -> None:
        """Raise if a result is larger than allowed, before it is planned: a plan of billions of blocks fills memory.

        Parameters
        ----------
        limits
            What one person may ask for.
        times
            How many times there are at least.

        Raises
        ------
        CubeError
            If it has more pixels than one person may ask for, or the coordinate system is not known by a code.
        """
        if self.crs is None:
            return
        if not re.fullmatch(r"[A-Za-z]+:\w+", self.crs):
            raise CubeError(
                f"{self.crs!r:.60} is no code of a coordinate system; write one such as EPSG:32633."
            )
        if self.resolution is None:
            return
        box = self.area.to_crs(parse_crs(self.crs)).boundingbox
        columns, rows = (max(span / self.resolution, 1) for span in (box.span_x, box.span_y))
        if not columns * rows * times <= limits.pixels:
            raise CubeError(
                f"pixels of {self.resolution:g} make {columns * rows * times / 1e6:,.0f} million values of this area, and at most "
                f"{limits.pixels / 1e6:,.0f} million are made here. Choose a smaller area or a coarser resolution, in "
                f"{'degrees' if parse_crs(self.crs).geographic else 'units'} of {self.crs}."
            )

    def terms(self) -> dict[str, Any]:
        """Return the terms of a query."""
        found = {
            "geopolygon": self.area,
            "time": self.time or None,
            "output_crs": self.crs or None,
            "resolution": self.resolution,
        }
        return {name: value for name, value in found.items() if value is not None}

    def lines(self) -> str:
        """Return the terms as arguments in Python."""
        shape = self.area.geom
        if shape.equals(shape.envelope):
            west, south, east, north = (round(x, 6) for x in shape.bounds)
            where = f"x=({west}, {east}), y=({south}, {north})"
        else:
            where = f"geopolygon={shape.__geo_interface__!r}"
        others = {"time": self.time, "output_crs": self.crs, "resolution": self.resolution}
        given = [f"{name}={value!r}" for name, value in others.items() if value]
        return ", ".join([where, *given])


def check_size(data: xr.Dataset, limits: Limits) -> str:
    """Return the size of a result in words, before it is made.

    Parameters
    ----------
    data
        Dims ``(time, y, x)``, or ``(y, x)``, of any dtype, lazy or not.
    limits
        What one person may ask for.

    Raises
    ------
    CubeError
        If it has more pixels than one person may ask for.
    """
    rows, columns = data.odc.geobox.shape
    times = data.sizes.get("time", 1)
    names = [name for name in data.data_vars if name != "spatial_ref"]
    pixels = rows * columns * times * len(names)
    counts = f"{_counted(times, 'time')}, {_counted(len(names), 'layer')}"
    words = f"{columns:,} x {rows:,} pixels, {counts}"
    if pixels > limits.pixels:
        raise CubeError(
            f"the result has {words}: {pixels / 1e6:,.0f} million values, and at most {limits.pixels / 1e6:,.0f} million are "
            "made here. Choose a smaller area, fewer times or a coarser resolution."
        )
    size = sum(data[name].nbytes for name in names)
    return f"{words}: {size_text(size)} before compression"


def size_text(size: int) -> str:
    """Return a number of bytes for people."""
    return f"{size / 1e6:,.1f} MB" if size >= 100_000 else f"{max(size / 1e3, 0.1):.1f} kB"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def mask_files(masks: xr.Dataset, how: str, request: str, progress: Progress) -> Download:
    """Return recalled masks as a COG, or several of them as a ZIP file.

    Parameters
    ----------
    masks
        From :func:`~odc_cleansat.recall`, dims ``(time, y, x)``.
    how
        The argument `how` that they were recalled with.
    request
        What decides their pixels, in words.
    progress
        Called with the number of blocks done and of all blocks.
    """
    rasters = {}
    for i, moment in enumerate(masks.time.values.astype("datetime64[s]")):
        stamp = str(moment).replace(":", "").replace("-", "")
        for name, raster in mask_rasters(masks.isel(time=i), how, request).items():
            rasters[f"ucl_{stamp}Z_{name}.tif"] = raster
    return _packed(rasters, f"ucl_{how}", progress)


def composite_files(clean: xr.Dataset, number: int, request: str, progress: Progress) -> Download:
    """Return a composite and its counts as a ZIP file of COGs.

    Parameters
    ----------
    clean
        From :func:`~odc_cleansat.composite`, dims ``(y, x)``.
    number
        How many observations it is made of.
    request
        What decides its pixels, in words.
    progress
        Called with the number of blocks done and of all blocks.
    """
    rasters = composite_rasters(clean, number, request)
    return _packed(
        {f"{name}.tif": raster for name, raster in rasters.items()}, "composite", progress
    )


def _packed(rasters: Mapping[str, Raster], name: str, progress: Progress) -> Download:
    with tempfile.TemporaryDirectory(prefix="cleansat-download-") as folder:
        paths = {Path(folder) / file: raster for file, raster in rasters.items()}
        write_cogs(paths, progress=progress)
        if len(paths) == 1:
            only = next(iter(paths))
            return Download(only.name, only.read_bytes(), "image/tiff")
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
            for path in paths:
                archive.write(path, path.name)
        return Download(f"{name}.zip", buffer.getvalue(), "application/zip")


def class_picture(codes: np.ndarray) -> np.ndarray:
    """Return classes in their colours.

    Parameters
    ----------
    codes
        ``(y, x)`` uint8 :class:`CloudClass` codes, nodata 0.

    Returns
    -------
    numpy.ndarray
        ``(y, x, 4)`` uint8, transparent without data.
    """
    table = np.zeros((256, 4), dtype="uint8")
    for each in CloudClass:
        if each is not CloudClass.NODATA:
            table[each] = (*bytes.fromhex(each.colour[1:]), 255)
    picture: np.ndarray = table[codes]
    return picture


def share_picture(share: np.ndarray) -> np.ndarray:
    """Return shares as greys, ``(y, x, 4)`` uint8; white is all, transparent is no data.

    Parameters
    ----------
    share
        ``(y, x)`` float, 0 to 1, NaN without data.
    """
    valid = np.isfinite(share)
    grey = np.round(255 * np.where(valid, share, 0)).astype("uint8")
    return np.dstack([grey, grey, grey, (255 * valid).astype("uint8")])


def colour_picture(data: xr.Dataset, limits: tuple[float, float] | None = None) -> np.ndarray:
    """Return true colour of a composite.

    Parameters
    ----------
    data
        ``red``, ``green`` and ``blue``, dims ``(y, x)``, in digital numbers without an offset.
    limits
        Reflectances that are drawn dark and bright; by default those of the picture.

    Returns
    -------
    numpy.ndarray
        ``(y, x, 4)`` uint8, transparent without data.
    """
    rgb = reflectance(data)
    valid = np.isfinite(rgb).all(axis=-1, keepdims=True)
    picture = np.concatenate([true_colour(rgb, limits), valid], axis=-1)
    return np.round(255 * picture).astype("uint8")


def reflectance(data: xr.Dataset) -> np.ndarray:
    """Return red, green and blue as ``(y, x, 3)`` float32 reflectance, NaN without data."""
    planes = []
    for name in ("red", "green", "blue"):
        values = data[name].values.astype("float32")
        if data[name].dtype.kind in "ui":
            nodata = data[name].attrs.get("nodata", 0)
            values = np.where(data[name].values == nodata, np.nan, values / 10_000)
        planes.append(values)
    return np.stack(planes, axis=-1).astype("float32")


def png(pixels: np.ndarray) -> bytes:
    """Return ``(y, x, 4)`` uint8 as PNG."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="png", optimize=False)
    return buffer.getvalue()


def by_scl(scenes: xr.Dataset) -> xr.Dataset:
    """Return scenes whose ``ucl`` is the SCL, translated to cloud classes.

    Parameters
    ----------
    scenes
        With ``scl``, integer codes of Sen2Cor, dims ``(time, y, x)``, eager or dask.
    """
    codes = xr.apply_ufunc(scl_to_ucl, scenes.scl, dask="parallelized", output_dtypes=["uint8"])
    codes.attrs = ucl_attrs(CloudClass)
    found: xr.Dataset = scenes.assign(ucl=codes).drop_vars("ucl_confidence", errors="ignore")
    return found


def make_composite(scenes: xr.Dataset, by: str, method: str) -> xr.Dataset:
    """Return the composite of scenes, in memory.

    Parameters
    ----------
    scenes
        Dims ``(time, y, x)``: bands, integer digital numbers; ``ucl``, uint8; for ``SCL`` also ``scl``, uint8.
    by
        The layer that says what is clear: ``UCL`` or ``SCL``.
    method
        See :func:`~odc_cleansat.composite`.
    """
    bands = [name for name in ("blue", "green", "red", "nir") if name in scenes]
    source = by_scl(scenes) if by == "SCL" else scenes
    found: xr.Dataset = composite(source, method=method, bands=bands).compute()
    return found
