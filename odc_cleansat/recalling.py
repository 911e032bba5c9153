"""`recall`: indexed masks back from a datacube, at any coordinate system, resolution and extent.

It stands in a module of another name than its own, because a module `recall` would hide the
function of that name in the package as soon as anything imported it.

Masks are read at their native resolution, never from overviews, and only where they are needed.
Which native pixel belongs to which target pixel follows from the transformed centres alone, so
that the answer depends neither on the extent asked for nor on the chunks.
"""

from __future__ import annotations

import datetime
import math
import warnings
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from numbers import Integral
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np
import xarray as xr
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry, bbox_union, box

from .classes import CLOUDS, CONFIDENCE_NODATA, CloudClass, confidence_attrs, ucl_attrs
from .errors import CubeError, GapWarning, ModelError, ModelWarning, tell
from .grids import crs_name
from .index import MASK_PRODUCT
from .models import Model, get_model
from .models.weights import known_sha256
from .pixels import Roi, halves, pixel_indices, reach, tiles
from .storage import configured, credentials, prepare_gdal

if TYPE_CHECKING:
    import dask.array as da
    from datacube import Datacube
    from datacube.model import Dataset
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

PLACE = ("x", "y", "lon", "lat", "longitude", "latitude", "crs", "geopolygon")
"""What in a query says where."""

BLOCK = 2048
"""Side of the blocks in which the result is made where no chunks are asked for."""

TILE = 512
"""Side of the target's tiles, and half that of the native blocks, that are worked on at a time."""

LARGEST = 4096**2
"""Native pixels that are read at a time, unless a single target pixel needs more."""

WIDEST = 5.0
"""Degrees beyond which the size of a pixel cannot be meant."""

_MERIDIAN = (
    "Ask for the two sides of the 180° meridian one after the other, or for a projected grid "
    "across it as like= or geobox=, e.g. in EPSG:32601 or EPSG:3832."
)


