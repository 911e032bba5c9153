"""Simulated Sentinel-2 L2A scenes with exact truth.

A simulated scene replaces a real one where none can be shipped: in the demo, the tests and the benchmarks. It
has the twelve L2A bands on their native grids, an SCL with Sen2Cor's known failings, and exact truth.

Every random field is a pure function of the seed and of absolute pixel coordinates (CRS metres over ten). It is
made of integer hashes, sums and products alone. So a scene is the same bit for bit whether it is made whole or
strip by strip. Two scenes of one seed that share a border continue each other's land. The clouds depend on the
seed and the datetime, so that dates over one place are a time series.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC
from datetime import datetime as _datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords

from ..errors import SceneError
from .land import BANDS, make_land
from .noise import Array, PixelWindow, field_seed, fractal_noise
from .regrid import regrid
from .sky import (
    CLOUD_OCTAVES,
    CLOUD_OPACITY,
    CLOUD_SOFTNESS,
    SHADOW_ATTENUATION,
    band_reflectance,
    block_mean,
    depth_at_opacity,
    make_sky,
    simulated_scl,
    truth_classes,
)
from .write import write_layers

_LAYERS: dict[str, int] = {**BANDS, "SCL": 20, "truth": 10}
"""Layer to its native resolution, metres."""

_BLOCK_ROWS = 120
"""Rows at 10 m that are made at once: few enough for the processor's cache."""


