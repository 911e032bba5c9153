"""Tiles of scenes and masks for maps in a browser, what is at a point, and the shares in a view."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.geom import BoundingBox

from ..classes import CLOUDS, CONFIDENCE_NODATA, CloudClass, class_percent, scl_to_ucl
from ..errors import CleansatError, SceneError
from ..evaluate.confusion import Question
from ..evaluate.rasters import ClassRaster
from ..evaluate.scores import agreement, class_agreement
from ..grids.footprint import lonlat_footprint
from ..products.product import MaskProduct
from ..scenes.files import BandFile, SceneFiles, local_path, reading
from ..scenes.packing import Packing, read_packing
from ..scenes.settle import settle_offset
from .figure import stretch_limits, true_colour
from .layers import (
    CLASSES,
    CONFIDENCES,
    Category,
    agreement_categories,
    agreement_codes,
    blank_missing,
    confidence_codes,
)
from .map_tiles import MERCATOR, SIDE, MapTile, MapView, nodata_of
from .open_rasters import OpenRasters
from .other_masks import OtherMask, find_rasters, read_classes

if TYPE_CHECKING:
    from rio_tiler.io import Reader
    from rio_tiler.models import ImageData, PointData

    _Read = Callable[[Reader, int], ImageData | PointData] | MapTile


COMPOSITIONS: Mapping[str, tuple[str, str, str]] = {
    "colour": ("red", "green", "blue"),
    "infrared": ("nir", "red", "green"),
    "swir": ("swir16", "nir", "red"),
}
"""Pictures of a scene, and the bands that are their red, green and blue."""

VEIL = 90
"""Opacity of what is clear, 0 to 255. The ground is to be seen through it, and no data to look different."""

LAYERS = ("ucl", "scl", "confidence", "disagreement")
"""Layers of classes."""

KINDS = (*COMPOSITIONS, *LAYERS)
"""All that there are tiles of, but for masks by others: ``other0`` and so on."""

OTHER = "other"
"""How the kinds of masks by others begin."""

Bounds = tuple[float, float, float, float]
"""West, south, east and north in degrees."""


class NoTileError(CleansatError):
    """There is nothing of a scene at a place, or not this layer."""


@dataclass(frozen=True)
class ViewShares:
    """What a view of a scene holds, about: large views are read from overviews."""

    ucl: Mapping[str, float]
    """Percent of each class of the UCL among the pixels with data, by label."""

    scl: Mapping[str, float]
    """Percent of each class of the SCL, translated to cloud classes; empty without SCL."""

    agreement: Mapping[str, float]
    """Percent of pixels on which both agree; see :func:`~odc_cleansat.evaluate.scores.agreement`."""

    others: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Percent of each class of the masks by others, by their names."""

    agreements: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Percent of pixels on which the UCL and they agree, likewise."""


class SceneTiles:
    """The tiles of a scene and of one of its masks, which threads may share.

    Parameters
    ----------
    files
        The files of the scene.
    mask
        Its mask; None if it has none yet.
    others
        Masks by others.
    """

    def __init__(
        self,
        files: SceneFiles,
        mask: MaskProduct | None = None,
        others: Sequence[OtherMask] = (),
    ) -> None:
        self._files = files
        self._mask = mask
        self._others = others
        self.gaps: list[str] = []
        """What is wrong with masks by others, once :attr:`beside` was asked for."""
        self._packings: dict[str, Packing] = {}
        self._stretches: dict[str, tuple[float, float]] = {}

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """Those of :data:`KINDS` that there are."""
        found = [kind for kind, bands in COMPOSITIONS.items() if self._has(bands)]
        with_scl = self._files.scl is not None
        if self._mask is not None:
            found += ["ucl"]
        if with_scl:
            found += ["scl"]
        if self._mask is not None:
            found += ["confidence", *(["disagreement"] if with_scl else [])]
        return (*found, *self.beside)

    @cached_property
    def beside(self) -> Mapping[str, tuple[str, ClassRaster]]:
        """Names and files of the masks by others that there are, by kind."""
        if not self._others:
            return {}
        with reading(self._files.label):
            grid = self._files.wanted(["red"])["red"].open().grid
        rasters, self.gaps = find_rasters(self._others, self._files, grid)
        return {f"{OTHER}{i}": (name, raster) for i, (name, raster) in enumerate(rasters.items())}

    def tile(
        self, kind: str, zoom: int, column: int, row: int, limits: tuple[float, float] | None = None
    ) -> bytes:
        """Return a tile as PNG, transparent where there are no data.

        Parameters
        ----------
        kind
            One of :data:`KINDS`.
        zoom, column, row
            The tile in web Mercator, counted from the north-west.
        limits
            Reflectances that are drawn dark and bright; by default those of the scene.

        Raises
        ------
        NoTileError
            If the scene is elsewhere, or has no such layer.
        CleansatError
            If a file cannot be read.
        """
        return self._draw(kind, MapTile(zoom, column, row), limits)

    def thumbnail(self, kind: str, side: int = 160) -> bytes:
        """Return a small picture of the whole scene as PNG, on its own grid; errors as :meth:`tile`.

        Parameters
        ----------
        kind
            One of :data:`KINDS`.
        side
            Pixels along the longer side.
        """
        return self._draw(
            kind, lambda reader, band: reader.preview(max_size=side, indexes=band), None
        )

    def values_at(self, lon: float, lat: float) -> dict[str, str]:
        """Return what is at a place, as names and texts for people.

        Parameters
        ----------
        lon, lat
            Degrees.

        Raises
        ------
        NoTileError
            If the scene is elsewhere.
        CleansatError
            If a file cannot be read.
        """
        found = {}

        def point(reader: Reader, band: int) -> PointData:
            return reader.point(lon, lat, indexes=band)

        def at(kind: str) -> int:
            return int(self._codes(kind, point).ravel()[0])

        if "ucl" in self.kinds:
            found["UCL"] = CloudClass(at("ucl")).description
            confidence = at("confidence")
            if confidence != CONFIDENCE_NODATA:
                found["Confidence"] = f"{confidence} %"
        spot = GeoBox((1, 1), Affine(1e-6, 0, lon - 5e-7, 0, -1e-6, lat + 5e-7), "EPSG:4326")
        for kind, (name, _) in self.beside.items():
            found[name] = CloudClass(int(self._classes(kind, spot, point)[0, 0])).description
        if "scl" in self.kinds:
            found["SCL"] = CloudClass(int(scl_to_ucl(np.array(at("scl"))))).description
        for name in ("blue", "green", "red", "nir", "swir16"):
            if self._has([name]):
                value = self._reflectance([name], point, "nearest")
                text = "no data" if np.isnan(value).any() else f"{float(value.ravel()[0]):.3f}"
                found[f"Reflectance, {name}"] = text
        return found

    def shares(self, bounds: Bounds, side: int = 512) -> ViewShares:
        """Return the shares of the classes in a view.

        Parameters
        ----------
        bounds
            West, south, east and north, degrees.
        side
            Most pixels along a side that are counted.

        Raises
        ------
        NoTileError
            If the scene is elsewhere.
        CleansatError
            If a file cannot be read.
        """
        _view_size(bounds, side)  # which says what are no bounds
        seen = self._seen(bounds)
        width, height = _view_size(seen, side)

        def part(reader: Reader, band: int) -> ImageData:
            return reader.part(seen, dst_crs=MERCATOR, width=width, height=height, indexes=band)

        ucl = self._codes("ucl", part) if "ucl" in self.kinds else None
        scl = self._codes("scl", part) if "scl" in self.kinds else None
        both = {} if ucl is None or scl is None else agreement(ucl, scl)
        shares = ViewShares(_percent(ucl), _percent(None if scl is None else scl_to_ucl(scl)), both)
        box = BoundingBox(*seen, crs="EPSG:4326").to_crs(MERCATOR)
        grid = GeoBox.from_bbox(box.bbox, MERCATOR, shape=(height, width))
        others, agreements = {}, {}
        for kind, (name, raster) in self.beside.items():
            codes = self._classes(kind, grid, part)
            others[name] = _percent(codes)
            if ucl is not None:
                agreements[name] = class_agreement(ucl, codes, raster.mapping.questions)
        return replace(shares, others=others, agreements=agreements)

    def _seen(self, bounds: Bounds) -> Bounds:
        """Return what the mask has of a view: from afar, few pixels of the whole view would lie on it."""
        if self._mask is None:
            return bounds
        there = lonlat_footprint(self._mask.grid.extent).geom.bounds
        west, south = (max(pair) for pair in zip(bounds[:2], there[:2], strict=True))
        east, north = (min(pair) for pair in zip(bounds[2:], there[2:], strict=True))
        if not (west < east and south < north):
            raise NoTileError("the scene is elsewhere.")
        return west, south, east, north

    # Drawing

    def _draw(self, kind: str, read: _Read, limits: tuple[float, float] | None) -> bytes:
        if kind not in self.kinds:
            raise NoTileError(
                f"there is no layer {kind!r} of this scene; it has {', '.join(self.kinds)}."
            )
        if kind in COMPOSITIONS:
            rgb = self._reflectance(COMPOSITIONS[kind], read)
            picture = true_colour(rgb, limits or self._limits(kind))
            valid = np.isfinite(rgb).all(axis=-1, keepdims=True)
            return _png(np.round(np.concatenate([picture, valid], axis=-1) * 255).astype("uint8"))
        return _png(_palette(kind)[self._categories(kind, read)])

    def _categories(self, kind: str, read: _Read) -> np.ndarray:
        """Return values of the legend of a layer, ``(h, w)`` uint8, 0 for no data."""
        if kind == "confidence":
            return confidence_codes(self._codes("confidence", read))
        if kind == "disagreement":
            scl = scl_to_ucl(self._codes("scl", read))
            return agreement_codes(self._codes("ucl", read), scl, Question.CONTAMINATED)
        if kind in self.beside:
            if not isinstance(read, MapTile):
                raise NoTileError("there is no small picture of a mask by others.")
            west, south, east, north = read.bounds
            grid = GeoBox.from_bbox((west, south, east, north), MERCATOR, shape=(SIDE, SIDE))
            return self._classes(kind, grid, read)
        codes = self._codes(kind, read)
        return scl_to_ucl(codes) if kind == "scl" else codes

    # Reading

    def _classes(self, kind: str, grid: GeoBox, read: _Read) -> np.ndarray:
        """Return a mask by others on the grid of what is read, uint8 :class:`CloudClass` codes."""
        name, raster = self.beside[kind]
        ucl = None if self._mask is None else self._codes("ucl", read).reshape(grid.shape)
        # What it holds that its mapping does not name was told before.
        found = read_classes(name, raster, grid, ucl, lambda _: None, anywhere=True)
        classes: np.ndarray = found.values
        return classes

    def _has(self, bands: Iterable[str]) -> bool:
        try:
            self._files.wanted(bands)
        except SceneError:
            return False
        return True

    def _codes(self, kind: str, read: _Read) -> np.ndarray:
        """Return codes of a layer as its file has them, uint8; outside the file it is no data."""
        outside = CONFIDENCE_NODATA if kind == "confidence" else int(CloudClass.NODATA)
        if kind == "scl":
            assert self._files.scl is not None
            file = self._files.scl
        else:
            assert self._mask is not None
            name = {"ucl": "ucl", "confidence": "ucl_confidence"}[kind]
            file = BandFile(self._mask.layer_file(name), 1, outside, of_stranger=True)
        codes: np.ndarray = _values(read, file, "nearest").filled(outside).astype("uint8")
        return codes

    def _reflectance(
        self, bands: Sequence[str], read: _Read, resampling: str = "bilinear"
    ) -> np.ndarray:
        """Return the reflectance of some bands, ``(..., bands)`` float32, NaN without data."""
        planes = []
        for file in self._files.wanted(bands).values():
            packing = self._packing(file)
            found = _values(read, file, resampling).astype("float32")
            planes.append(((found + packing.offset) * packing.scale).filled(np.nan))
        values = np.stack(planes, axis=-1).astype("float32")
        # A 0 in one band is dark ground, and in all bands no data.
        return blank_missing(values, np.isnan(values), cut=True)

    def _packing(self, file: BandFile) -> Packing:
        """Return how the numbers of a band become reflectance, once for each file."""
        if file.uri not in self._packings:
            with reading(self._files.label):
                self._packings[file.uri] = read_packing(file.open().data, None, self._offset)
        return self._packings[file.uri]

    @cached_property
    def _offset(self) -> float | None:
        """The offset that the mask was made with, or else that of the scene; None for reflectance."""
        bands = self._files.wanted(["red", "green", "blue"])
        with reading(self._files.label):
            if bands["red"].open().data.dtype.kind == "f":
                return None
            if self._mask is not None and "cleansat:offset" in self._mask.properties:
                return float(self._mask.properties["cleansat:offset"])
            return settle_offset(bands, self._files.offset(), self._files.label).value

    def _limits(self, kind: str) -> tuple[float, float]:
        """Return the reflectances of dark and of bright ground of the whole scene, once for each kind."""
        if kind not in self._stretches:
            whole = self._reflectance(
                COMPOSITIONS[kind], lambda reader, band: reader.preview(max_size=SIDE, indexes=band)
            )
            self._stretches[kind] = stretch_limits([whole])
        return self._stretches[kind]


def legend(kind: str, usual: bool = False) -> Sequence[Category]:
    """Return the values of a layer and their colours; none for pictures of a scene. Snow and water are not `usual`."""
    found = CLASSES if kind.startswith(OTHER) else _LEGENDS.get(kind, ())
    return [each for each in found if not each.rare or each.value in CLOUDS] if usual else found


_RASTERS = OpenRasters()

_LEGENDS: Mapping[str, tuple[Category, ...]] = {
    "ucl": CLASSES,
    "scl": CLASSES,
    "confidence": CONFIDENCES,
    "disagreement": tuple(each for each in agreement_categories("SCL") if not each.background),
}


def _values(read: _Read, file: BandFile, resampling: str) -> Any:
    """Read one band, as a masked array that is masked where there are no data."""
    from rio_tiler.errors import PointOutsideBounds, TileOutsideBounds
    from rio_tiler.io import Reader

    path = local_path(file.uri)
    # A file of JPEG 2000 mixes the codes of classes in its overviews.
    options: dict[str, Any] = (
        {"OVERVIEW_LEVEL": "NONE"} if resampling == "nearest" and path.endswith(".jp2") else {}
    )
    try:
        with reading(path):
            if isinstance(read, MapTile):
                view = MapView.around(read, resampling)
                with _RASTERS.opened(file, view, **options) as warped:
                    return view.read(warped, file.band, read)
            with _RASTERS.opened(file, **options) as opened:
                settings: Any = {
                    "nodata": nodata_of(file, opened),
                    "resampling_method": resampling,
                    "reproject_method": resampling,
                }
                with Reader(path, dataset=opened, options=settings) as reader:
                    values = read(reader, file.band).array
    except (TileOutsideBounds, PointOutsideBounds) as error:
        raise NoTileError("the scene is elsewhere.") from error
    return values[0] if values.ndim > 1 else values[:1]


def _view_size(bounds: Bounds, side: int) -> tuple[int, int]:
    """Return width and height of a view in pixels, in web Mercator."""
    west, south, east, north = bounds
    if not (-180 <= west < east <= 180 and -85.1 <= south < north <= 85.1):
        raise NoTileError("these are no bounds: west, south, east and north in degrees are needed.")
    x = np.radians(east - west)
    y = np.diff(np.arctanh(np.sin(np.radians([south, north]))))[0]
    return max(round(side * min(1, x / y)), 1), max(round(side * min(1, y / x)), 1)


def _percent(codes: np.ndarray | None) -> dict[str, float]:
    if codes is None or not codes.any():
        return {}
    return {c.label: float(value) for c, value in class_percent(codes).items() if value > 0}


def _palette(kind: str) -> np.ndarray:
    """Return the colours of a layer, ``(256, 4)`` uint8; values without one are transparent."""
    table = np.zeros((256, 4), dtype="uint8")
    for each in legend(kind):
        table[each.value] = (*bytes.fromhex(each.colour[1:]), VEIL if each.background else 255)
    return table


def _png(pixels: np.ndarray) -> bytes:
    """Return ``(h, w, 4)`` uint8 as PNG."""
    from PIL import Image

    buffer = io.BytesIO()
    # The files are twice as large as the smallest, and made in a tenth of the time.
    Image.fromarray(pixels).save(buffer, format="png", compress_level=1)
    return buffer.getvalue()