def recall(
    dc: Datacube,
    product: str | None = MASK_PRODUCT,
    *,
    like: GeoBox | xr.Dataset | xr.DataArray | None = None,
    geobox: GeoBox | None = None,
    output_crs: Any = None,
    resolution: Any = None,
    how: str = "nearest",
    model: str | Model | None = None,
    measurements: str | Sequence[str] | None = None,
    group_by: Any = "time",
    dask_chunks: Mapping[str, Any] | None = None,
    only_accepted: bool = False,
    include_rejected: bool = False,
    datasets: Iterable[Dataset] | None = None,
    **query: Any,
) -> xr.Dataset:
    """Indexed masks on any grid.

    Queries and grids are those of `dc.load`. Unlike `dc.load`, which thins the native pixels
    out before it resamples them, this looks at every one.

    Parameters
    ----------
    dc
        The datacube.
    product
        A product of masks; not needed with `datasets`.
    like, geobox
        The grid of the result, rotated ones included: of a Dataset or DataArray, whose times then
        limit the search as well, or a GeoBox.
    output_crs, resolution
        Instead of a grid: coordinate system, and pixel size in its units. Where they are left out,
        they are those of the masks, if these share them.
    how
        ``nearest``: the class at the centre of each pixel.
        ``mode``: the commonest class of the native pixels with data.
        ``any_cloud``: the worst class of them: cloud if one is cloud, else thin cloud, else shadow,
        snow, water, clear.
        ``fraction``: the shares of them that are cloud or thin cloud, and shadow.
        A native pixel counts for the one pixel that its centre is in. Where none is, because the
        grid is fine, the native pixel at the pixel's own centre does.
    model
        Name or :class:`Model` that made the masks; needed where a scene has masks by several. Of one model's masks those
        by the weights that it has here are taken, where there are any.
    measurements
        ``ucl`` (the default) and ``ucl_confidence``; for fractions ``cloud_fraction`` and
        ``shadow_fraction`` (both by default). An aggregated confidence is the mean of the
        native pixels of the class.
    group_by
        As in `dc.load`: ``time``, ``solar_day``, or a `GroupBy`. Within a group the earliest mask that
        has data at a native pixel wins, and of one scene's masks the one made last.
    dask_chunks
        As in `dc.load`: with it the result is lazy.
    only_accepted
        Take only masks that a reviewer has accepted.
    include_rejected
        Take also those that a reviewer has rejected, which by default are left out; see
        :mod:`odc_cleansat.review.verdicts`.
    datasets
        Instead of a search: these masks, also where none is in the area.
    **query
        As in `dc.load`: `x`, `y` and `crs`, or `longitude` and `latitude`, or `geopolygon`; `time`;
        `align`; other search terms.

    Returns
    -------
    xarray.Dataset
        Dims ``(time, y, x)``, or ``(time, latitude, longitude)`` on a geographic grid: ``ucl``, uint8
        :class:`CloudClass` codes, nodata 0; ``ucl_confidence``, uint8 percent, nodata 255;
        ``cloud_fraction`` and ``shadow_fraction``, float32 of 0 to 1, NaN without data.

    Raises
    ------
    CubeError
        If the product, a measurement, the model or an option is unknown, no mask
        matches the query, reviewers leave none, a scene has masks by several models and none is named,
        no grid follows from the query, the grid is too large for the memory, or no file can be read.

    Warns
    -----
    GapWarning
        If some of the files cannot be read, or masks are left out for what reviewers said; the rest is
        loaded. Dask's threads say it in the log
        ``odc_cleansat``, for they may lose a warning.
    ModelWarning
        If a scene has several masks by one model, made with several offsets or by other weights than it has here.
    """
    from .review.verdicts import heed

    if only_accepted and include_rejected:
        raise CubeError(
            "only_accepted and include_rejected contradict each other; pass one of them."
        )
    prepare_gdal()
    query = {key: value for key, value in query.items() if value is not None}
    names = _names(how, measurements)
    grid = _given_grid(like, geobox, output_crs, resolution, query)
    group = _group_by(group_by)
    if datasets is None:
        found = _search(dc, _checked_product(dc, product), grid, like, group_by, query)
    else:
        found = listed(datasets, query, "align")
    if model is not None:
        found = _made_by(model, found)
    if not include_rejected:
        found = heed(found, found, "masks", only_accepted=only_accepted)
    native = {each.id: _native_grid(each) for each in found}
    output = grid or _asked_grid(found, list(native.values()), output_crs, resolution, query)
    if datasets is None:
        found = _within(output, found, native)
    found = of_one_model(found, None)
    groups = dc.group_datasets(found, group)
    masks = _readable(found, native, names)
    plan = [
        [masks[each.id] for each in _in_order(one) if each.id in masks] for one in groups.values
    ]
    if dask_chunks is not None:
        chunks = _chunks(groups, output, dask_chunks)
        return _dataset(groups, output, names, _lazy(plan, output, how, names, chunks, None))
    check_memory(output, len(plan), names)
    lost = _Losses()
    lazy = _lazy(plan, output, how, names, (len(plan), BLOCK, BLOCK), lost)
    result: xr.Dataset = _dataset(groups, output, names, lazy).compute(scheduler="threads")
    _judge(list(masks.values()), lost)
    return result


@dataclass(frozen=True)
class _Mask:
    """Where a mask is; small, and goes into the graph."""

    id: UUID
    """Of its dataset."""

    label: str
    """What a person calls it."""

    grid: GeoBox
    """Its native grid."""

    bands: tuple[tuple[str, int], ...]
    """File and band number of ``ucl`` and, if asked for, of ``ucl_confidence``."""


class _Losses:
    """Why masks could not be read, while a result in memory is made.

    No dataclass and no dict: dask would copy those into its graph.
    """

    def __init__(self) -> None:
        self.why: dict[UUID, str] = {}


# --- what is asked for ----------------------------------------------------------------


def _names(how: str, measurements: str | Sequence[str] | None) -> list[str]:
    if how not in VARIABLES:
        raise CubeError(f"how={how!r} is unknown; choose from {', '.join(VARIABLES)}.")
    if measurements is None:
        return list(FRACTIONS) if how == "fraction" else ["ucl"]
    names = [measurements] if isinstance(measurements, str) else list(measurements)
    if unknown := [name for name in names if name not in VARIABLES[how]]:
        raise CubeError(
            f"there is no measurement {', '.join(map(repr, unknown))} with how={how!r}; "
            f"choose from {', '.join(VARIABLES[how])}."
        )
    if not names:
        raise CubeError(f"measurements is empty; choose from {', '.join(VARIABLES[how])}.")
    return list(dict.fromkeys(names))


