"""Bands in Zarr stores, as ESA (EOPF) and GeoZarr lay them out: their grid, how they are packed, and their pixels.

xarray reads the numbers as they are needed. GDAL is shown a GeoTIFF that is made up as it is read.
"""

from __future__ import annotations

import contextlib
import io
import struct
import threading
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords
from xarray.backends import BackendArray
from xarray.core import indexing

from ..errors import SceneError
from ..grids.grid import fault_of_grid
from ..storage.zarr_store import Pixels, Place, find_node, open_node, place_of, stamp_of
from .packing import FILL
from .zarr_attributes import packing_attributes, product_attributes, stated_crs, stated_transform

_TILE = 512
"""Rows and columns of the tiles that GDAL is shown."""

_OFFSETS, _BYTES = 324, 325
"""Tags of a TIFF with the place and the size of each tile."""

_TYPES = {3: "H", 4: "I", 16: "Q"}
"""Types of numbers in a TIFF, as :mod:`struct` calls them."""

_CENTRE = 0.02
"""Share of a pixel by which the first coordinate may differ from the middle of the first pixel."""


class _Numbers(BackendArray):
    """The numbers of a band for xarray, which reads what is asked for, and can send this to other processes."""

    def __init__(self, place: Place) -> None:
        self.pixels = Pixels(place)
        self.shape = self.pixels.shape
        self.dtype = self.pixels.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.BASIC, self._read
        )

    def _read(self, key: tuple[int | slice, ...]) -> np.ndarray:
        wanted = [
            range(size)[each] if isinstance(each, slice) else range(each, each + 1)
            for each, size in zip(key, self.shape, strict=True)
        ]
        rest = tuple(
            slice(None, None, numbers.step) if isinstance(each, slice) else 0
            for each, numbers in zip(key, wanted, strict=True)
        )
        if not all(map(len, wanted)):
            return np.empty([len(each) for each in wanted], self.dtype)[rest]
        spans = [slice(min(each[0], each[-1]), max(each[0], each[-1]) + 1) for each in wanted]
        found: np.ndarray = self.pixels.read(*spans)[rest]
        return found


def open_zarr_band(address: str, scale: float | None = None) -> tuple[xr.DataArray, GeoBox]:
    """Open a band in a Zarr store; pixels are read when they are used.

    Parameters
    ----------
    address
        Path or URL of the array.
    scale
        Reflectance per number, for integers that tell none.

    Returns
    -------
    xarray.DataArray
        Dims ``(y, x)``, of the dtype of the array, packed as it is. Attributes tell scale, offset and value for no data.
    odc.geo.geobox.GeoBox
        Its grid.

    Raises
    ------
    SceneError
        If it cannot be read, or does not tell where it lies.
    """
    place = place_of(address)
    data, grid = _described(place, stamp_of(place))
    if scale is not None and "scale_factor" not in data.attrs and data.dtype.kind in "ui":
        return data.assign_attrs(scale_factor=scale), grid
    return data.copy(deep=False), grid


@lru_cache(maxsize=128)
def _described(place: Place, stamp: int) -> tuple[xr.DataArray, GeoBox]:
    numbers = _Numbers(place)
    array = open_node(place)
    grid = grid_of(place)
    if fault := fault_of_grid(grid):
        raise SceneError(f"cannot read {place.store}/{place.inner}: {fault}.")
    attrs = packing_attributes(array)
    coords = dict(xr_coords(grid))
    reference = next(name for name in coords if name not in grid.dimensions)
    variable = xr.Variable(grid.dimensions, indexing.LazilyIndexedArray(numbers), attrs)
    data = xr.DataArray(variable, coords=coords)
    data.encoding["grid_mapping"] = str(reference)
    return data, grid


# --- where it lies --------------------------------------------------------------------


