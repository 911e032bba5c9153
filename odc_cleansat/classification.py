"""`classify`: the one function behind every surface.

It stands in a module of another name than its own, because a module `classify` would hide the
function of that name in the package as soon as anything imported it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from odc.geo.overlap import compute_reproject_roi
from odc.geo.warp import rio_reproject
from odc.geo.xr import wrap_xr
from rasterio.errors import RasterioError

from .classes import CONFIDENCE_NODATA, CloudClass, confidence_attrs, ucl_attrs
from .engines import Engine, get_engine
from .errors import ReflectanceWarning, SceneError
from .models import Model, get_model
from .reflectance import QUANTIFICATION, OffsetCheck, find_bands
from .windows import Box, blend, grid_box

COARSEST = 1.5
"""A scene may be this much coarser than the model's resolution, and no more."""

AVERAGED = 0.75
"""Scenes with pixels up to this share of the model's are averaged; coarser ones, for which an
average would only blur, are resampled by cubic convolution. Over the seven 30 m scenes of Calgary
that agrees with an unresampled run in 96.7 % of the pixels on average, averaging in 96.1 %."""

OUTPUT_ROWS = 1024
"""Rows of the output that are finished at a time, to bound memory."""

Progress = Callable[[int, int], None]


def classify(
    scene: xr.Dataset,
    *,
    model: str | Model | None = None,
    geobox: GeoBox | None = None,
    confidence: bool = False,
    scale: float | None = None,
    offset: float = 0,
    engine: str | None = None,
    precision: str | None = None,
    progress: Progress | None = None,
) -> xr.Dataset:
    """Label cloud and cloud shadow in a Sentinel-2 scene.

    Whatever the grid of the scene, the network sees it at the ground resolution it was
    trained at; the probabilities then go to the output grid, and the likeliest class wins.

    Parameters
    ----------
    scene
        Bands with dims ``([time,] y, x)`` and an odc-geo geobox, e.g. from `dc.load`: integer
        digital numbers, or floating-point reflectance with NaN for nodata. Which bands are
        needed depends on the model; names are matched by :data:`~odc_cleansat.reflectance.S2_BANDS`.
        An integer band's nodata value is its attribute ``nodata``; without one, a pixel that
        is 0 in all bands has no data.
    model
        Name or :class:`Model`; by default the best whose bands the scene has.
    geobox
        Output grid in any coordinate system; by default the scene's own.
    confidence
        Also give ``ucl_confidence``.
    scale
        Reflectance per digital number, by default 1/10000 for integers and 1 for
        floating-point numbers.
    offset
        Radiometric offset in digital numbers: ``reflectance = (DN + offset) * scale``;
        see :func:`~odc_cleansat.reflectance.resolve_offset`.
    engine, precision
        See :func:`~odc_cleansat.engines.get_engine`.
    progress
        Called with the number of windows done and the number there are.

    Returns
    -------
    xarray.Dataset
        On the output grid, with the scene's dims: ``ucl``, uint8 :class:`CloudClass` codes,
        nodata 0 wherever a band has no data; with `confidence`, ``ucl_confidence``,
        uint8, percent of the winning class, nodata 255.

    Raises
    ------
    SceneError
        If bands are missing or have an unsuitable shape or type, the scene has no
        coordinate system, is too coarse for the model, has no data at all, or its values are not
        what the scale says.
    ModelError
        If the model is unknown or its weights cannot be used.

    Warns
    -----
    ReflectanceWarning
        If the pixels look as if the offset were wrong.
    """
    chosen = get_model(model, bands=_names(scene))
    bands = _select(scene, chosen)
    grid = _geobox(bands, chosen)
    output = grid if geobox is None else geobox
    run = get_engine(chosen, engine, precision)
    times = bands.sizes.get("time", 1)
    check = OffsetCheck()
    slices = [bands.isel(time=i) if "time" in bands.dims else bands for i in range(times)]
    results = [
        _classify_slice(
            _Reflectance(each, grid, scale, offset, check),
            chosen,
            run,
            output,
            _part(progress, i, times),
        )
        for i, each in enumerate(slices)
    ]
    if not any((codes != CloudClass.NODATA).any() for codes, _ in results):
        raise SceneError(
            "no pixel has data in all of the bands "
            f"{', '.join(chosen.bands)}; check the area, and the nodata values of the bands."
        )
    if complaint := check.complaint(offset):
        warnings.warn(
            f"the offset {offset:g} looks wrong: {complaint}", ReflectanceWarning, stacklevel=2
        )
    time = scene.time if "time" in bands.dims else None
    found = {"ucl": _wrap([codes for codes, _ in results], output, time, ucl_attrs(_codes(chosen)))}
    if confidence:
        found["ucl_confidence"] = _wrap(
            [percent for _, percent in results], output, time, confidence_attrs()
        )
    return xr.Dataset(found, attrs={"crs": crs_name(output.crs)})