def _checked_product(dc: Datacube, product: str | None) -> str:
    known = {each.name: each for each in dc.index.products.get_all()}
    suitable = sorted(n for n, p in known.items() if "ucl" in p.measurements)
    instead = f"Products with ucl are: {', '.join(suitable) or 'none; mask scenes and index them'}."
    if product is None or product not in known:
        raise CubeError(f"the index has no product {product!r}. {instead}")
    if product not in suitable:
        has = ", ".join(known[product].measurements)
        raise CubeError(f"the product {product} has no measurement ucl, only {has}. {instead}")
    return product


def _group_by(group_by: Any) -> Any:
    from datacube.api.query import query_group_by

    try:
        return query_group_by(group_by=group_by)
    except LookupError as error:
        raise CubeError(
            f"group_by={group_by!r} is unknown; choose time or solar_day, or pass a GroupBy."
        ) from error


# --- the grid -------------------------------------------------------------------------


def _given_grid(
    like: Any, geobox: GeoBox | None, output_crs: Any, resolution: Any, query: Mapping[str, Any]
) -> GeoBox | None:
    """The grid that was passed whole, if any."""
    if like is None and geobox is None:
        return None
    other = {"output_crs": output_crs, "resolution": resolution, "align": query.get("align")}
    clash = [name for name, value in other.items() if value is not None]
    if like is not None and geobox is not None:
        clash.append("like")
    if _area(query) is not None:
        clash.append("an area")
    if clash:
        raise CubeError(
            f"{', '.join(clash)} cannot go with {'geobox' if like is None else 'like'}, which "
            "says it all; leave one of them out."
        )
    given = like if geobox is None else geobox
    grid = given.odc.geobox if isinstance(given, (xr.Dataset, xr.DataArray)) else given
    if not isinstance(grid, GeoBox) or grid.crs is None:
        raise CubeError(
            f"{'geobox' if like is None else 'like'} has no grid with a coordinate system; pass a "
            "GeoBox, or data that have one in .odc.geobox."
        )
    _check_grid(grid)
    return grid


def _native_grid(dataset: Dataset) -> GeoBox:
    from datacube.testutils.io import native_geobox

    try:
        return native_geobox(dataset, basis="ucl")
    except (KeyError, ValueError) as error:
        raise CubeError(
            f"the dataset {dataset.id} of the product {dataset.product.name} has no band ucl with a "
            "grid; pass masks."
        ) from error


def _asked_grid(
    datasets: Sequence[Dataset],
    native: Sequence[GeoBox],
    output_crs: Any,
    resolution: Any,
    query: Mapping[str, Any],
) -> GeoBox:
    """The grid of a query, as `dc.load` makes it; the masks' own where it does not say."""
    from datacube.api.core import output_geobox

    hints = datasets[0].product.load_hints() or _hints(native, output_crs, resolution)
    crs = _crs(output_crs or hints["output_crs"])
    area = _area(query)
    if area is not None:
        _check_area(area, crs)
    try:
        if area is None:
            area = box(*bbox_union(g.footprint(crs).boundingbox for g in native), crs=crs)
        grid: GeoBox = output_geobox(
            output_crs=output_crs,
            resolution=resolution,
            align=query.get("align"),
            load_hints=hints,
            geopolygon=area,
        )
    except Exception as error:  # of datacube, odc-geo and shapely, each with its own
        raise CubeError(
            f"no grid in {crs_name(crs)} with resolution {resolution or hints['resolution']} can be "
            f"laid over the area: {str(error) or type(error).__name__}. Choose a coordinate system for that part of the Earth, and "
            "a resolution in its units."
        ) from error
    _check_grid(grid)
    return grid


def _hints(native: Sequence[GeoBox], output_crs: Any, resolution: Any) -> dict[str, Any]:
    """What a product's `load` would say, from the grids of its datasets."""
    systems = list(dict.fromkeys(crs_name(grid.crs) for grid in native))
    sizes = {grid.resolution.yx for grid in native}
    if output_crs is None and len(systems) > 1:
        raise CubeError(
            f"the masks are in several coordinate systems ({', '.join(systems)}), so that they have no "
            "common grid; pass output_crs and resolution, or a grid as like or geobox."
        )
    crs = _crs(output_crs or systems[0])
    if resolution is None and not ([crs_name(crs)] == systems and len(sizes) == 1):
        raise CubeError(
            f"the masks have no common pixel size in {crs_name(crs)}; pass the resolution, in "
            f"{'degrees' if crs.geographic else 'units of that system'}."
        )
    hints: dict[str, Any] = {"output_crs": crs, "resolution": resolution, "align": None}
    if resolution is None:
        hints |= {"resolution": native[0].resolution, "align": native[0].alignment}
    return hints


