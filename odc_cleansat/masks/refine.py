"""`refine`: better masks from the other dates of the same place.

The network sees one date. What the ground looked like last week tells shadow from dark fields, and a thin veil
from none. Each cell of the grid is decided in one window, with all dates at once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox

from ..arguments import fault_of_flags
from ..classes import CONFIDENCE_NODATA, CloudClass, ucl_attrs
from ..errors import CleansatError, GapWarning, SceneError, warn_caller
from ..grids.cells import Cell, cells, odd_side
from ..grids.grid import unevenness
from ..scenes.bands import find_bands
from ..scenes.levels import LevelCheck
from ..scenes.packing import Packing, read_packing
from .blocks import pieces_of
from .codes import checked_codes
from .storable import storable
from .time_rules import BANDS, DAYS, Series, refine_window

if TYPE_CHECKING:
    import dask.array as da

SMOOTHING = 90.0
"""Side of the squares over which differences from the ground are averaged, metres: 3 pixels of 30 m."""

_SAMPLE = 10_000
"""Pixels of each window and date of which is looked whether they can be reflectance."""

SURROUNDINGS = 1920.0
"""Side of the squares that are the surroundings of a pixel, metres."""

ATTRIBUTE = "refined"
"""Attribute of a ``ucl`` that has been refined: ``hindsight``, or ``earlier`` if only earlier dates counted."""


def refine(scene: xr.Dataset, *, hindsight: bool = True) -> xr.Dataset:
    """Improve the masks of a time series by what the same ground looked like on other dates.

    The reference of a date is the median of the clear dates within 45 days. Clear ground of the date, in a
    window of 10 km, scales its near infrared to the reference. Then:

    - shadow that is not 22 % darker in near infrared than the reference is clear;
    - cloud that is as dark as that is shadow, and cloud that looks as the ground did is clear;
    - clear ground under an even blue excess of 0.04 to 0.2 is thin cloud;
    - what is masked on more than 60 % of these dates although its surroundings are not is clear.

    Where there is no reference, or dates disagree about the ground, the masks stay as they are. Windows are counted
    from the origin of the coordinate system. So a pixel keeps its class in any extent that reaches 9 km beyond it;
    :func:`odc_cleansat.load` with ``refine="time"`` reads so much.

    Parameters
    ----------
    scene
        Dims ``(time, y, x)`` with an odc-geo geobox and a coordinate ``time``, datetime64: ``ucl``, uint8
        :class:`CloudClass` codes, and the bands blue, red and near infrared, by any name of
        :data:`~odc_cleansat.scenes.bands.S2_BANDS`. They may be digital numbers, with a coordinate ``offset``
        along time as :func:`odc_cleansat.load` adds it, or reflectance. With dask arrays the result is lazy; all
        dates of one window are in memory together.
    hindsight
        Whether later dates count too. Without, only earlier ones do, as they are all that is known in near real time.

    Returns
    -------
    xarray.Dataset
        The scene with another ``ucl``. If it has ``ucl_confidence``, that is 255, no data, where the class is
        another: no network gave it.

    Raises
    ------
    SceneError
        If the scene lacks masks, bands, dates or a grid, or its masks have been refined by time before. If codes are no
        classes, or numbers no reflectance.
    CleansatError
        If `hindsight` is neither True nor False.

    Warns
    -----
    GapWarning
        If there is nothing to compare some dates with. Their masks stay as they are.
    ReflectanceWarning
        If dates seem to have another offset than the others.

    Examples
    --------
    >>> data = odc_cleansat.load(dc, "s2_l2a", time="2024", like=area, dask_chunks={})  # doctest: +SKIP
    >>> better = odc_cleansat.refine(data)  # doctest: +SKIP
    """
    return refine_dates(scene, None, hindsight=hindsight)


def refine_dates(
    scene: xr.Dataset,
    wanted: Sequence[int] | None,
    *,
    hindsight: bool = True,
    told: set[float] | None = None,
    quiet: bool = False,
) -> xr.Dataset:
    """Refine the masks of some of the dates; the others are only compared with.

    Parameters
    ----------
    scene
        Dims ``(time, y, x)``, of any dtype; see :func:`refine`.
    wanted
        Numbers of the dates; None for all.
    hindsight
        See there.
    told
        Days of which the user has been told that they have another offset; more are added.
    quiet
        Whether to say nothing of dates that nothing can be compared with.

    Returns
    -------
    xarray.Dataset
        The scene with another ``ucl``, uint8.

    Raises
    ------
    SceneError, CleansatError
        See there.

    Warns
    -----
    GapWarning, ReflectanceWarning
        See there.
    """
    if fault := fault_of_flags(hindsight=hindsight):
        raise CleansatError(fault)
    grid = _checked_grid(scene)
    names = find_bands(scene.data_vars, BANDS)
    order = np.argsort(scene.time.values, kind="stable")
    place = np.argsort(order)
    dims = ("time", *scene.ucl.odc.spatial_dims)
    ordered = scene[["ucl", *names.values()]].transpose(*dims)
    if (np.diff(order) < 0).any():
        ordered = ordered.isel(time=order)
    job = {
        "days": _days(ordered.time),
        "packings": {band: _packings(ordered[name]) for band, name in names.items()},
        "smoothing": odd_side(SMOOTHING, grid),
        "surroundings": odd_side(SURROUNDINGS, grid),
        "hindsight": bool(hindsight),
        "wanted": [int(i) for i in np.sort(place if wanted is None else place[list(wanted)])],
        "told": set() if told is None else told,
    }
    if not quiet:
        _warn_of_alone(job, ordered.time)
    bands = {band: ordered[name].data for band, name in names.items()}
    codes = _refined(ordered.ucl.data, bands, job, grid)
    found = ordered.ucl.copy(data=codes)
    if (np.diff(order) < 0).any():
        found = found.isel(time=place)
    return _result(scene, found.transpose(*scene.ucl.dims), hindsight)


def _result(scene: xr.Dataset, ucl: xr.DataArray, hindsight: bool) -> xr.Dataset:
    """Return the scene with other masks."""
    known = [CloudClass(code) for code in scene.ucl.attrs.get("flag_values", list(CloudClass))]
    classes = sorted({*known, CloudClass.THIN_CLOUD})
    kind = "hindsight" if hindsight else "earlier"
    attrs = {**scene.ucl.attrs, **ucl_attrs(classes), ATTRIBUTE: kind}
    changed = {"ucl": ucl.assign_attrs(attrs)}
    if "ucl_confidence" in scene:
        same = ucl == scene.ucl
        confidence = scene.ucl_confidence.where(same, np.uint8(CONFIDENCE_NODATA))
        changed["ucl_confidence"] = confidence.assign_attrs(scene.ucl_confidence.attrs)
    return storable(scene.assign(changed))


# --- checks ---------------------------------------------------------------------------


def _checked_grid(scene: xr.Dataset) -> GeoBox:
    """Return the grid of a series that can be refined; raise SceneError if it cannot."""
    if not isinstance(scene, xr.Dataset) or "ucl" not in scene:
        raise SceneError(
            "masks are refined in an xarray.Dataset with bands and `ucl`; add it, e.g. scene['ucl'] = "
            "classify(scene).ucl."
        )
    ucl = scene.ucl
    if ucl.ndim != 3 or "time" not in ucl.dims or 0 in ucl.shape or ucl.dtype != "uint8":
        raise SceneError(
            f"`ucl` is {ucl.dtype} with the dims {dict(ucl.sizes)}; refining needs uint8 codes of dates along `time`."
        )
    if "time" not in scene.coords or scene.time.dtype.kind != "M" or scene.time.isnull().any():
        raise SceneError(
            "refining needs dates: give the scene a coordinate `time` of datetime64, without gaps."
        )
    if ATTRIBUTE in ucl.attrs:
        raise SceneError("the masks have been refined by time already; refine those of before.")
    if reason := unevenness(ucl):
        raise SceneError(f"{reason}.")
    grid: GeoBox | None = ucl.odc.geobox
    if grid is None or grid.crs is None:
        raise SceneError(
            "the scene has no grid with a coordinate system; give it one, e.g. "
            "scene.odc.assign_crs('EPSG:32633')."
        )
    for name in find_bands(scene.data_vars, BANDS).values():
        if set(scene[name].dims) != set(ucl.dims) or scene[name].dtype.kind not in "uif":
            raise SceneError(
                f"{name} is {scene[name].dtype} with the dims {dict(scene[name].sizes)}, `ucl` has "
                f"{dict(ucl.sizes)}; load numbers on the grid and the dates of the masks."
            )
    return grid


def _packings(band: xr.DataArray) -> list[Packing | None]:
    """Return how the numbers of each date become reflectance; None where scenes of several offsets are fused."""
    found: list[Packing | None] = []
    for date in range(band.sizes["time"]):
        one = band.isel(time=date)
        if "offset" in one.coords and one.coords["offset"].dtype.kind not in "iuf":
            raise SceneError(
                f"the coordinate `offset` is {one.coords['offset'].dtype}; give digital numbers, or leave it out."
            )
        fused = "offset" in one.coords and not np.isfinite(one.coords["offset"].values).all()
        found.append(None if fused else read_packing(one))
    return found


def _days(time: xr.DataArray) -> np.ndarray:
    return (time.values - np.datetime64(0, "s")) / np.timedelta64(1, "D")


def _warn_of_alone(job: Mapping[str, Any], time: xr.DataArray) -> None:
    """Warn of dates that nothing can be compared with."""
    days = np.zeros((len(time), 0, 0), "uint8")
    series = Series(bands={}, codes=days, **job)
    alone = [i for i in series.dates() if not series.near(i) or not series.usable(i)]
    if alone:
        listed = ", ".join(str(time.values[i])[:10] for i in alone[:5])
        more = f" and {len(alone) - 5} more" if len(alone) > 5 else ""
        when = "" if job["hindsight"] else " before them"
        warn_caller(
            f"{len(alone)} of {len(series.dates())} masks stay as they are, for no other date within {DAYS:g} days{when} can be "
            f"compared with them: {listed}{more}.",
            GapWarning,
        )


# --- windows --------------------------------------------------------------------------


def _refined(codes: Any, bands: Mapping[str, Any], job: Mapping[str, Any], grid: GeoBox) -> Any:
    """Return better codes, cell by cell; lazy if anything is."""
    if any(hasattr(each, "dask") for each in (codes, *bands.values())):
        return _lazy(codes, bands, job, grid)
    found = np.empty_like(codes)
    for row in cells(grid):
        for cell in row:
            part = (slice(None), *cell.window)
            window = {band: values[part] for band, values in bands.items()}
            rows, columns = cell.inner
            found[:, rows, columns] = _refine_cell(job, codes[part], window, cell)
    return found


def _lazy(codes: Any, bands: Mapping[str, Any], job: Mapping[str, Any], grid: GeoBox) -> da.Array:
    """Return better codes, a task for each cell, which takes pieces of the blocks that its window touches."""
    import dask.array as da
    from dask.highlevelgraph import HighLevelGraph

    codes = da.asarray(codes)
    arrays = [da.asarray(each).rechunk(codes.chunks) for each in (codes, *bands.values())]
    name, table = f"cleansat-refine-{uuid4().hex}", [*cells(grid)]
    layer, pieces = pieces_of(arrays, [cell.window for row in table for cell in row], name)
    for i, row in enumerate(table):
        for j, cell in enumerate(row):
            own = pieces[i * len(row) + j]
            layer[name, 0, i, j] = partial(_refine_pieces, job, [*bands], cell), own
    inner = [row[0].inner[0] for row in table], [cell.inner[1] for cell in table[0]]
    chunks = [(len(codes),), *(tuple(part.stop - part.start for part in axis) for axis in inner)]
    graph = HighLevelGraph.from_collections(name, layer, dependencies=arrays)
    return da.Array(graph, name, chunks, dtype=codes.dtype)


def _refine_pieces(
    job: Mapping[str, Any],
    bands: Sequence[str],
    cell: Cell,
    pieces: Sequence[Sequence[Sequence[np.ndarray]]],
) -> np.ndarray:
    """Return the codes of a cell from the pieces of its window; each holds codes and bands of all dates."""
    codes, *values = (
        np.block([[each[number] for each in row] for row in pieces])
        for number in range(len(bands) + 1)
    )
    return _refine_cell(job, codes, dict(zip(bands, values, strict=True)), cell)


def _check_values(series: Series) -> None:
    """Raise if the codes of a window are no classes, or its numbers no reflectance. Of these a sample is enough."""
    checked_codes(series.codes)
    step = max(1, round(math.sqrt(series.codes[0].size / _SAMPLE)))
    sample = replace(
        series,
        codes=series.codes[:, ::step, ::step],
        bands={band: values[:, ::step, ::step] for band, values in series.bands.items()},
    )
    levels = LevelCheck(BANDS)
    for date in filter(series.usable, range(len(series.codes))):
        pixels = np.stack([sample.reflectance(band, date) for band in BANDS])
        levels.add_together(pixels)
        for i, band in enumerate(BANDS):
            packing = series.packing(band, date)
            levels.add(i, pixels[i], series.bands[band].dtype, packing)
    levels.refuse()


def _refine_cell(
    job: Mapping[str, Any], codes: np.ndarray, bands: Mapping[str, np.ndarray], cell: Cell
) -> np.ndarray:
    """Return the codes of a cell, dims ``(time, y, x)``, from those of its window."""
    series = Series(bands=bands, codes=codes, **job)
    _check_values(series)
    found = refine_window(series)
    inner = (slice(None), *cell.within)
    return np.ascontiguousarray(found[inner])