def _codes(model: Model) -> list[CloudClass]:
    return [CloudClass.NODATA, *sorted(model.classes)]


def _names(scene: xr.Dataset) -> list[Hashable]:
    if not isinstance(scene, xr.Dataset):
        raise SceneError(
            f"a scene is an xarray.Dataset with one variable a band, not {type(scene).__name__}; "
            "for a DataArray with a `band` dimension use .to_dataset('band')."
        )
    return list(scene.data_vars)


def _select(scene: xr.Dataset, model: Model) -> xr.Dataset:
    """The model's bands under their canonical names, checked."""
    names = find_bands(scene.data_vars, model.bands)
    bands = {band: scene[name] for band, name in names.items()}
    for band, data in bands.items():
        if data.dtype.kind not in "uif":
            raise SceneError(
                f"band {names[band]} has dtype {data.dtype}; digital numbers or reflectance are needed."
            )
        if data.ndim not in (2, 3) or (data.ndim == 3 and data.dims[0] != "time"):
            raise SceneError(
                f"band {names[band]} has the dims {data.dims}; they must be ([time,] y, x)."
            )
    shapes = {names[band]: data.shape for band, data in bands.items()}
    if len(set(shapes.values())) > 1:
        raise SceneError(f"the bands differ in shape: {shapes}; load them on one grid.")
    if 0 in next(iter(shapes.values())):
        raise SceneError(f"the scene is empty: its shape is {next(iter(shapes.values()))}.")
    return xr.Dataset(bands)


def _geobox(bands: xr.Dataset, model: Model) -> GeoBox:
    # Of the bands: an attribute `crs` of the whole Dataset may be left over from before a reprojection.
    grid = bands.odc.geobox
    if grid is None or grid.crs is None:
        raise SceneError(
            "the scene has no coordinate system; give it one, e.g. scene.odc.assign_crs('EPSG:32633')."
        )
    coarse = max(ground_resolution(grid))
    if coarse > COARSEST * model.resolution:
        raise SceneError(
            f"the scene's pixels are {coarse:.0f} m wide, too coarse for {model.name}, which was "
            f"trained at {model.resolution:g} m. Load the bands at {COARSEST * model.resolution:g} m "
            "or finer, and classify with geobox= to get the mask on a coarse grid."
        )
    return grid


def ground_resolution(geobox: GeoBox) -> tuple[float, float]:
    """Size of the central pixel on the ground.

    Returns
    -------
    tuple of float
        Along y and along x, metres, on the WGS 84 ellipsoid.
    """
    from pyproj import Geod

    rows, columns = geobox.shape
    y, x = rows // 2, columns // 2
    corners = [geobox.affine * p for p in ((x, y), (x + 1, y), (x, y + 1))]
    to_lonlat = geobox.crs.transformer_to_crs(CRS("EPSG:4326"))
    lon, lat = to_lonlat([c[0] for c in corners], [c[1] for c in corners])
    geod = Geod(ellps="WGS84")
    _, _, along_x = geod.inv(lon[0], lat[0], lon[1], lat[1])
    _, _, along_y = geod.inv(lon[0], lat[0], lon[2], lat[2])
    return along_y, along_x