def _crs(name: Any) -> CRS:
    try:
        return CRS(name)
    except Exception as error:  # pyproj's own, which odc-geo lets through
        raise CubeError(f"{name!r} is no coordinate system: {error}") from error


def _check_grid(grid: GeoBox) -> None:
    if 0 in grid.shape:
        raise CubeError(
            f"the grid is empty: its shape is {tuple(grid.shape)}; it needs a pixel at least."
        )
    bounds, pixel = grid.boundingbox, abs(grid.resolution.x)
    if grid.crs.geographic and pixel > WIDEST:
        raise CubeError(
            f"pixels of {pixel:g} degrees are meant as metres; in {crs_name(grid.crs)} the resolution is in degrees: "
            "0.0002 is about 20 m."
        )
    if grid.crs.geographic and not -180 - pixel <= bounds.left <= bounds.right <= 180 + pixel:
        raise CubeError(
            f"the grid goes from {bounds.left:g}° to {bounds.right:g}°, across the antimeridian. "
            + _MERIDIAN
        )


def _check_area(area: Geometry, crs: CRS) -> None:
    """Refuse an area across the antimeridian, unless the grid is in its own projected system."""
    bounds = area.boundingbox
    beyond = area.crs.geographic and not -180 <= bounds.left <= bounds.right <= 180
    if beyond or (area.crs != crs and not area.crs.geographic and _wraps(area)):
        raise CubeError("the area lies across the antimeridian. " + _MERIDIAN)


def _wraps(area: Geometry) -> bool:
    lon, _ = _lonlat(area)
    steps = [np.abs(np.diff(lon, axis=axis)) for axis in (0, 1)]
    return any(bool((step[np.isfinite(step)] > 180).any()) for step in steps)


def _lonlat(area: Geometry) -> tuple[np.ndarray, np.ndarray]:
    """Longitudes and latitudes at points all over the bounding box of an area."""
    bounds = area.boundingbox
    x, y = (np.linspace(low, high, 33) for low, high in (bounds.range_x, bounds.range_y))
    to_lonlat = area.crs.transformer_to_crs(CRS("EPSG:4326"))
    found: tuple[np.ndarray, np.ndarray] = to_lonlat(*np.meshgrid(x, y))
    return found


# --- the masks ------------------------------------------------------------------------


def _search(
    dc: Datacube,
    product: str,
    grid: GeoBox | None,
    like: Any,
    group_by: Any,
    query: Mapping[str, Any],
) -> list[Dataset]:
    """Datasets that match the query, or an error that says which part of it matches nothing."""
    from datacube.index import strip_all_spatial_fields_from_query

    check_longitudes(query)
    area = grid.extent if grid is not None else _area(query)
    terms = {
        key: value
        for key, value in strip_all_spatial_fields_from_query(dict(query)).items()
        if key not in ("geopolygon", "align")
    }
    by_day = group_by == "solar_day" and "time" not in terms and timed(like)
    if "time" not in terms:
        terms |= times_of(like, group_by)
    where = {} if area is None else _where(area)
    found = _find(dc, product, {**terms, **where})
    if found := on_days_of(like, found) if by_day else found:
        return found
    if not _find(dc, product, {"limit": 1}):
        raise CubeError(
            f"the product {product} has no datasets yet; mask scenes and index them first."
        )
    if not _find(dc, product, {**terms, "limit": 1}):
        first, last = dc.index.products.temporal_extent(product)
        asked = ", ".join(f"{key}={value!r}" for key, value in terms.items())
        raise CubeError(
            f"no mask of the product {product} matches {asked}; its masks are from "
            f"{first:%Y-%m-%d} to {last:%Y-%m-%d}."
        )
    raise CubeError(_nothing_there(product))


def _find(dc: Datacube, product: str, terms: Mapping[str, Any]) -> list[Dataset]:
    try:
        found: list[Dataset] = dc.find_datasets(product=product, **terms)
    except (LookupError, TypeError, ValueError) as error:
        detail = " ".join(str(each) for each in error.args)
        raise CubeError(f"the query cannot be understood: {detail}") from error
    return found