def grid_of(place: Place) -> GeoBox:
    """Return the grid of an array.

    The coordinates `x` and `y` of its group are the middles of its pixels, or their corners where the metadata say so. Without
    them the metadata tell: ``proj:transform`` of the array, or ``proj:bbox`` of it or of the product.

    Parameters
    ----------
    place
        Where the array is.

    Raises
    ------
    SceneError
        If the product does not tell where it lies, or its coordinates are uneven.
    """
    array = open_node(place)
    levels = list(_attributes(place))
    crs = next((found for each in levels if (found := stated_crs(each))), None)
    group = place.inner.rpartition("/")[0]
    if crs is None:
        reference = find_node(Place(place.store, f"{group}/spatial_ref"))
        crs = None if reference is None else stated_crs(dict(reference.attrs))
    if crs is None:
        raise SceneError(
            f"{place.store} does not tell its coordinate system, neither in {place.inner} nor in its root; it should be in "
            "proj:epsg or proj:code."
        )
    stated = next(
        (found for each in levels if (found := stated_transform(each, array.shape))), None
    )
    axes = [find_node(Place(place.store, f"{group}/{name}")) for name in ("x", "y")]
    if all(each is not None and each.ndim == 1 for each in axes):
        x, y = (each[:].astype("float64") for each in axes)
        if (len(y), len(x)) == tuple(array.shape) and min(len(x), len(y)) > 1:
            return GeoBox(array.shape, _from_axes(x, y, stated, place), crs)
    if stated is None:
        raise SceneError(
            f"{place.store} does not tell where {place.inner} lies: it has neither coordinates x and y nor proj:transform."
        )
    return GeoBox(array.shape, stated, crs)


def _attributes(place: Place) -> Iterator[Mapping[str, Any]]:
    """Yield the attributes of an array, of the groups that hold it, and of the product; the nearest first."""
    parts = place.inner.split("/")
    for count in range(len(parts), -1, -1):
        node = find_node(Place(place.store, "/".join(parts[:count])))
        if node is not None:
            yield from product_attributes(dict(node.attrs))


def _from_axes(x: np.ndarray, y: np.ndarray, stated: Affine | None, place: Place) -> Affine:
    """Return the transform of coordinates; the metadata tell whether they are middles or corners of pixels."""
    steps = [float(axis[-1] - axis[0]) / (len(axis) - 1) for axis in (x, y)]
    left, top = float(x[0]), float(y[0])
    for name, axis, step in zip("xy", (x, y), steps, strict=True):
        even = np.abs(np.diff(axis) - step) <= max(
            abs(step) * _CENTRE, 2 * np.spacing(np.float32(np.abs(axis).max()))
        )
        if not np.isfinite(axis).all() or step == 0 or not even.all():
            raise SceneError(
                f"{place.store} has uneven coordinates {name} beside {place.inner}; its pixels have no place on the ground."
            )
    middle = Affine(steps[0], 0, left - steps[0] / 2, 0, steps[1], top - steps[1] / 2)
    if stated is not None and np.allclose(
        (stated.c, stated.f, stated.a, stated.e),
        (left, top, *steps),
        rtol=0,
        atol=abs(steps[0]) * _CENTRE,
    ):
        return stated
    return middle


# --- for GDAL -------------------------------------------------------------------------