def model_grid(geobox: GeoBox, resolution: float) -> tuple[GeoBox, Box]:
    """The model grid over a scene: pixels of `resolution` metres, anchored at the origin.

    Sentinel-2's own UTM grids are kept. Anything else, geographic grids and map projections
    whose metres are not metres on the ground, goes through the UTM zone of the scene's centre.

    Returns
    -------
    GeoBox, Box
        The grid, and its pixels counted from the origin of the coordinate system (rows
        grow southwards from y = 0, so those of the northern hemisphere are negative).
    """
    crs = geobox.crs if _is_utm(geobox.crs) else CRS.utm(geobox.geographic_extent.centroid)
    extent = geobox.extent if crs == geobox.crs else geobox.footprint(crs, npoints=100)
    bounds = extent.boundingbox
    left, right = grid_box(bounds.left, bounds.right, resolution)
    top, bottom = grid_box(-bounds.top, -bounds.bottom, resolution)
    box = Box(top, bottom, left, right)
    return _geobox_of(box, crs, resolution), box


def _geobox_of(box: Box, crs: CRS, resolution: float) -> GeoBox:
    from affine import Affine

    origin = Affine(resolution, 0, box.left * resolution, 0, -resolution, -box.top * resolution)
    return GeoBox(box.shape, origin, crs)


def crs_name(crs: CRS) -> str:
    """``EPSG:32633`` where there is a code, else WKT."""
    return f"EPSG:{crs.epsg}" if crs.epsg else str(crs.to_wkt())


def _is_utm(crs: CRS) -> bool:
    epsg = crs.epsg or 0
    return 32601 <= epsg <= 32660 or 32701 <= epsg <= 32760


@dataclass
class _Reflectance:
    """Reads one date of a scene as reflectance on the model grid."""

    bands: xr.Dataset
    grid: GeoBox
    scale: float | None
    offset: float
    check: OffsetCheck

    def warp(self, target: GeoBox) -> np.ndarray:
        """``(C, *target.shape)`` float32 reflectance on a part of the model grid, NaN without data."""
        result = np.full((len(self.bands.data_vars), *target.shape), np.nan, dtype="float32")
        source = compute_reproject_roi(self.grid, target, padding=2).roi_src
        if 0 in self.grid[source].shape:
            return result
        pixels, _ = self._read(source)
        finer = max(ground_resolution(self.grid)) <= AVERAGED * target.resolution.x
        for band, out in zip(pixels, result, strict=True):
            _warp(band, out, self.grid[source], target, "average" if finer else "cubic")
        visible = [i for i, b in enumerate(self.bands.data_vars) if b in ("blue", "green", "red")]
        self.check.add(result[visible])
        return result

    def valid(self, target: GeoBox) -> np.ndarray:
        """``target.shape`` bool: whether at least half of the pixel has data in all bands."""
        share = np.zeros(target.shape, dtype="float32")
        source = compute_reproject_roi(self.grid, target, padding=2).roi_src
        if 0 in self.grid[source].shape:
            return share > 0
        _, valid = self._read(source)
        if self.grid[source] == target:
            return valid
        rio_reproject(
            valid.astype("float32"),
            share,
            self.grid[source],
            target,
            "average",
            src_nodata=None,
            dst_nodata=0,
            **_EXACT,
        )
        return share >= 0.5

    def _read(self, roi: tuple[slice, slice]) -> tuple[np.ndarray, np.ndarray]:
        """Reflectance ``(C, h, w)`` with NaN, and where all bands have data ``(h, w)``."""
        try:
            loaded = self.bands.isel(dict(zip(self.grid.dimensions, roi, strict=True))).compute()
        except (RasterioError, OSError) as error:
            raise SceneError(
                f"cannot read the scene: {error.__cause__ or error}. Are its files there, and whole?"
            ) from error
        pixels = np.empty(
            (len(loaded.data_vars), *loaded[next(iter(loaded))].shape), dtype="float32"
        )
        missing = np.empty(pixels.shape, dtype=bool)
        declared = False
        for i, band in enumerate(loaded.data_vars.values()):
            nodata = band.attrs.get("nodata", band.attrs.get("_FillValue"))
            declared = declared or nodata is not None
            integer = band.dtype.kind in "ui"
            scale = self.scale or (1 / QUANTIFICATION if integer else 1.0)
            missing[i] = ~np.isfinite(band.values) if not integer else False
            if nodata is not None and not np.isnan(nodata):
                missing[i] |= band.values == nodata
            elif integer:
                missing[i] |= band.values == 0
            pixels[i] = (band.values.astype("float32") + self.offset) * scale
        if not declared and next(iter(loaded.data_vars.values())).dtype.kind in "ui":
            missing[:] = missing.all(axis=0)
        pixels[missing] = np.nan
        _check_scale(pixels)
        return pixels, np.asarray(~missing.any(axis=0))


