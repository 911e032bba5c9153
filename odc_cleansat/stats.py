"""A plugin for odc-stats: how often each pixel was clear, cloudy or in cloud shadow.

odc-stats finds it by its dotted name, ``odc_cleansat.stats.StatsUCL``. Nothing else in this package
imports this module, which needs odc-stats; ``docs/how-to/ecosystem.md`` says how to install that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

import dask.array as da
import numpy as np
import xarray as xr
from dask.delayed import delayed
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords
from odc.stats.plugins import StatsPluginInterface

from .arguments import fault_of_flags
from .classes import CLOUDS, CloudClass, ucl_attrs
from .cube.choose import of_one_model, warn_of_former
from .errors import CleansatError, ModelError, SceneError
from .grids.grid import ground_resolution
from .masks.dilate import dilate
from .masks.on_demand import compute_layer, on_demand_mask
from .models.registry import get_model
from .products.job import mask_grid
from .products.verdict_filter import filter_by_verdict
from .scenes.bands import find_bands
from .scenes.files import SceneFiles
from .storage.eo3 import native_grid

if TYPE_CHECKING:
    from datacube.model import Dataset


COUNT_NODATA = 65535
"""Declared nodata of the counts. It is never written: a pixel that was never seen counts 0."""

_CLEAR, _SHADOW, _CLOUD = 1, 2, 3
"""Codes of ``seen``, in which 0 is nodata. Of several scenes of a day the greatest counts."""

_HIDING = {_SHADOW: (CloudClass.SHADOW,), _CLOUD: CLOUDS}
"""Classes that hide the ground."""

_MARGIN = 10
"""Pixels of the mask around a tile, for the resampling."""


class StatsUCL(StatsPluginInterface):  # type: ignore[misc]
    """Days on which each pixel was clear, under cloud and in cloud shadow.

    Where the input product has a measurement ``ucl``, that is counted. Otherwise each scene is
    classified on the fly, and gets the pixels that its stored mask would have. They come from its own files, with
    its own radiometric offset, on the grid of its SCL, and with the surroundings of the tile.

    The scenes of one solar day count once. Where they overlap and disagree, cloud wins over shadow,
    and shadow over clear. Snow and water are clear: the ground is seen. Pixels without data do not
    count.

    Parameters
    ----------
    model
        Name of the model for scenes without ``ucl``; by default the best for their bands. Of masks,
        only those by this model are counted. It must be given if a scene has masks by several models.
    offset
        Radiometric offset of scenes without ``ucl``, digital numbers; by default the metadata of each decide.
    dilation
        ``cloud`` and ``shadow`` to metres on the ground, as for :func:`~odc_cleansat.classify`.
    resampling
        From a mask to the tile: ``nearest``, ``mode`` or ``max``. With ``max``, any cloud in a pixel of
        the tile makes it cloudy.
    include_rejected
        Whether masks count that reviewers have rejected. It has no effect on scenes that are classified on the fly.
    refine
        Whether light refines scenes without ``ucl``; else they get the network's own answer. Masks stay as they are.
    **kwargs
        Parameters of every plugin of odc-stats, for instance ``chunks`` and ``group_by``.

    Raises
    ------
    ModelError
        If the model is unknown, or the resampling would invent classes.
    CleansatError
        If `refine` is neither True nor False.
    """

    NAME = "s2_l2a_ucl_summary"
    SHORT_NAME = NAME
    VERSION = "1.0.0"
    PRODUCT_FAMILY = "ucl_summary"

    def __init__(
        self,
        model: str | None = None,
        offset: float | None = None,
        dilation: Mapping[str, float] | None = None,
        resampling: str = "nearest",
        include_rejected: bool = False,
        refine: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(resampling=resampling, **kwargs)
        if model is not None:
            get_model(model)  # raise now, and not in the middle of a run
        if resampling not in ("nearest", "mode", "max"):
            raise ModelError(
                f"resampling {resampling!r} would invent classes; choose from nearest, mode and max."
            )
        if fault := fault_of_flags(refine=refine):
            raise CleansatError(fault)
        self.model = model
        self.offset = offset
        self.dilation = dict(dilation or {})
        self.include_rejected = include_rejected
        self.refine = refine
        self._sources: dict[UUID, Dataset] = {}
        self._tile: GeoBox

    @property
    def measurements(self) -> tuple[str, ...]:
        """Names of the layers that :meth:`reduce` returns."""
        return ("observation_count", "clear_count", "cloud_count", "shadow_count", "clear_share")

    def input_data(self, datasets: Sequence[Dataset], geobox: GeoBox, **kwargs: Any) -> xr.Dataset:
        """Load what each day shows of a tile, lazily.

        Parameters
        ----------
        datasets
            Scenes that touch the tile, or their masks.
        geobox
            The tile.
        **kwargs
            For odc-stats' own loader.

        Returns
        -------
        xarray.Dataset
            ``seen``, dims ``(solar_day, y, x)``, uint8: 1 clear, 2 shadow, 3 cloud; nodata 0.

        Raises
        ------
        SceneError
            If the datasets lack bands, or some have ``ucl`` and others have not.
        CubeError
            If a scene has masks by several models and no model is given, if there are no masks by the given
            model, or if reviewers have rejected all masks.

        Warns
        -----
        GapWarning
            If masks are left out because reviewers have rejected them.
        ModelWarning
            If no model is given, and masks are by a model that was once the default.
        """
        if all("ucl" in dataset.product.measurements for dataset in datasets):
            datasets = of_one_model(datasets, self.model)
            if self.model is None:
                warn_of_former(datasets)
            if not self.include_rejected:
                datasets = filter_by_verdict(datasets, datasets, "masks", only_accepted=False)
        self._sources = {dataset.id: dataset for dataset in datasets}
        self._tile = geobox
        zones: dict[Any, list[Dataset]] = {}
        for dataset in datasets:
            zones.setdefault(dataset.crs, []).append(dataset)
        load = super().input_data
        # Zone by zone because odc-stats 1.9.7 cannot join Datasets of two coordinate systems.
        parts: list[xr.Dataset] = []
        for zone in zones.values():
            settings = self._prepare(zone)
            parts.append(load(zone, geobox, **settings, **kwargs))
        days = xr.concat(parts, parts[0].seen.dims[0])
        if len(parts) > 1 and self.group_by != "idx":
            days = days.groupby(self.group_by).map(self.fuser)
        return days

    def native_transform(self, xx: xr.Dataset) -> xr.Dataset:
        """Turn bands or a UCL into ``seen``, each dataset by itself on its own grid.

        Parameters
        ----------
        xx
            ``ucl``, codes, uint8, nodata 0, or one band that is not read; dims ``(spec, y, x)``.

        Returns
        -------
        xarray.Dataset
            ``seen`` as in :meth:`input_data`, with the dims of the input.
        """
        ucl = xx.ucl if "ucl" in xx else self._computed(xx)
        if self.dilation:
            ucl = dilate(ucl, self.dilation, ucl.odc.geobox)
        seen = (ucl != CloudClass.NODATA).astype("uint8")
        for code, classes in _HIDING.items():
            seen = seen.where(~ucl.isin(classes), np.uint8(code))
        return xr.Dataset({"seen": seen.assign_attrs(nodata=0)})

    def fuser(self, xx: xr.Dataset) -> xr.Dataset:
        """Fuse the scenes of one day.

        Parameters
        ----------
        xx
            ``seen`` of several scenes, uint8; dims ``(spec, y, x)``.

        Returns
        -------
        xarray.Dataset
            ``seen``, dims ``(y, x)``: the greatest of each pixel.
        """
        fused: xr.Dataset = xx.max(xx.seen.dims[0], keep_attrs=True)
        return fused

    def reduce(self, xx: xr.Dataset) -> xr.Dataset:
        """Count days.

        Parameters
        ----------
        xx
            From :meth:`input_data`.

        Returns
        -------
        xarray.Dataset
            Dims ``(y, x)``. ``observation_count``, ``clear_count``, ``cloud_count`` and
            ``shadow_count`` are numbers of days, uint16. ``clear_share`` is the second over the first,
            float32, 0 to 1, NaN where there was no observation.
        """
        seen = xx.seen
        days = {
            "observation_count": seen != 0,
            "clear_count": seen == _CLEAR,
            "cloud_count": seen == _CLOUD,
            "shadow_count": seen == _SHADOW,
        }
        counts = xr.Dataset({k: v.sum(seen.dims[0], dtype="uint16") for k, v in days.items()})
        observed = counts.observation_count
        counts["clear_share"] = (counts.clear_count / observed.where(observed > 0)).astype(
            "float32"
        )
        for name, layer in counts.data_vars.items():
            nodata = math.nan if name == "clear_share" else COUNT_NODATA
            layer.attrs.update(units="1", nodata=nodata)
        return counts

    def _prepare(self, datasets: Sequence[Dataset]) -> dict[str, Any]:
        """Set the band to load for datasets of one zone, and return how far around the tile to load it."""
        products = {dataset.product.name: dataset.product for dataset in self._sources.values()}
        has_ucl = {"ucl" in product.measurements for product in products.values()}
        if len(has_ucl) > 1:
            raise SceneError(
                f"of the products {', '.join(sorted(products))} some have a measurement ucl and some "
                "have not, so that scenes would count twice; save the tasks of one kind."
            )
        if has_ucl == {True}:
            self.input_bands = ["ucl"]
            return {"pad": self._reach(native_grid(datasets[0].metadata_doc, "ucl"))}
        # Any band will do: odc-stats sorts and groups the datasets by it, and its pixels are not read.
        self.input_bands = [find_bands(datasets[0].product.measurements, ["red"])["red"]]
        return {}

    def _computed(self, xx: xr.Dataset) -> xr.DataArray:
        """Classify each dataset where the tile needs it: a UCL, lazy, uint8, dims ``(spec, y, x)``."""
        sources = [self._sources[dataset_id] for dataset_id in xx.uuid.values]
        grid = mask_grid(sources[0])
        margin = (_MARGIN + self._reach(grid)) * abs(grid.resolution.x)
        area = self._tile.extent.to_crs(grid.crs).buffer(margin)
        part = GeoBox.from_geopolygon(
            area, resolution=grid.resolution, crs=grid.crs, anchor=grid.anchor
        )
        masks = []
        for source in sources:
            files = SceneFiles.of_dataset(source)
            made = on_demand_mask(files, self.model, offset=self.offset, refine=self.refine)
            mask = delayed(compute_layer)(made, "ucl", part)
            masks.append(da.from_delayed(mask, part.shape, "uint8"))
        dims = ("spec", *part.dimensions)
        index = xr.Coordinates.from_pandas_multiindex(xx.indexes["spec"], "spec")
        coords = {**xr_coords(part), **index}
        return xr.DataArray(da.stack(masks), dims=dims, coords=coords, attrs=ucl_attrs())

    def _reach(self, geobox: GeoBox) -> int:
        """Return how many pixels the dilation reaches."""
        return math.ceil(max(self.dilation.values(), default=0) / min(ground_resolution(geobox)))