def _area(query: Mapping[str, Any]) -> Geometry | None:
    """The area of a query, as datacube understands it."""
    from datacube.index import extract_geom_from_query

    try:
        area: Geometry | None = extract_geom_from_query(**query)
    except Exception as error:  # also assertions, and pyproj's own for an unknown crs
        raise CubeError(f"the area of the query cannot be understood: {error}") from error
    # Datacube would cut the outline of a line into pieces without end.
    if area is not None and 0 in (area.boundingbox.span_x, area.boundingbox.span_y):
        raise CubeError(
            "the area of the query has no width or no height; pass (from, to) for both."
        )
    return area


def listed(datasets: Iterable[Dataset], query: Mapping[str, Any], also: str) -> list[Dataset]:
    """The datasets that are given instead of a query, of which only the place may go with them.

    Raises
    ------
    CubeError
        If there are none, or the query says more than the place and what is named `also`.
    """
    if unknown := query.keys() - {*PLACE, also}:
        raise CubeError(
            f"{', '.join(sorted(unknown))} cannot go with datasets=, which leaves nothing to search; "
            "leave it out, or check its spelling."
        )
    found = list(datasets)
    if not found:
        raise CubeError("datasets= is empty; pass at least one, or a query instead.")
    return found


def _within(
    output: GeoBox, datasets: Sequence[Dataset], native: Mapping[UUID, GeoBox]
) -> list[Dataset]:
    found = [each for each in datasets if reach(native[each.id], output)]
    if not found:
        raise CubeError(_nothing_there(datasets[0].product.name))
    return found


def _nothing_there(product: str) -> str:
    return (
        f"the product {product} has masks, but none that matches the query in this area; check the "
        "area and its coordinate system (that of x and y is EPSG:4326 unless crs= says otherwise)."
    )


def check_longitudes(query: Mapping[str, Any]) -> None:
    """Refuse an area across the antimeridian: datacube would read (179, -179) as the 358 degrees between.

    Raises
    ------
    CubeError
        Saying what to do instead.
    """
    if "crs" in query and not _crs(query["crs"]).geographic:
        return
    for name in ("x", "lon", "longitude"):
        value = query.get(name)
        if isinstance(value, Sequence) and len(value) == 2 and value[0] - value[1] > 180:
            raise CubeError(f"{name}={value!r} lies across the antimeridian. " + _MERIDIAN)


def _where(area: Geometry) -> dict[str, Any]:
    """Search terms for an area; not too narrow, as `_reach` looks again.

    Datacube's own search by area finds nothing in half a globe and more, nor masks that lie across
    the antimeridian.
    """
    lon, lat = _lonlat(area)
    if not (np.isfinite(lon).all() and np.isfinite(lat).all()):
        return {}
    if np.ptp(lon) <= 180 and np.abs(lon).max() <= 174:
        return {"geopolygon": area}
    margin = np.abs(np.diff(lat, axis=0)).max()
    return {"lat": (max(lat.min() - margin, -90), min(lat.max() + margin, 90))}


def timed(like: Any) -> bool:
    """Whether it says times, and not only a grid."""
    return (
        isinstance(like, (xr.Dataset, xr.DataArray))
        and "time" in like.coords
        and like.time.size > 0
    )


def times_of(like: Any, group_by: Any) -> dict[str, Any]:
    """Search terms for the times of what is alike, as `dc.load` takes them.

    Of what is to be grouped by solar day, too much, which :func:`on_days_of` takes off again: the time of a day is
    that of its first scene.
    """
    if not timed(like):
        return {}
    times = like.time.values.astype("datetime64[us]")
    spare = datetime.timedelta(days=1 if group_by == "solar_day" else 0)
    return {"time": (times.min().item() - spare, times.max().item() + spare)}


def on_days_of(like: Any, datasets: Sequence[Dataset]) -> list[Dataset]:
    """Those of the solar days of what is alike."""
    from datacube.api.query import solar_day, solar_offset

    times = np.atleast_1d(like.time.values).astype("datetime64[s]")

    def alike(dataset: Dataset) -> bool:
        days = times + np.timedelta64(solar_offset(dataset, "s"))
        return bool((days.astype("datetime64[D]") == solar_day(dataset)).any())

    return [each for each in datasets if alike(each)]


def _model(dataset: Dataset) -> str:
    return str(dataset.metadata_doc.get("properties", {}).get("cleansat:model", "an unknown model"))


def of_one_model(datasets: Sequence[Dataset], model: str | Model | None) -> list[Dataset]:
    """The masks by a model; all if none is named, unless there are several of one scene.

    Raises
    ------
    CubeError
        If a scene has masks by several models and none is named, or there are none by the one that is.
    """
    found = list(datasets) if model is None else _made_by(model, datasets)
    _check_models(found)
    return _of_one_version(found)