class _Tiff(io.RawIOBase):
    """A band as a GeoTIFF without compression, whose tiles are made when they are read."""

    def __init__(self, address: str) -> None:
        super().__init__()
        place = place_of(address)
        self._pixels = Pixels(place)
        self._head = _head(place, stamp_of(place))
        self._tiles = -(-self._pixels.shape[1] // _TILE)
        self._bytes = _TILE * _TILE * self._pixels.dtype.itemsize
        rows = -(-self._pixels.shape[0] // _TILE)
        self._size = len(self._head) + rows * self._tiles * self._bytes
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = start + offset
        return self._position

    def read(self, size: int = -1) -> bytes:
        left = max(self._size - self._position, 0)
        left = left if size is None or size < 0 else min(size, left)
        parts = []
        while left > 0:
            try:
                part = self._piece(left)
            except SceneError as error:
                _FAULTS.last = (
                    error  # GDAL passes no error of Python on: it finds that bytes are missing
                )
                break
            parts.append(part)
            self._position += len(part)
            left -= len(part)
        return b"".join(parts)

    def _piece(self, most: int) -> bytes:
        """Return bytes from the position on, up to the end of the head or of a tile."""
        if self._position < len(self._head):
            return self._head[self._position : self._position + most]
        number, start = divmod(self._position - len(self._head), self._bytes)
        row, column = (each * _TILE for each in divmod(number, self._tiles))
        tile = np.zeros((_TILE, _TILE), self._pixels.dtype)
        height, width = self._pixels.shape
        part = self._pixels.read(
            slice(row, min(row + _TILE, height)), slice(column, min(column + _TILE, width))
        )
        tile[: part.shape[0], : part.shape[1]] = part
        return tile.tobytes()[start : start + most]


_FAULTS = threading.local()
"""The error of the chunk that could not be read last, in each thread."""


@contextlib.contextmanager
def as_tiff(address: str) -> Iterator[dict[str, Any]]:
    """Let GDAL read a band in this context, in the thread that has opened it.

    Parameters
    ----------
    address
        Path or URL of the array.

    Yields
    ------
    dict
        Options of `rasterio.open`, which opens the path or URL.

    Raises
    ------
    SceneError
        If the band or one of its chunks cannot be read.
    """
    from rasterio.errors import RasterioError

    open_zarr_band(address)  # which says what is wrong with it
    _FAULTS.last = None
    try:
        yield {"opener": open_as_tiff, "driver": "GTiff"}
    except RasterioError as error:
        if _FAULTS.last is None:
            raise
        raise SceneError(str(_FAULTS.last)) from error


def open_as_tiff(address: str, mode: str = "rb") -> Any:
    """Open a band as a GeoTIFF; rasterio takes it for its argument `opener`, and then reads in the thread that has opened.

    Parameters
    ----------
    address
        Path or URL of the array.
    mode
        As for :func:`open`.

    Raises
    ------
    FileNotFoundError
        If there is no such array: GDAL also looks for files beside it.
    """
    if "r" not in mode or not _is_band(address):
        raise FileNotFoundError(address)
    return _Tiff(address)


def _is_band(address: str) -> bool:
    try:
        _described(place_of(address), stamp_of(place_of(address)))
    except SceneError:
        return False
    return True


@lru_cache(maxsize=128)
def _head(place: Place, stamp: int) -> bytes:
    """Return what stands before the tiles: written by GDAL, without tiles, and with their places entered afterwards."""
    from rasterio.io import MemoryFile

    data, grid = _described(place, stamp)
    fill = data.attrs.get(FILL)
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff", height=grid.shape.y, width=grid.shape.x, count=1, dtype=data.dtype.name, crs=str(grid.crs),
            transform=grid.affine, nodata=np.nan if data.dtype.kind == "f" else fill, tiled=True, blockxsize=_TILE,
            blockysize=_TILE, SPARSE_OK=True, BIGTIFF="YES", ENDIANNESS="LITTLE",
        ) as file:  # fmt: skip
            file.scales = (float(data.attrs.get("scale_factor", 1)),)
            file.offsets = (float(data.attrs.get("add_offset", 0)),)
        head = bytearray(memory.read())
    size = _TILE * _TILE * data.dtype.itemsize
    (start,) = struct.unpack_from("<Q", head, 8)
    (count,) = struct.unpack_from("<Q", head, start)
    for entry in range(start + 8, start + 8 + 20 * count, 20):
        tag, kind, tiles, value = struct.unpack_from("<HHQQ", head, entry)
        if tag in (_OFFSETS, _BYTES):
            form = f"<{tiles}{_TYPES[kind]}"
            position = entry + 12 if struct.calcsize(form) <= 8 else value
            places = [len(head) + size * i for i in range(tiles)]
            struct.pack_into(form, head, position, *(places if tag == _OFFSETS else [size] * tiles))
    return bytes(head)
