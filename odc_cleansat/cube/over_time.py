"""Masks of `load` that are refined by time: more dates are read than asked for, and more ground around."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords

from ..arguments import meant
from ..errors import CubeError
from ..grids.cells import parts, with_context
from ..grids.centres import Roi
from ..grids.grid import ground_resolution
from ..masks.presets import Preset, apply_preset
from ..masks.refine import refine_dates
from ..masks.time_rules import BANDS as GROUND
from ..masks.time_rules import DAYS
from ..products.verdict_filter import filter_by_verdict
from ..scenes.bands import find_bands, names_of
from ..threads import compute
from .driver import BANDS
from .graph import chunk_sizes
from .lookup import MaskedScene, MaskOptions, look_up, search_masks_of
from .mixture import check_one_scale
from .prepare import PreparedScenes, prepare
from .query import Query, find_scenes, grouping
from .reader import LayerReader, clear_times

if TYPE_CHECKING:
    from datacube import Datacube
    from datacube.model import Dataset

PART = 1024
"""Pixels along a side of what is read at once: of 73 dates half a gigabyte."""

REFINED = ("time", "earlier")
"""How `load` refines masks: by all dates around, or by earlier ones alone."""


def check_refine(refine: Any) -> None:
    """Raise if there is no such way to refine.

    Raises
    ------
    CubeError
        Naming those that there are.
    """
    if not (refine is None or isinstance(refine, bool) or refine in REFINED):
        raise CubeError(
            f"refine={refine!r:.100} is unknown; choose from True, False, {', '.join(REFINED)}.{meant(refine, REFINED)}"
        )


@dataclass(frozen=True)
class History:
    """How the dates around those that are asked for are found and read."""

    dc: Datacube
    """The datacube."""

    query: Query
    """What is asked for."""

    options: MaskOptions
    """Which masks are taken."""

    reading: Mapping[str, Any]
    """Arguments of `dc.load_data`."""

    refine: str
    """One of :data:`REFINED`."""

    preset: Preset | None
    """What is done to masks afterwards, if anything."""

    only_accepted: bool
    """Whether scenes count only with a mask that a reviewer has accepted."""

    include_rejected: bool
    """Whether scenes count whose mask a reviewer has rejected."""

    told: set[float] = field(default_factory=set)
    """Days of which the user has been told that they have another offset."""

    def masks(self, groups: xr.DataArray, grid: GeoBox) -> xr.Dataset:
        """Return refined masks.

        Parameters
        ----------
        groups
            Dims ``(time)``, dtype object: for each time that is asked for a tuple of scenes.
        grid
            The output grid.

        Returns
        -------
        xarray.Dataset
            ``ucl`` and ``ucl_confidence``, uint8, dims ``(time, y, x)``; lazy.

        Raises
        ------
        SceneError
            If the scenes lack bands that refining needs.
        """
        margin = 0
        if self.preset is not None:  # what lies just outside may reach in
            margin = math.ceil(self.preset.reach / min(ground_resolution(grid)))
        outer = grid.pad(margin) if margin else grid
        masks = _joined(self.parts(groups, outer))
        if self.preset is not None:
            masks = apply_preset(masks, self.preset)
        inside = dict.fromkeys(grid.dimensions, slice(margin, -margin or None))
        part = masks.isel(inside).assign_coords({**xr_coords(grid), "time": groups.time})
        if chunks := self.reading.get("dask_chunks"):
            sizes = chunk_sizes(groups, grid, chunks)
            return part.chunk(dict(zip(("time", *grid.dimensions), sizes, strict=True)))
        return part

    def parts(
        self, groups: xr.DataArray, grid: GeoBox, found: Sequence[MaskedScene] | None = None
    ) -> Iterator[tuple[Roi, xr.Dataset]]:
        """Refine masks part by part.

        Each part reads its own dates and ground around. So none waits for another, and memory does not grow with the grid.

        Parameters
        ----------
        groups
            Dims ``(time)``, dtype object: for each time that is asked for a tuple of scenes.
        grid
            The grid.
        found
            The scenes of all dates around with their masks; by default they are searched for.

        Yields
        ------
        roi : tuple of slice
            Rows and columns of the part. Together they cover the grid, row by row.
        masks : xarray.Dataset
            ``ucl`` and ``ucl_confidence``, uint8, dims ``(time, y, x)``; lazy.

        Raises
        ------
        SceneError
            If the scenes lack bands that refining needs.
        CubeError
            If their bands have different scales.
        """
        if found is None:
            found = self.around(groups, with_context(grid)[0])
        if self.options.scale is None:
            check_one_scale(each.files for each in found)
        every = self.dc.group_datasets(
            [each.scene for each in found], grouping(self.query.group_by)
        )
        prepared = prepare(found, every, self.options, masked=True, harmonized=True)
        place = _places(groups, every)
        whole = slice(0, grid.shape[0]), slice(0, grid.shape[1])
        for i, roi in enumerate(parts(grid, PART) if grid.axis_aligned else [whole]):
            wide, inside = with_context(grid[roi])
            refined = refine_dates(
                self._read(prepared, wide),
                place,
                hindsight=self.refine == "time",
                told=self.told,
                quiet=i > 0,
            )
            window = dict(zip(grid.dimensions, inside, strict=True))
            yield roi, refined[list(BANDS)].isel({"time": place, **window})

    def read(
        self, reader: LayerReader, groups: xr.DataArray, names: Sequence[str], least: float | None
    ) -> tuple[xr.DataArray, xr.Dataset]:
        """Read layers, with refined masks.

        Parameters
        ----------
        reader
            Reads the layers that are none of a mask, onto its grid.
        groups
            Dims ``(time)``, dtype object: for each time a tuple of scenes.
        names
            The layers.
        least
            Least share of clear pixels, 0 to 1; see :meth:`LayerReader.read_clear`. None for all times.

        Returns
        -------
        xarray.DataArray
            The groups of the times that are left.
        xarray.Dataset
            Dims ``(time, y, x)``, of each layer's dtype and nodata.

        Raises
        ------
        CubeError
            If a method of resampling is unknown.
        SceneError
            If the scenes lack bands that refining needs.

        Warns
        -----
        GapWarning
            If no time is clear enough.
        """
        wanted = [name for name in BANDS if name in names or (name == "ucl" and least is not None)]
        masks = self.masks(groups, reader.grid)[wanted]
        if "dask_chunks" not in self.reading:
            masks = compute(masks)
        if least is not None:
            keep = clear_times(masks.ucl, least)
            groups, masks = groups[keep], masks.isel(time=keep)
        others = [name for name in names if name not in BANDS]
        found = reader.read(groups, others).assign(masks.data_vars) if others else masks
        every: xr.Dataset = found[list(names)]
        return groups, every

    def around(self, groups: xr.DataArray, wide: GeoBox) -> list[MaskedScene]:
        """Return the scenes of all dates around those that are asked for, these included, with their masks.

        Parameters
        ----------
        groups
            Dims ``(time)``, dtype object: for each time that is asked for a tuple of scenes.
        wide
            Where they may be.

        Raises
        ------
        CubeError
            If the query cannot be understood.
        """
        scenes = self._scenes(groups, wide)
        patch = self.reading.get("patch_url")
        masks = search_masks_of(self.dc, scenes, replace(self.query, area=wide.extent))
        found = look_up(scenes, masks, self.options, masked=True, patch=patch)
        if self.include_rejected:
            return found
        indexed = [each.mask for each in found]
        return filter_by_verdict(found, indexed, "scenes", only_accepted=self.only_accepted)

    def _read(self, prepared: PreparedScenes, wide: GeoBox) -> xr.Dataset:
        """Return bands and masks of all dates around in one window, lazy."""
        reading = {**self.reading, "dask_chunks": dict.fromkeys(wide.dimensions, -1)}
        names = _ground_bands(prepared.product)
        reader = LayerReader(
            self.dc, prepared.product, wide, None, "average", reading, prepared.fused
        )
        data = reader.read(prepared.groups, [*names.values(), *BANDS])
        if self.options.scale is not None:
            for name in names.values():
                data[name].attrs["scale_factor"] = self.options.scale
        return data.rename({name: band for band, name in names.items()})

    def _scenes(self, groups: xr.DataArray, wide: GeoBox) -> list[Dataset]:
        """Find the scenes of all dates around."""
        if self.query.datasets is not None:
            return find_scenes(self.dc, self.query)
        asked = [each for group in groups.values for each in group]
        first, last = span_around(asked, hindsight=self.refine == "time")
        terms = {**self.query.terms, "time": (first, last)}
        query = replace(self.query, terms=terms, like=None, area=wide.extent)
        found = {each.id: each for each in (*find_scenes(self.dc, query), *asked)}
        return list(found.values())


def _joined(each: Iterable[tuple[Roi, xr.Dataset]]) -> xr.Dataset:
    """Return parts of a grid, which come row by row, as one."""
    table: dict[int, list[xr.Dataset]] = {}
    for (rows, _), part in each:
        table.setdefault(rows.start, []).append(part)
    y, x = part.odc.spatial_dims
    how: Any = {"join": "override", "coords": "minimal", "compat": "override"}
    joined: xr.Dataset = xr.concat([xr.concat(row, x, **how) for row in table.values()], y, **how)
    return joined


def span_around(
    scenes: Sequence[Dataset], *, hindsight: bool
) -> tuple[datetime.datetime, datetime.datetime]:
    """Return the first and the last moment with which some scenes are compared.

    Parameters
    ----------
    scenes
        The scenes.
    hindsight
        Whether later dates count.
    """
    spare = datetime.timedelta(days=DAYS)
    first = min(each.time.begin for each in scenes) - spare
    last = max(each.time.end for each in scenes)
    return first, last + (spare if hindsight else datetime.timedelta())


def _places(groups: xr.DataArray, every: xr.DataArray) -> list[int]:
    """Return where among all groups those are that are asked for."""
    at = {each.id: i for i, group in enumerate(every.values) for each in group}
    return [next(at[each.id] for each in group if each.id in at) for group in groups.values]


def _ground_bands(product: Any) -> dict[str, str]:
    """Return the bands that refining looks at, by canonical name: the name of each in a product."""
    names = {
        alias: name
        for name, measurement in product.measurements.items()
        for alias in names_of(name, measurement.get("aliases", ()))
    }
    return {band: names[name] for band, name in find_bands(names, GROUND).items()}