def _made_by(model: str | Model, datasets: Sequence[Dataset]) -> list[Dataset]:
    name = model.name if isinstance(model, Model) else model
    found = [each for each in datasets if _model(each) == name]
    if not found:
        raise CubeError(
            f"there is no mask by the model {name!r} in the area and time; there are masks by "
            f"{', '.join(sorted({_model(each) for each in datasets}))}."
        )
    return found


def _check_models(datasets: Sequence[Dataset]) -> None:
    """Refuse to choose between masks of one scene by several models."""
    makers: dict[Hashable, set[str]] = {}
    for each in datasets:
        makers.setdefault(_scene(each), set()).add(_model(each))
    if rivals := {name for names in makers.values() if len(names) > 1 for name in names}:
        raise CubeError(
            "there are masks of the same scene by several models; choose with model=: "
            f"{', '.join(sorted(rivals))}."
        )


def _of_one_version(datasets: Sequence[Dataset]) -> list[Dataset]:
    """Of a scene's masks by one model, those by the weights that the model has here, if there are any.

    Warns
    -----
    ModelWarning
        If a scene still has several, of which the one made last will be taken.
    """
    scenes: dict[Hashable, list[Dataset]] = {}
    for each in datasets:
        scenes.setdefault(_scene(each), []).append(each)
    rivals = [masks for masks in scenes.values() if len(masks) > 1]
    here = {name: _sha256(name) for name in {_model(each) for masks in rivals for each in masks}}
    several, left = [], set()
    for masks in rivals:
        present = [m for m in masks if _said(m, "weights_sha256") == here[_model(m)]]
        kept = present or masks
        left |= {each.id for each in masks if each not in kept}
        if len({(_said(each, "weights_sha256"), _said(each, "offset")) for each in kept}) > 1:
            several.append(_in_order(kept))
    if several:
        first = several[0][0]
        offsets = sorted({float(_said(each, "offset") or 0) for masks in several for each in masks})
        made = (
            f"with the offsets {', '.join(f'{offset:g}' for offset in offsets)}"
            if len(offsets) > 1
            else "by several weights"
        )
        warnings.warn(
            f"{len(several)} of {len(scenes)} scenes have several masks by {_model(first)}, made {made}; those made "
            "last are taken. Archive the others (datacube dataset archive), or pass datasets=.",
            ModelWarning,
            stacklevel=4,
        )
    return [each for each in datasets if each.id not in left]


def _said(dataset: Dataset, key: str) -> Any:
    return dataset.metadata_doc.get("properties", {}).get(f"cleansat:{key}")


def _sha256(name: str) -> str | None:
    """Of the weights that a model has here; None where there is no such model, or it was never fetched."""
    try:
        return known_sha256(get_model(name)) or None
    except ModelError:
        return None


def _scene(dataset: Dataset) -> Hashable:
    """What the masks of one scene have in common; a search gives no lineage."""
    region = dataset.metadata_doc.get("properties", {}).get("odc:region_code")
    return dataset.center_time, region or str(dataset.extent)


def _in_order(group: Iterable[Dataset]) -> list[Dataset]:
    """The earliest first; masks of one time, the one made last first."""
    newest = sorted(group, key=lambda each: str(each.id))
    newest.sort(key=_processed, reverse=True)
    return sorted(newest, key=lambda each: each.center_time)


def _processed(dataset: Dataset) -> datetime.datetime:
    from datacube.utils.dates import normalise_dt

    made = dataset.metadata_doc.get("properties", {}).get("odc:processing_datetime")
    when: datetime.datetime = normalise_dt(made or "1970-01-01")
    return when


def _readable(
    datasets: Sequence[Dataset], grids: Mapping[UUID, GeoBox], names: Sequence[str]
) -> dict[UUID, _Mask]:
    """The masks whose files are not known to be gone."""
    from pathlib import Path

    from datacube.storage import BandInfo
    from datacube.utils.uris import uri_to_local_path

    wanted = CLASSES if "ucl_confidence" in names else CLASSES[:1]
    masks, gone = {}, {}
    for each in datasets:
        label = f"{each.center_time:%Y-%m-%d %H:%M}, dataset {each.id}"
        try:
            infos = [BandInfo(each, name) for name in wanted]
        except ValueError as error:
            gone[label] = str(error)
            continue
        paths = [
            str(uri_to_local_path(info.uri)) if info.uri.startswith("file:") else info.uri
            for info in infos
        ]
        for info, path in zip(infos, paths, strict=True):
            if info.uri.startswith("file:") and not Path(path).exists():
                gone[label] = f"{path} does not exist"
        bands = tuple((path, info.band or 1) for path, info in zip(paths, infos, strict=True))
        if label not in gone:
            masks[each.id] = _Mask(each.id, label, grids[each.id], bands)
    _tell(gone, len(datasets), stacklevel=4)
    return masks


