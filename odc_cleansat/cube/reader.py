"""Read the layers of `load` onto the output grid, with a preset and only at clear times where that is asked for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords

from ..classes import CloudClass
from ..errors import GapWarning, warn_caller
from ..grids.grid import ground_resolution
from ..masks.presets import Preset, apply_preset
from ..threads import compute, steady_warnings
from .driver import BANDS, NAME, UNMASKED
from .reading import resampling_methods

if TYPE_CHECKING:
    from datacube import Datacube
    from datacube.model import Product


@dataclass(frozen=True)
class LayerReader:
    """Reads layers of prepared scenes."""

    dc: Datacube
    """The datacube, whose loader reads."""

    product: Product
    """What the scenes are loaded as: it has the layers of the mask."""

    grid: GeoBox
    """The output grid."""

    preset: Preset | None
    """What is done to masks, if anything."""

    resampling: Any
    """Method of each band, as `dc.load` takes it. The mask has none."""

    options: Mapping[str, Any]
    """Other arguments of `dc.load_data`."""

    fused: bool
    """Whether a time has several scenes."""

    def read(self, groups: xr.DataArray, names: Sequence[str]) -> xr.Dataset:
        """Read layers.

        Parameters
        ----------
        groups
            Dims ``(time)``, dtype object: for each time a tuple of datasets.
        names
            The layers.

        Returns
        -------
        xarray.Dataset
            Dims ``(time, y, x)``, of each layer's dtype and nodata.

        Raises
        ------
        CubeError
            If a method of resampling is unknown.
        """
        if self.preset is None or "ucl" not in names:
            return self._load(groups, names, self.grid)
        mask = self._read_mask(groups, self.preset)
        others = [name for name in names if name not in mask]
        every = self._load(groups, others, self.grid).assign(mask.data_vars) if others else mask
        found: xr.Dataset = every[list(names)]
        return found

    def read_clear(
        self, groups: xr.DataArray, names: Sequence[str], least: float
    ) -> tuple[xr.DataArray, xr.Dataset]:
        """Read the masks first, and then the other layers of the times that are clear enough.

        Parameters
        ----------
        groups
            Dims ``(time)``, dtype object: for each time a tuple of datasets.
        names
            The layers.
        least
            Least share of clear pixels among all of the output grid, 0 to 1. Pixels without data are not clear.

        Returns
        -------
        xarray.DataArray
            The groups of the times that are left.
        xarray.Dataset
            As from :meth:`read`.

        Raises
        ------
        CubeError
            If a method of resampling is unknown.

        Warns
        -----
        GapWarning
            If no time is clear enough.
        """
        mask = self.read(groups, ["ucl"])
        keep = clear_times(mask.ucl, least)
        groups, mask = groups[keep], mask.isel(time=keep)
        others = [name for name in names if name != "ucl"]
        parts = [self.read(groups, others), mask] if others else [mask]
        found: xr.Dataset = xr.merge(parts, compat="override", join="override")[list(names)]
        return groups, found

    def _load(self, groups: xr.DataArray, names: Sequence[str], grid: GeoBox) -> xr.Dataset:
        """Load layers as they are."""
        options = {"skip_broken_datasets": True, **self.options, "driver": NAME}
        lazy = options.get("dask_chunks") is not None
        if not groups.size:  # of no times, the loader reads lazily alone
            options.setdefault("dask_chunks", {})
        with steady_warnings():
            data: xr.Dataset = self.dc.load_data(groups, grid, self._measurements(names), **options)
        data = data if groups.size or lazy else data.load()
        # The driver's loader gives local times.
        data["time"] = groups.time
        if self.fused:
            for name in BANDS.keys() & data.data_vars.keys():
                nodata = np.uint8(BANDS[name]["nodata"])
                data[name] = data[name].where(data[name] != UNMASKED, nodata)
        return data

    def _read_mask(self, groups: xr.DataArray, preset: Preset) -> xr.Dataset:
        """Read the mask by a preset. What lies just outside the grid may reach in."""
        margin = math.ceil(preset.reach / min(ground_resolution(self.grid)))
        wide = self._load(groups, ["ucl", "ucl_confidence"], self.grid.pad(margin))
        inside = dict.fromkeys(self.grid.dimensions, slice(margin, -margin or None))
        mask: xr.Dataset = (
            apply_preset(wide, preset).isel(inside).assign_coords(xr_coords(self.grid))
        )
        if chunks := self.options.get("dask_chunks"):
            mask = mask.chunk({dim: size for dim, size in chunks.items() if dim in mask.dims})
        return mask

    def _measurements(self, names: Sequence[str]) -> dict[str, Any]:
        """Return the measurements with their resampling, as datacube's loader takes them."""
        methods = resampling_methods(self.resampling)
        found = {}
        for name, measurement in self.product.lookup_measurements(names).items():
            canonical = measurement.canonical_name
            method = methods.get(name) or methods.get(canonical) or methods.get("*")
            keys = {**measurement, "name": name}
            if method and canonical not in BANDS:
                keys["resampling"] = method
            found[name] = type(measurement)(canonical_name=canonical, **keys)
        return found


def clear_times(ucl: xr.DataArray, least: float) -> np.ndarray:
    """Return which times are clear enough: bool, dims ``(time,)``.

    Parameters
    ----------
    ucl
        uint8 :class:`CloudClass` codes, dims ``(time, y, x)``.
    least
        Least share of clear pixels among all, 0 to 1. Pixels without data are not clear.

    Warns
    -----
    GapWarning
        If no time is clear enough.
    """
    clear, data = _clear_share(ucl)
    keep: np.ndarray = (clear >= least) & (data > 0)
    if not keep.any():
        warn_caller(_not_clear(clear, data, least), GapWarning)
    return keep


def _clear_share(ucl: xr.DataArray) -> tuple[np.ndarray, np.ndarray]:
    """Return the shares of all pixels that are clear, and that have data, for each time; 0 to 1."""
    clear = ucl.isin([CloudClass.CLEAR, CloudClass.SNOW, CloudClass.WATER])
    dims = ucl.dims[1:]
    shares = xr.Dataset({"clear": clear.mean(dims), "data": (ucl != CloudClass.NODATA).mean(dims)})
    shares = compute(shares)
    return shares.clear.values, shares.data.values


def _not_clear(clear: np.ndarray, data: np.ndarray, least: float) -> str:
    """Return what to say of times of which none is clear enough."""
    if not data.any():
        return "the result has no times: none of them has a mask with data in the area."
    best = clear.argmax()
    partly = (
        f", and has data in {100 * data[best]:.0f} %; group_by='solar_day' puts the scenes of a day together"
        if data[best] < least
        else ""
    )
    return (
        f"the result has no times: none of {clear.size} has {100 * least:.0f} % clear pixels in the area; the best "
        f"has {100 * clear[best]:.0f} %{partly}. Lower min_clear or widen the time."
    )
