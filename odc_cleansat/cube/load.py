"""`load`: `dc.load` with the UCL, from the index where it is there, and computed where it is not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox

from ..arguments import is_number, texts
from ..errors import CubeError, ReflectanceWarning, warn_caller
from ..masks.presets import Preset, get_preset
from ..masks.storable import storable
from ..products.verdict_filter import filter_by_verdict
from ..scenes.bands import is_reflective
from .choose import check_flags
from .driver import BANDS
from .graph import check_dims
from .lookup import MaskedScene, MaskOptions, look_up, search_masks_of, warn_of_other_masks
from .mixture import check_one_scale
from .output_grid import BLOCK, GridOptions, check_memory, lay_grid, product_hints
from .over_time import History, check_refine
from .patching import leaving
from .prepare import PreparedScenes, prepare
from .query import Query, find_scenes, grouping
from .reader import LayerReader
from .reading import reading_options

if TYPE_CHECKING:
    from uuid import UUID

    from datacube import Datacube
    from datacube.model import Dataset


_ALIASES = {alias: name for name, band in BANDS.items() for alias in band["aliases"]}


def load(
    dc: Datacube,
    product: str | Sequence[str] | None = None,
    *,
    measurements: str | Sequence[str] | None = None,
    ucl: str = "auto",
    model: str | None = None,
    thresholds: Mapping[str, float] | None = None,
    offset: float | None = None,
    scale: float | None = None,
    preset: str | Preset | None = None,
    min_clear: float | None = None,
    refine: bool | str | None = True,
    harmonized: bool = False,
    only_accepted: bool = False,
    include_rejected: bool = False,
    datasets: Dataset | Iterable[Dataset] | None = None,
    **query: Any,
) -> xr.Dataset:
    """Load Sentinel-2 scenes with the UNet classification layer.

    It takes the arguments of `dc.load`, and some more. Each scene is masked by itself, before anything is
    fused or reprojected. If the index has its mask by the chosen model, that is taken. Else the scene is
    classified from its files, in full context. Files that cannot be read leave a gap and a warning, unless
    ``skip_broken_datasets=False``.

    Parameters
    ----------
    dc
        The datacube.
    product
        A product of Sentinel-2 L2A scenes, or several; not needed with `datasets`.
    measurements
        As in `dc.load`, and ``ucl`` and ``ucl_confidence``; by default all of the product and ``ucl``.
    ucl
        ``auto``: the indexed mask where there is one, computed where not; ``indexed``: no data where
        there is none; ``computed``: never from the index.
    model
        Name of a model; by default the best of the default models whose bands a scene has. Masks by
        other models are never taken.
    thresholds
        See :func:`~odc_cleansat.classify`. With thresholds no indexed mask is taken, for those were made without.
    offset
        See :func:`~odc_cleansat.with_ucl`; by default the metadata of each scene decides.
    scale
        See :func:`~odc_cleansat.with_ucl`. With a scale no indexed mask is taken, for those were made with the
        default.
    preset
        Make the mask stricter or more lenient on the output grid: ``balanced``, ``conservative``, ``permissive`` or
        a :class:`~odc_cleansat.masks.presets.Preset`. By default masks are as the network gave them.
    min_clear
        Least share of clear pixels among all of the area, that is of the output grid, 0 to 1. Pixels without data are
        not clear: a time that covers a tenth of the area has a share of a tenth at most. Masks are loaded first,
        and computed at once, also with `dask_chunks`. Then only the times are loaded that are clear enough; if there is
        none, the result has no times.
    refine
        By default masks are those that light refines, see :func:`~odc_cleansat.classify`. One in the index that was made
        without is taken where there is none with. False takes and makes only the network's own answer.
        Texts improve the masks further by the dates around each, see :func:`~odc_cleansat.refine`: ``time`` by those within 45 days
        before and after, ``earlier`` by those before. These dates and the ground up to 9 km around are read as well, so
        that a pixel has the same class in any query. Dates to compare with are searched for like those asked for; with
        `datasets` they are these datasets alone. Best where masks are indexed, for else each date is classified.
    harmonized
        Take the radiometric offset off the bands, scene by scene. Then all times are on one scale:
        ``reflectance = DN / 10000``. By default bands are as they are in their files.
    only_accepted
        Take only the scenes whose mask by the chosen model is indexed, and accepted by a reviewer.
    include_rejected
        Take also the scenes whose mask a reviewer has rejected. By default they are left out, whatever `ucl`
        and `measurements`; see :mod:`odc_cleansat.products.verdicts`.
    datasets
        The scenes, or one of them, instead of a search.
    **query
        As in `dc.load`: search terms (``time="2024-06-01/2024-06-30"`` is a range, ``geopolygon`` a geometry of
        odc-geo, shapely, geopandas or GeoJSON), ``output_crs`` and ``resolution`` or ``like`` (or ``geobox``), ``group_by``,
        ``resampling``, ``dask_chunks``, ``patch_url`` and so on. A time at midnight is a date, in ``time`` and in the
        times of ``like``: it stands for its whole day in UTC.

    Returns
    -------
    xarray.Dataset
        As from `dc.load`, dims ``(time, y, x)``, lazy with `dask_chunks`. ``ucl`` is uint8
        :class:`CloudClass` codes, nodata 0; ``ucl_confidence`` is uint8 percent, nodata 255. The
        coordinate ``offset`` along time is the radiometric offset of the bands, digital numbers. It is NaN at
        times whose scenes have several.

    Raises
    ------
    CubeError
        If nothing matches the query, or reviewers leave nothing. If an option or a
        measurement is unknown. If bands are asked for whose scales differ. If no output grid follows from the query,
        or the result does not fit into memory.
    SceneError
        If a scene lacks bands that the model needs, or cannot be read.
    ModelError
        If there is no such model, or a threshold names a class that it does not have.

    Warns
    -----
    GapWarning
        If files cannot be read, scenes have no mask and ``ucl="indexed"``, or scenes are left out because of
        verdicts; or if no time is clear enough. Dask's threads write it to the log ``odc_cleansat`` instead, for they may lose a warning.
    ModelWarning
        If scenes have masks in the index that are not taken: no model is named and they are by others than the
        default, or they were made with another offset or other weights.
    ReflectanceWarning
        If the scenes have several radiometric offsets and are not harmonized.

    Examples
    --------
    >>> data = odc_cleansat.load(
    ...     dc, "s2_l2a", measurements=["red", "green", "blue", "ucl"], time="2024-06",
    ...     x=(13.7, 13.8), y=(47.8, 47.9), output_crs="EPSG:32633", resolution=10,
    ...     group_by="solar_day", min_clear=0.6,
    ... )  # doctest: +SKIP
    """
    _check_share(min_clear)
    check_flags(only_accepted, include_rejected, harmonized=harmonized)
    check_refine(refine)
    options = MaskOptions(ucl, model, thresholds, offset, scale, refine is not False)
    chosen = None if preset is None else get_preset(preset)
    request = _Request.of(product, datasets, query)

    scenes = find_scenes(dc, request.query)
    asked = _measurement_names(scenes, measurements)
    layers = list(dict.fromkeys(_ALIASES.get(name, name) for name in asked))
    masked = min_clear is not None or not BANDS.keys().isdisjoint(layers)

    masks = search_masks_of(dc, scenes, request.query)
    found = look_up(
        scenes,
        masks,
        options,
        masked=masked or only_accepted,
        patch=request.reading.get("patch_url"),
    )
    if masked and options.from_index:
        warn_of_other_masks(found, masks, options)
    if not include_rejected:
        indexed = [each.mask for each in found]
        found = filter_by_verdict(found, indexed, "scenes", only_accepted=only_accepted)

    scenes = _of_one_scale(found, options, layers)
    grid = request.output_grid(scenes)
    groups = dc.group_datasets(scenes, grouping(request.query.group_by))
    if "dask_chunks" not in request.reading:
        check_memory(grid, groups.size, pixel_bytes=len(layers))  # a byte for each, at least
    prepared = prepare(found, groups, options, masked=masked, harmonized=harmonized)

    reader = request.reader(dc, prepared, grid, chosen)
    history = masked and isinstance(refine, str) and History(
        dc, request.query, options, request.reading, refine, chosen, only_accepted, include_rejected
    )  # fmt: skip
    groups, result = _read(reader, history or None, prepared.groups, layers, min_clear)
    result = _with_offset(result, groups, {} if harmonized else prepared.offsets)
    named: xr.Dataset = result.assign({n: result[_ALIASES.get(n, n)] for n in asked})[asked]
    return storable(named)


@dataclass(frozen=True)
class _Request:
    """The arguments of `load` that `dc.load` has, too."""

    query: Query
    """Which scenes."""

    grid: GeoBox | None
    """The output grid, if it was passed whole."""

    grid_options: GridOptions
    """What was said of it."""

    resampling: Any
    """Method of each band."""

    reading: dict[str, Any]
    """Arguments of `dc.load_data`."""

    @staticmethod
    def of(
        product: str | Sequence[str] | None,
        datasets: Dataset | Iterable[Dataset] | None,
        arguments: Mapping[str, Any],
    ) -> _Request:
        """Sort the arguments by what they are about."""
        terms = {key: value for key, value in arguments.items() if value is not None}
        options = GridOptions.taken_from(terms)
        resampling, group_by = terms.pop("resampling", None), terms.pop("group_by", "time")
        reading = reading_options(terms)
        grid = options.given(terms)
        like = options.like if options.geobox is None else options.geobox
        query = Query.of(product, terms, grid=grid, like=like, group_by=group_by, datasets=datasets)
        return _Request(query, grid, options, resampling, reading)

    def output_grid(self, scenes: Sequence[Dataset]) -> GeoBox:
        """Return the output grid: given, or laid over the area or the scenes."""
        from datacube.api.core import get_bounds

        if self.grid is not None:
            return self.grid
        hints = product_hints(scenes[0].product, self.grid_options)
        if not hints and self.grid_options.output_crs is None:
            systems = ", ".join(sorted({str(each.crs) for each in scenes}))
            raise CubeError(
                "no output grid follows from the query: pass like=, or output_crs= and resolution=. The scenes "
                f"are in {systems}."
            )
        return lay_grid(
            self.grid_options, self.query.area, hints, lambda crs: get_bounds(scenes, crs)
        )

    def reader(
        self, dc: Datacube, scenes: PreparedScenes, grid: GeoBox, preset: Preset | None
    ) -> LayerReader:
        """Return what reads the scenes."""
        reading = dict(self.reading)
        if reading.get("dask_chunks") == "auto":
            reading["dask_chunks"] = dict.fromkeys(grid.dimensions, BLOCK)
        check_dims(reading.get("dask_chunks", {}), grid)
        if "patch_url" in reading:
            reading["patch_url"] = leaving(reading["patch_url"])
        return LayerReader(dc, scenes.product, grid, preset, self.resampling, reading, scenes.fused)


def _check_share(min_clear: Any) -> None:
    if min_clear is not None and not (is_number(min_clear) and 0 <= min_clear <= 1):
        raise CubeError(f"min_clear={min_clear!r} is not a share; pass a number from 0 to 1.")


def _of_one_scale(
    found: Sequence[MaskedScene], options: MaskOptions, layers: Iterable[str]
) -> list[Dataset]:
    """Return the scenes; raise if bands are asked for whose scales differ, and nobody tells which scale counts."""
    if options.scale is None and any(map(is_reflective, layers)):
        check_one_scale(each.files for each in found)
    return [each.scene for each in found]


def _read(
    reader: LayerReader,
    history: History | None,
    groups: xr.DataArray,
    layers: Sequence[str],
    min_clear: float | None,
) -> tuple[xr.DataArray, xr.Dataset]:
    """Return the times that are left, and their layers."""
    if history is not None:
        return history.read(reader, groups, layers, min_clear)
    if min_clear is not None:
        return reader.read_clear(groups, layers, min_clear)
    return groups, reader.read(groups, layers)


def _measurement_names(
    scenes: Sequence[Dataset], measurements: str | Sequence[str] | None
) -> list[str]:
    """Return the names of the measurements that are asked for, aliases as they are."""
    first, *others = {each.product.name: each.product for each in scenes}.values()
    if measurements is None:
        names = [*(name for name in first.measurements if name not in BANDS), "ucl"]
    else:
        named = texts(measurements)
        if named is None:
            raise CubeError(f"measurements is {measurements!r:.100}; pass names of measurements.")
        names = named
    if not names:
        raise CubeError("measurements is empty; leave it out for all.")
    for product in (first, *others):
        everything = {**product.measurements, **BANDS}
        aliases = {a for each in everything.values() for a in each.get("aliases", ())}
        if unknown := [name for name in names if name not in everything and name not in aliases]:
            raise CubeError(
                f"{product.name} has no measurement {', '.join(map(repr, unknown))}; it has "
                f"{', '.join(product.measurements)}, and here {', '.join(BANDS)}."
            )
    return names


def _with_offset(
    result: xr.Dataset, groups: xr.DataArray, offsets: Mapping[UUID, float]
) -> xr.Dataset:
    """Add the offset of each time as a coordinate: 0 where it was taken off, NaN where scenes of one time differ."""
    values = []
    for group in groups.values:
        found = {offsets.get(each.id, 0.0) for each in group}
        values.append(found.pop() if len(found) == 1 else np.nan)
    mixed = len({*map(str, values)}) > 1 or any(np.isnan(value) for value in values)
    if mixed and any(name not in (*BANDS, "scl") for name in result.data_vars):
        warn_caller(
            "the scenes have several radiometric offsets, see the coordinate `offset`; pass "
            "harmonized=True to have them taken off, or add each to its digital numbers.",
            ReflectanceWarning,
        )
    attrs = {"units": "1", "long_name": "radiometric offset: reflectance = (DN + offset) / 10000"}
    coordinate = ("time", np.asarray(values, dtype="float64"), attrs)
    labelled: xr.Dataset = result.assign_coords(offset=coordinate)
    return labelled