def _judge(masks: Sequence[_Mask], lost: _Losses) -> None:
    _tell({m.label: lost.why[m.id] for m in masks if m.id in lost.why}, len(masks), stacklevel=4)


def _tell(gone: Mapping[str, str], number: int, stacklevel: int) -> None:
    """Say which masks cannot be read; give up if it is all of them."""
    if not gone:
        return
    listed = "; ".join(f"{label} ({why})" for label, why in [*gone.items()][:5])
    more = f" and {len(gone) - 5} more" if len(gone) > 5 else ""
    if len(gone) == number:
        raise CubeError(
            f"none of the {number} masks can be read: {listed}{more}. Bring the files back, or "
            "archive the datasets and mask the scenes anew."
        )
    warnings.warn(
        f"{len(gone)} of {number} masks cannot be read, and there are no data where they would be: "
        f"{listed}{more}.",
        GapWarning,
        stacklevel=stacklevel,
    )


def check_memory(grid: GeoBox, times: int, names: Sequence[str]) -> None:
    """Refuse a result that does not fit: before anything is read, not when memory is exhausted.

    Raises
    ------
    CubeError
        Saying how large it is.
    """
    import psutil
    from distributed.system import MEMORY_LIMIT

    rows, columns = grid.shape
    size = sum(np.dtype(_dtype(name)).itemsize for name in names)
    needed = 2 * size * times * rows * columns  # the blocks, and the whole that is made of them
    free = min(psutil.virtual_memory().available, MEMORY_LIMIT)
    if needed > free:
        y, x = grid.dimensions
        raise CubeError(
            f"the grid has {rows} x {columns} pixels, for {times} times; that needs "
            f"{needed / 1e9:,.0f} GB of memory, and {free / 1e9:,.1f} GB are free. Check the resolution, "
            f"given in units of {crs_name(grid.crs)}, or pass dask_chunks={{{y!r}: 2048, {x!r}: 2048}}."
        )


# --- the result -----------------------------------------------------------------------


def _dtype(name: str) -> str:
    return "float32" if name in FRACTIONS else "uint8"


def _nodata(name: str) -> float:
    return {"ucl": int(CloudClass.NODATA), "ucl_confidence": CONFIDENCE_NODATA}.get(name, math.nan)


def _attrs(name: str) -> dict[str, Any]:
    if name in FRACTIONS:
        kind = "cloud or thin cloud" if name == "cloud_fraction" else "cloud shadow"
        long_name = f"share of the mask's pixels with data that are {kind}"
        return {"units": "1", "nodata": math.nan, "long_name": long_name}
    return ucl_attrs() if name == "ucl" else confidence_attrs()


def _dataset(
    groups: xr.DataArray, output: GeoBox, names: Sequence[str], layers: Mapping[str, da.Array]
) -> xr.Dataset:
    """Coordinates and attributes as `dc.load` gives them."""
    from datacube import Datacube
    from datacube.model import Measurement

    measurements = [Measurement(name=name, dtype=_dtype(name), **_attrs(name)) for name in names]
    result: xr.Dataset = Datacube.create_storage(
        groups.coords, output, measurements, lambda m, shape: layers[m.name]
    )
    return result


def _chunks(
    groups: xr.DataArray, output: GeoBox, chunks: Mapping[str, Any]
) -> tuple[int, int, int]:
    """Sizes along time, y and x; as in `dc.load`, single times and whole extents if not said."""
    dims = ("time", *output.dimensions)
    if not isinstance(chunks, Mapping):
        raise CubeError(
            f"dask_chunks is {chunks!r}; pass a size for each dim, such as {{'x': 2048, 'y': 2048}}."
        )
    alias = dict(zip(("time", "y", "x"), dims, strict=True))
    asked = {alias.get(name, name): size for name, size in chunks.items()}
    if unknown := set(asked) - set(dims):
        raise CubeError(
            f"dask_chunks has {', '.join(sorted(map(str, unknown)))}; the dims are {', '.join(dims)}."
        )
    sizes = []
    for dim, length, default in zip(dims, (groups.size, *output.shape), (1, -1, -1), strict=True):
        size = asked.get(dim, default)
        size = default if size is None or size == "auto" else size
        if not isinstance(size, Integral) or size == 0:
            raise CubeError(f"dask_chunks has {dim}: {size!r}; pass a number of pixels, or 'auto'.")
        sizes.append(length if size < 0 else int(size))
    return sizes[0], sizes[1], sizes[2]


