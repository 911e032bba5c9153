"""The bands of a scene, whatever object holds it: found, checked, and with their grids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, cast

import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox

from ..arguments import is_number
from ..errors import LightWarning, SceneError, warn_caller
from ..grids.footprint import SAME_GROUND, common_ground
from ..grids.grid import crs_name, fault_of_grid, ground_resolution, unevenness
from ..models.model import Model
from ..scenes.angles import Angles, contradiction
from ..scenes.bands import find_bands
from ..scenes.eopf import tree_bands, with_references, with_stated_crs
from ..scenes.files import Band
from ..scenes.packing import item_metadata
from .light import Light, place_of
from .options import check_resolution


def arrays_of_scene(
    scene: xr.Dataset | xr.DataArray | Mapping[str, xr.DataArray] | xr.DataTree,
) -> dict[str, xr.DataArray]:
    """Return the bands of a scene by name, not yet checked.

    Parameters
    ----------
    scene
        A Dataset; a DataArray with a dimension ``band`` that names the bands; a mapping of names to
        DataArrays; or the datatree of a Zarr product. Dims ``([time,] y, x)``, any dtype; see :func:`~odc_cleansat.classify`.

    Raises
    ------
    SceneError
        If it is something else, or the bands have no names.
    """
    if isinstance(scene, xr.DataTree):
        return tree_bands(scene)
    if isinstance(scene, xr.Dataset):
        placed = with_references(scene)
        return {str(name): with_stated_crs(placed[name]) for name in placed.data_vars}
    if isinstance(scene, xr.DataArray):
        return _split_bands(scene)
    if isinstance(scene, Mapping) and all(isinstance(b, xr.DataArray) for b in scene.values()):
        # A file as rioxarray opens it has a dimension `band` of length one.
        return {
            str(name): band.squeeze("band", drop=True) if band.sizes.get("band") == 1 else band
            for name, band in cast("Mapping[str, xr.DataArray]", scene).items()
        }
    raise SceneError(
        "a scene is an xarray.Dataset, a DataArray with a dimension `band`, a mapping of names to DataArrays, or the datatree of "
        f"a Zarr product, not {type(scene).__name__}."
    )


def _split_bands(scene: xr.DataArray) -> dict[str, xr.DataArray]:
    if "band" not in scene.dims:
        raise SceneError(
            f"the array has the dims {scene.dims}; a scene in one array has a dimension `band`."
        )
    names = scene["band"].values
    described = scene.attrs.get("long_name")
    # rioxarray keeps the descriptions of a file's bands in this attribute.
    if isinstance(described, tuple | list) and len(described) == len(names):
        names = np.asarray(described)
    if names.dtype.kind in "iuf":
        raise SceneError(
            f"the bands are numbered {list(names)}, not named; name them in their order, e.g. "
            "scene.assign_coords(band=['B02', 'B03', 'B04', 'B08'])."
        )
    # Not `drop`: coordinates along the bands tell how the numbers of each are to be read.
    bands = {str(name): scene.isel(band=i) for i, name in enumerate(names)}
    return {name: band.drop_vars("band", errors="ignore") for name, band in bands.items()}


def select_bands(
    arrays: Mapping[str, xr.DataArray], model: Model, *, one_grid: bool
) -> dict[str, Band]:
    """Return the bands that a model needs, by canonical name and in the model's order.

    Parameters
    ----------
    arrays
        Bands by name, dims ``([time,] y, x)`` in any order, integer or floating point.
    model
        The model that classifies.
    one_grid
        Whether all bands must stand on one grid.

    Raises
    ------
    SceneError
        If a band is missing, has an unsuitable shape, type, coordinate system or resolution, or
        other times than the others.
    """
    names = find_bands(arrays, model.bands)
    chosen = {band: _spatial_dims_last(arrays[name], name) for band, name in names.items()}
    shapes = {names[b]: data.shape if one_grid else data.shape[:-2] for b, data in chosen.items()}
    if len(set(shapes.values())) > 1:
        raise SceneError(
            f"the bands differ in shape: {shapes}; load them on one grid and for the same times."
        )
    times = [data["time"].values for data in chosen.values() if "time" in data.coords]
    if any(not np.array_equal(times[0], each) for each in times[1:]):
        raise SceneError(
            "the bands have different times, or the same in another order; load them for the same times, or align "
            "them, e.g. with xarray.align."
        )
    # The grid of the selected bands together: one array may have lost its reference to the coordinate
    # system, and an attribute of the whole Dataset may be left over from before a reprojection.
    common = _grid(xr.Dataset(chosen)) if one_grid else None
    bands = {b: Band(data, common or _grid(data)) for b, data in chosen.items()}
    check_resolution(bands.values(), model)
    check_same_ground(bands.values(), model)
    return bands


def _spatial_dims_last(data: xr.DataArray, name: str) -> xr.DataArray:
    """Return a band with the dims ``([time,] y, x)``; raise SceneError if it cannot have them."""
    if data.dtype.kind not in "uif":
        raise SceneError(
            f"band {name} has dtype {data.dtype}; digital numbers or reflectance are needed."
        )
    if reason := unevenness(data):
        raise SceneError(f"{reason}.")
    spatial = data.odc.spatial_dims
    if spatial is not None and set(data.dims) in ({*spatial}, {"time", *spatial}):
        data = data.transpose(..., *spatial)
    if data.ndim not in (2, 3) or (data.ndim == 3 and data.dims[0] != "time"):
        raise SceneError(f"band {name} has the dims {data.dims}; they must be ([time,] y, x).")
    if 0 in data.shape:
        raise SceneError(
            f"the scene is empty: band {name} has the shape {data.shape}; load it for an extent and "
            "times for which there are data."
        )
    return data


def _grid(data: xr.Dataset | xr.DataArray) -> GeoBox:
    if reason := unevenness(data):
        raise SceneError(f"{reason}.")
    grid = data.odc.geobox
    if grid is None or grid.crs is None:
        raise SceneError(
            "the scene has no coordinate system; give it one, e.g. scene.odc.assign_crs('EPSG:32633')."
        )
    arrays = data.data_vars.values() if isinstance(data, xr.Dataset) else [data]
    spec = next((a.attrs["spec"] for a in arrays if "spec" in a.attrs), None)
    if spec is not None and hasattr(spec, "bounds"):
        # By default the coordinates of stackstac are the corners of pixels, and not their centres.
        beyond = ((grid.affine.c - spec.bounds[0]) / grid.affine.a) % 1
        if abs(beyond - 0.5) < 0.1:
            grid = grid.translate_pix(0.5, 0.5)
    return grid


def finest_grid(bands: Iterable[Band]) -> GeoBox:
    """Return the grid with the smallest pixels, which stands for the scene."""
    return min((band.grid for band in bands), key=lambda grid: max(ground_resolution(grid)))


def check_same_ground(bands: Iterable[Band], model: Model) -> None:
    """Raise if a band covers other ground than the others, as the file of another scene or half a file does.

    Parameters
    ----------
    bands
        In the order of the model's bands.
    model
        The model that classifies.

    Raises
    ------
    SceneError
        If a band and the finest one have less than :data:`SAME_GROUND` in common.
    """
    bands = list(bands)
    scene = finest_grid(bands)
    for name, band in zip(model.bands, bands, strict=True):
        if band.grid != scene and (common := common_ground(scene, band.grid)) < SAME_GROUND:
            raise SceneError(
                f"{name} does not lie where the other bands do: it has {100 * common:.0f} % of its ground in common with "
                "them. Probably it belongs to another scene, or its coordinates are wrong; bring all bands of one scene."
            )


def output_grid(scene: GeoBox, geobox: GeoBox | None, resolution: float | None) -> GeoBox:
    """Return the grid of the mask.

    Parameters
    ----------
    scene
        Grid of the scene, the default.
    geobox
        A grid, or a Dataset or DataArray that has one: any dims, shape and dtype.
    resolution
        Pixel size of a grid over the scene's extent, in units of its coordinate system.

    Raises
    ------
    SceneError
        If both are given, or one of them makes no grid.
    """
    if geobox is not None and resolution is not None:
        raise SceneError("pass geobox= or resolution=, not both.")
    if resolution is not None:
        if not is_number(resolution) or resolution <= 0:
            raise SceneError(
                f"the resolution {resolution!r} is not above 0; it is in units of {crs_name(scene.crs)}."
            )
        return GeoBox.from_bbox(scene.boundingbox, scene.crs, resolution=resolution, tight=True)
    if geobox is None:
        return scene
    if isinstance(geobox, xr.Dataset | xr.DataArray):
        if reason := unevenness(geobox):
            raise SceneError(f"geobox= has no grid: {reason}.")
        geobox = geobox.odc.geobox
    if not isinstance(geobox, GeoBox) or geobox.crs is None or 0 in geobox.shape:
        raise SceneError(
            f"geobox= is {geobox!r}; it must be a GeoBox with a coordinate system and pixels, such as scene.odc.geobox."
        )
    if fault := fault_of_grid(geobox):
        raise SceneError(f"geobox= is no grid: {fault}.")
    return geobox


def times_of_bands(bands: Iterable[Band]) -> xr.DataArray | None:
    """Return the coordinate of the dates, dims ``(time,)`` datetime64 or any dtype; None without dates."""
    data = next(iter(bands)).data
    return data["time"] if "time" in data.dims else None


def bands_by_date(bands: Sequence[Band]) -> list[list[Band]]:
    """Return the bands of each date, in the order of the dates; one list without dates."""
    dates = bands[0].data.sizes.get("time")
    if dates is None:
        return [list(bands)]
    return [[band._replace(data=band.data[i]) for band in bands] for i in range(dates)]


def lights_of(
    scene: xr.Dataset | xr.DataArray | Mapping[str, xr.DataArray] | xr.DataTree,
    dates: Sequence[Sequence[Band]],
    refine: bool | Angles | Light,
) -> list[Light | None]:
    """Return the light of each date; None for the network's own answer.

    Parameters
    ----------
    scene
        What was passed to :func:`~odc_cleansat.classify`: any dims, shape and dtype.
    dates
        Its bands, dims ``(y, x)`` of any dtype, by date.
    refine
        Whether to refine, or the angles or the light of all dates.

    Warns
    -----
    LightWarning
        If angles cannot be right.
    """
    if isinstance(refine, Angles):
        lights = [_checked(refine, _said_of(scene, d[0].data), finest_grid(d)) for d in dates]
    elif isinstance(refine, Light):
        lights = [refine] * len(dates)
    elif refine:
        lights = [Light.of(_said_of(scene, date[0].data), finest_grid(date)) for date in dates]
    else:
        return [None] * len(dates)
    for complaint in dict.fromkeys(each.complaint for each in lights):
        if complaint:
            warn_caller(f"{complaint}.", LightWarning)
    return list(lights)


def _checked(angles: Angles, said: Mapping[str, Any], grid: GeoBox) -> Light:
    """Return the light of angles that a caller gives; warn if the sun did not stand there."""
    if fault := contradiction(angles, said, place_of(grid)):
        warn_caller(
            f"refine is used, and cannot be right: {fault}. Angles are in degrees, clockwise from north.",
            LightWarning,
        )
    return Light(angles)


def describe_lights(lights: Iterable[Light | None]) -> str:
    """Return in a few words by which light a mask of several dates is refined; empty if it is not."""
    return "; ".join(dict.fromkeys(each.describe() for each in lights if each is not None))


def _said_of(
    scene: xr.Dataset | xr.DataArray | Mapping[str, xr.DataArray] | xr.DataTree, band: xr.DataArray
) -> dict[str, Any]:
    """Return what attributes and coordinates say of a date, with its time."""
    attrs = scene.attrs if isinstance(scene, xr.Dataset | xr.DataArray) else {}
    said = {**attrs, **band.attrs, **item_metadata(band)["properties"]}
    time = band.coords.get("time")
    if time is not None and not time.ndim and time.dtype.kind == "M" and not np.isnat(time.values):
        said["datetime"] = datetime.fromisoformat(str(time.values.astype("datetime64[us]")))
    return said