@dataclass(frozen=True)
class SimulatedScene:
    """A simulated Sentinel-2 L2A scene whose clouds and shadows are known exactly.

    The object holds only the parameters; pixels are made when they are read.
    The same parameters give the same pixels, bit for bit, in strips of any height.

    Raises
    ------
    SceneError
        If a parameter is out of its range; the message says which and what to use.

    Examples
    --------
    >>> scene = SimulatedScene(shape=(120, 180), seed=7)
    >>> scene.read()["B11"].shape
    (60, 90)
    """

    shape: tuple[int, int] = (1200, 1200)
    """Rows and columns at 10 m, each a multiple of 6; a full tile is (10980, 10980)."""
    epsg: int = 32633
    """A UTM zone: 32601 to 32660 (north) or 32701 to 32760 (south)."""
    origin: tuple[float, float] = (399960.0, 5300040.0)
    """Easting and northing of the upper left corner, metres, multiples of 60."""
    seed: int = 0
    """Seed of the land and of the clouds."""
    cloud_cover: float = 0.25
    """Approximate share of the ground under clouds, 0..1."""
    sun_azimuth: float = 150.0
    """Direction towards the sun, degrees clockwise from north."""
    sun_elevation: float = 45.0
    """Height of the sun above the horizon, degrees, above 5 and up to 90."""
    cloud_height: float = 1500.0
    """Height of the clouds above the ground, 0 to 15000 metres."""
    offset: int = -1000
    """Radiometric offset, -1000 or 0: reflectance = (DN + offset) / 10000."""
    swath_edge: bool = False
    """Whether a slanted part on the east side is outside the swath (nodata)."""
    datetime: str = "2024-06-15T10:10:31Z"
    """Acquisition time, ISO 8601. Another one gives other clouds over the same land."""

    def __post_init__(self) -> None:
        for is_right, name, rule in _rules(self):
            if not is_right:
                raise SceneError(f"{name} {getattr(self, name)!r} makes no scene: {rule}.")

    def geobox(self, resolution: int = 10) -> GeoBox:
        """Return the scene's grid.

        Parameters
        ----------
        resolution
            Pixel size in metres: 10, 20, 30 or 60.

        Returns
        -------
        GeoBox
            The same extent at any resolution, in ``EPSG:<epsg>``.

        Raises
        ------
        SceneError
            If the extent is not a whole number of pixels of that size.
        """
        if resolution not in (10, 20, 30, 60):
            raise SceneError(
                f"no grid of {resolution!r} m in a simulated scene: its extent divides by 10, 20, "
                "30 and 60 m. Choose one of these."
            )
        size = tuple(n * 10 // resolution for n in self.shape)
        left, top = self.origin
        affine = Affine(resolution, 0, left, 0, -resolution, top)
        return GeoBox(size, affine, f"EPSG:{self.epsg}")

    def read(self, rows: slice | None = None) -> dict[str, NDArray[Any]]:
        """Return a strip of the scene, each layer on its native grid.

        Parameters
        ----------
        rows
            Rows at 10 m; both ends are multiples of 6, the step is 1. None means all.

        Returns
        -------
        dict
            The twelve bands (uint16 DN, nodata 0; reflectance is ``(DN + offset) / 10000``),
            ``SCL`` (uint8, Sen2Cor's classes 0..11, nodata 0) and ``truth`` (uint8 `CloudClass`
            codes, nodata 0). Dims are (y, x): all rows and columns at 10 m, half of them at 20 m, a sixth at 60 m.

        Raises
        ------
        SceneError
            If `rows` is not aligned to the 60 m grid.
        """
        start, stop = self._strip(rows)
        layers = {
            name: np.empty(
                ((stop - start) * 10 // metres, self.shape[1] * 10 // metres),
                np.uint8 if name in ("SCL", "truth") else np.uint16,
            )
            for name, metres in _LAYERS.items()
        }
        for top in range(start, stop, _BLOCK_ROWS):
            bottom = min(top + _BLOCK_ROWS, stop)
            for name, block in self._block(top, bottom).items():
                factor = _LAYERS[name] // 10
                first = (top - start) // factor
                layers[name][first : first + block.shape[0]] = block
        return layers

    def to_xarray(self, resolution: int = 10) -> xr.Dataset:
        """Return the whole scene on one grid.

        Parameters
        ----------
        resolution
            Pixel size, metres. At 10, coarser layers are repeated (nearest). At 20 and 30, bands are area averages
            of their valid pixels, rounded to whole DN. ``SCL`` and ``truth`` are then the class with the largest
            area; of equal ones the lowest code.

        Returns
        -------
        xarray.Dataset
            Dims (time, y, x), time of length 1, with an odc-geo geobox. Bands are uint16 DN with
            the attributes ``nodata=0`` and ``units="1"``; ``SCL`` and ``truth`` are uint8, nodata
            0. The Dataset's attributes hold the parameters, ``offset`` (of the DN) among them,
            ``processing_baseline``, the truth's two thresholds and ``simulated=True``.

        Raises
        ------
        SceneError
            If `resolution` is not 10, 20 or 30.
        """
        if resolution not in (10, 20, 30):
            raise SceneError(
                f"a simulated scene has no single grid of {resolution!r} m: choose 10, 20 or 30, "
                "or read() for the native grids."
            )
        layers = {
            name: regrid(values, _LAYERS[name], resolution, classes=name in ("SCL", "truth"))
            for name, values in self.read().items()
        }
        moment = _parse(self.datetime).astimezone(UTC).replace(tzinfo=None)
        coords = dict(xr_coords(self.geobox(resolution)))
        coords["time"] = xr.DataArray([np.datetime64(moment, "ns")], dims="time")
        variables = {}
        for name, values in layers.items():
            attrs = {"nodata": 0, "units": "1", "grid_mapping": "spatial_ref"}
            if name in BANDS:
                attrs["long_name"] = f"simulated surface reflectance of {name}, DN"
            variables[name] = xr.DataArray(values[None], dims=("time", "y", "x"), attrs=attrs)
        return xr.Dataset(variables, coords=coords, attrs=self._attributes())

    def write(
        self, folder: str | Path, *, progress: Callable[[int, int], None] | None = None
    ) -> Path:
        """Write the scene as one GeoTIFF per layer on its native grid, and ``scene.json``.

        The folder appears only when it is complete. Memory stays bounded, at some 400 MB for a full tile.

        Parameters
        ----------
        folder
            The new folder; it must not exist yet, or be empty.
        progress
            Called with the number of rows done and of all rows, at 10 m, after each strip.

        Returns
        -------
        Path
            The folder. It holds ``B01.tif`` to ``B12.tif``, ``SCL.tif`` and ``truth.tif`` (tiled, deflate, nodata
            0), and ``scene.json`` with the Dataset's attributes of `to_xarray`.

        Raises
        ------
        SceneError
            If `folder` exists and is not an empty folder.
        """
        grids = {name: self.geobox(metres) for name, metres in _LAYERS.items()}
        return write_layers(Path(folder), grids, self.read, self._attributes(), progress)

    def _block(self, top: int, bottom: int) -> dict[str, NDArray[Any]]:
        """Return every layer of the rows from `top` to `bottom`, on its native grid."""
        window = self._window(top, bottom)
        land = make_land(window, self.seed)
        sky = make_sky(window, self._sky_salt, self._cloud_base, self._sun, self._cloud_shift)
        outside = self._outside_swath(top, bottom)
        layers: dict[str, NDArray[Any]] = {}
        for position, (name, metres) in enumerate(BANDS.items()):
            reflectance = block_mean(band_reflectance(position, land, sky), metres // 10)
            layers[name] = self._encode(reflectance)
        layers["SCL"] = simulated_scl(window, self._sky_salt, land, sky)
        layers["truth"] = truth_classes(sky)
        for name, values in layers.items():
            repeat = 60 // _LAYERS[name]
            values[np.repeat(np.repeat(outside, repeat, 0), repeat, 1)] = 0
        return layers

    def _encode(self, reflectance: Array) -> NDArray[np.uint16]:
        """Return reflectance as digital numbers."""
        dn = reflectance * np.float32(10000)
        # Rounded before the offset, so that both encodings hold the same reflectance.
        np.rint(dn, out=dn)
        dn -= np.float32(self.offset)
        # 0 is nodata: the darkest valid pixel is 1.
        encoded: NDArray[np.uint16] = np.clip(dn, 1, 65535).astype(np.uint16)
        return encoded

    def _window(self, top: int, bottom: int) -> PixelWindow:
        """Return the window of some rows on the 10 m grid."""
        left, north = (round(metres) // 10 for metres in self.origin)
        return PixelWindow(top - north, bottom - north, left, left + self.shape[1])

    def _strip(self, rows: slice | None) -> tuple[int, int]:
        """Return the first row of a strip and the row after its last."""
        if rows is None:
            return 0, self.shape[0]
        start, stop, step = rows.indices(self.shape[0])
        if step != 1 or start % 6 or stop % 6 or stop <= start:
            raise SceneError(
                f"cannot read {rows} of a scene of {self.shape[0]} rows: a strip has at least one "
                "row, step 1, and both ends on the 60 m grid. Use multiples of 6."
            )
        return start, stop

    @property
    def _sky_salt(self) -> int:
        """The seed of the cloud field."""
        return field_seed(self.seed, f"clouds {self.datetime}")

    @property
    def _sun(self) -> tuple[float, float]:
        """The unit vector (row, column) towards the sun."""
        azimuth = math.radians(self.sun_azimuth)
        return -math.cos(azimuth), math.sin(azimuth)

    @property
    def _cloud_shift(self) -> tuple[int, int]:
        """Rows and columns, in pixels of 20 m, from a point on the ground to the cloud that shades it."""
        reach = self.cloud_height / math.tan(math.radians(self.sun_elevation)) / 20
        return round(self._sun[0] * reach), round(self._sun[1] * reach)

    @cached_property
    def _cloud_base(self) -> float:
        """The value of the cloud field at which clouds begin.

        It is the quantile of `cloud_cover` over the whole scene, on the 80 m grid. The finer octaves, which are left
        out, change it hardly.
        """
        level = 3
        window = self._window(0, self.shape[0])
        coarse = PixelWindow(*(edge // 2**level for edge in window)).grow(1)
        field = fractal_noise(coarse, self._sky_salt + level, CLOUD_OCTAVES[level:])
        if self.cloud_cover == 0:
            return float(field.max()) + 10
        if self.cloud_cover == 1:
            return float(field.min()) - 10
        edge = float(np.quantile(field, 1 - self.cloud_cover))
        return edge - depth_at_opacity(CLOUD_OPACITY) * CLOUD_SOFTNESS

    def _outside_swath(self, top: int, bottom: int) -> NDArray[np.bool_]:
        """Return which pixels are beyond the swath, on the 60 m grid so that all layers agree."""
        rows = np.arange(top // 6, bottom // 6)[:, None]
        columns = np.arange(self.shape[1] // 6)[None, :]
        if not self.swath_edge:
            return np.zeros((rows.size, columns.size), bool)
        # Sentinel-2 descends towards the south-west: its swath's edge leans by some 14 degrees.
        return columns * 1.0 > self.shape[1] / 6 * 0.9 - rows * 0.25

    def _attributes(self) -> dict[str, object]:
        """Return the parameters and what a reader needs to know, as plain values."""
        return {
            "simulated": True,
            **{key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()},
            "processing_baseline": "05.10" if self.offset else "03.01",
            "cloud_opacity_threshold": CLOUD_OPACITY,
            "shadow_attenuation_threshold": SHADOW_ATTENUATION,
        }


def _parse(moment: str) -> _datetime:
    """Return a time with its time zone, UTC by default."""
    parsed = _datetime.fromisoformat(moment)
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def _is_pair(value: object) -> bool:
    return isinstance(value, (tuple, list)) and len(value) == 2


def _rules(scene: SimulatedScene) -> Iterator[tuple[bool, str, str]]:
    """Yield for each parameter whether it is in its range, its name and the rule."""
    yield (
        _is_pair(scene.shape) and all(n > 0 and n % 6 == 0 for n in scene.shape),
        "shape",
        "rows and columns must be positive multiples of 6, so that 10, 20 and 60 m pixels fit; "
        "10980 x 10980 is a full tile",
    )
    yield (
        scene.epsg in (*range(32601, 32661), *range(32701, 32761)),
        "epsg",
        "it must be a UTM zone, 32601 to 32660 or 32701 to 32760",
    )
    yield (
        _is_pair(scene.origin) and all(metres % 60 == 0 for metres in scene.origin),
        "origin",
        "easting and northing must be multiples of 60 m, as on Sentinel-2's grids; round them",
    )
    yield scene.seed >= 0, "seed", "it must be 0 or a positive integer"
    yield 0 <= scene.cloud_cover <= 1, "cloud_cover", "it is a share, so give it in 0..1"
    yield math.isfinite(scene.sun_azimuth), "sun_azimuth", "it must be a number of degrees"
    yield (
        5 < scene.sun_elevation <= 90,
        "sun_elevation",
        "it must be above 5 and up to 90 degrees: with a lower sun Sentinel-2 takes no image",
    )
    yield 0 <= scene.cloud_height <= 15000, "cloud_height", "clouds stand at 0 to 15000 m"
    yield scene.offset in (-1000, 0), "offset", "use -1000 (baseline 04.00 on) or 0 (before)"
    try:
        _parse(scene.datetime)
        readable = True
    except (AttributeError, TypeError, ValueError):
        readable = False
    yield readable, "datetime", "it must be ISO 8601, like 2024-06-15T10:10:31Z"