def _lazy(
    plan: Sequence[Sequence[_Mask]],
    output: GeoBox,
    how: str,
    names: Sequence[str],
    chunks: tuple[int, int, int],
    lost: _Losses | None,
) -> dict[str, da.Array]:
    """The layers, ``(time, y, x)``, one task for each block that masks reach."""
    import dask.array as da
    from dask.delayed import delayed

    depth, height, width = chunks
    options = configured()
    blocks = tiles(output.shape, height, width)

    def block(near: Sequence[tuple[_Mask, Roi]], roi: Roi) -> dict[str, da.Array]:
        here = [mask for mask, reach in near if _overlap(reach, roi)]
        part = output[roi]
        if not here:
            return {n: da.full(tuple(part.shape), _nodata(n), dtype=_dtype(n)) for n in names}
        made = delayed(_block, name="cleansat-recall")(here, part, how, list(names), lost, options)
        return {n: da.from_delayed(made[n], tuple(part.shape), _dtype(n)) for n in names}

    times = []
    for masks in plan:
        reaches = ((mask, reach(mask.grid, output)) for mask in masks)
        near = [(mask, reach) for mask, reach in reaches if reach]
        rows = [[block(near, roi) for roi in row] for row in blocks]
        times.append({n: da.block([[each[n] for each in row] for row in rows]) for n in names})
    return {n: da.stack([each[n] for each in times]).rechunk({0: depth}) for n in names}


def _overlap(a: Roi, b: Roi) -> bool:
    return all(p.start < q.stop and q.start < p.stop for p, q in zip(a, b, strict=True))


# --- the tasks ------------------------------------------------------------------------


def _block(
    masks: Sequence[_Mask],
    target: GeoBox,
    how: str,
    names: Sequence[str],
    lost: _Losses | None,
    options: dict[str, Any],
) -> dict[str, np.ndarray]:
    """The layers of one time and one block of the output, ``(y, x)``."""
    result = {n: np.full(target.shape, _nodata(n), dtype=_dtype(n)) for n in names}
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
    sources: Sequence[_Source], target: GeoBox, how: str, names: Sequence[str]
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
    sources: Sequence[_Source], target: GeoBox, bands: int
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


def _fused(sources: Sequence[_Source], target: GeoBox, bands: int) -> np.ndarray:
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
class _Source:
    """An open mask."""

    mask: _Mask
    files: list[DatasetReader]
    lost: _Losses | None
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
        roi = reach(self.grid, target)
        if roi is not None:
            rows, columns = roi
            result[:, rows, columns] = self._sample(target[roi], bands)
        return result

    def _sample(self, target: GeoBox, bands: int) -> np.ndarray:
        result = _blank(bands, target.shape)
        inside, row, column = pixel_indices(target, self.grid)
        if not inside.any():
            return result
        top, left = row.min(), column.min()
        window = (slice(top, row.max() + 1), slice(left, column.max() + 1))
        if self.grid[window].shape.x * self.grid[window].shape.y > LARGEST and row.size > 1:
            # Far fewer pixels than native ones: no need to have all of these at a time.
            for rows, columns in halves(*target.shape):
                result[:, rows, columns] = self._sample(target[rows, columns], bands)
            return result
        result[:, inside] = self.read(window, bands)[:, row - top, column - left]
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


def _open(mask: _Mask, stack: ExitStack, lost: _Losses | None) -> _Source | None:
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
    return _Source(mask, files, lost)


def _lose(mask: _Mask, error: Exception, lost: _Losses | None) -> None:
    """Note that a mask cannot be read; on a worker, tell the user at once."""
    if lost is not None:
        lost.why[mask.id] = str(error)
    else:
        tell(
            f"a mask cannot be read, and there are no data where it would be: {mask.label} ({error}).",
            GapWarning,
        )