def _check_scale(pixels: np.ndarray) -> None:
    with np.errstate(invalid="ignore"):
        implausible = np.mean(np.abs(pixels) > 10)
    if implausible > 0.5:
        raise SceneError(
            "the reflectance of most pixels is above 10, so the values are digital numbers or of "
            "another scale; pass scale=1/10000 if they are Sentinel-2 digital numbers."
        )


_EXACT = {"tolerance": 0.0}
"""GDAL otherwise interpolates coordinates, and the answer depends on the block asked for."""


def _warp(
    source: np.ndarray, target: np.ndarray, source_grid: GeoBox, target_grid: GeoBox, how: str
) -> None:
    """Resample a plane of float32 with NaN as nodata, in place."""
    rio_reproject(
        source,
        target,
        source_grid,
        target_grid,
        how,
        src_nodata=np.nan,
        dst_nodata=np.nan,
        **_EXACT,
    )


def _classify_slice(
    source: _Reflectance, model: Model, engine: Engine, output: GeoBox, progress: Progress | None
) -> tuple[np.ndarray, np.ndarray]:
    """Codes and confidence of one date on the output grid, both uint8."""
    grid, scene = model_grid(source.grid, model.resolution)
    probabilities = blend(
        lambda box: source.warp(_geobox_of(box, grid.crs, model.resolution)),
        engine,
        scene,
        scene,
        classes=len(model.classes),
        size=model.window,
        overlap=model.overlap,
        progress=progress,
    )
    codes = np.empty(output.shape, dtype="uint8")
    percent = np.empty(output.shape, dtype="uint8")
    for top in range(0, output.shape[0], OUTPUT_ROWS):
        rows = slice(top, min(top + OUTPUT_ROWS, output.shape[0]))
        block = output[rows, :]
        on_block = np.full((len(model.classes), *block.shape), np.nan, dtype="float32")
        for plane, out in zip(probabilities, on_block, strict=True):
            _warp(plane, out, grid, block, "bilinear")
        codes[rows], percent[rows] = _decide(on_block, source.valid(block), model)
    return codes, percent


def _decide(
    probabilities: np.ndarray, valid: np.ndarray, model: Model
) -> tuple[np.ndarray, np.ndarray]:
    """The likeliest class and its percent; nodata where not valid or without probabilities."""
    valid = valid & np.isfinite(probabilities).all(axis=0)
    filled = np.where(valid, probabilities, 0)
    codes = np.asarray(model.classes, dtype="uint8")[filled.argmax(axis=0)]
    percent = np.rint(100 * filled.max(axis=0)).astype("uint8")
    return (
        np.where(valid, codes, np.uint8(CloudClass.NODATA)),
        np.where(valid, percent, np.uint8(CONFIDENCE_NODATA)),
    )


def _wrap(
    planes: list[np.ndarray], geobox: GeoBox, time: xr.DataArray | None, attrs: dict[str, Any]
) -> xr.DataArray:
    if time is None:
        single: xr.DataArray = wrap_xr(planes[0], geobox, **attrs)
        return single
    stack: xr.DataArray = wrap_xr(np.stack(planes), geobox, time=time.values, axis=1, **attrs)
    stack["time"] = time
    return stack


def _part(progress: Progress | None, index: int, parts: int) -> Progress | None:
    """Progress of one of several equal parts as progress of the whole."""
    if progress is None or parts == 1:
        return progress
    return lambda done, of: progress(index * of + done, parts * of)
