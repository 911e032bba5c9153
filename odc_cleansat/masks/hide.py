"""Take cloud and shadow out of a scene, in one call."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, TypeVar

import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox

from ..classes import CLOUDS, CloudClass
from ..errors import SceneError
from ..scenes.bands import is_reflective
from .classify import classify
from .inputs import arrays_of_scene
from .presets import Preset, apply_preset
from .reduce import input_nodata

Scene = TypeVar("Scene", bound=xr.Dataset | xr.DataArray | Mapping[str, xr.DataArray])

_HIDDEN = (*CLOUDS, CloudClass.SHADOW, CloudClass.NODATA)
"""Classes of which nothing is kept. Where nobody knows the class, nobody knows that it is clear."""


def mask_clouds(scene: Scene, preset: str | Preset = "balanced", **options: Any) -> Scene:
    """Return a scene whose cloud and shadow are nodata.

    Parameters
    ----------
    scene
        As for :func:`~odc_cleansat.classify`: a Dataset as from `dc.load` or `odc.stac.load`, a DataArray with a dimension
        ``band`` as from `stackstac.stack`, or a mapping of names to arrays as from `rioxarray.open_rasterio`. Dims
        ``([time,] y, x)``. Or the datatree of a Zarr product, of which a dictionary of its bands comes back. If it has ``ucl`` already, as from :func:`~odc_cleansat.load`, that is taken.
    preset
        How cautious the mask is; see :func:`~odc_cleansat.apply_preset`.
    **options
        Arguments of :func:`~odc_cleansat.classify`, such as ``model``, ``scale`` and ``offset``.

    Returns
    -------
    xarray.Dataset, xarray.DataArray or dict
        What `scene` is, with the same dtypes. All reflective bands have their nodata value where the mask says cloud, thin
        cloud, shadow or nodata: NaN for floating point; for integers what the band declares, else 0, which it declares
        then. Other variables are as they were. Lazy if `scene` is.

    Raises
    ------
    SceneError
        If the scene is not of Sentinel-2, lacks bands, or its numbers cannot be reflectance. Also if arguments of `classify`
        are given for a scene that has ``ucl``.
    CleansatError
        If there is no such preset.

    Examples
    --------
    >>> from odc_cleansat.synthetic.scene import SimulatedScene
    >>> data = SimulatedScene(shape=(300, 300), offset=0).to_xarray(20)
    >>> clean = mask_clouds(data)
    >>> bool((clean.B04 == 0).any()), clean.B04.dtype.name
    (True, 'uint16')
    """
    arrays = arrays_of_scene(scene)
    if "ucl" in arrays:
        if options:
            raise SceneError(
                f"the scene has its ucl already, so that {', '.join(options)} would do nothing; leave that out, or drop ucl."
            )
        assert isinstance(scene, xr.Dataset)
        masks = {arrays["ucl"].odc.geobox: apply_preset(scene, preset).ucl}
    else:
        masks = _masks(scene, arrays, preset, options)
    clean = {
        name: _hide(band, name, masks) if is_reflective(name) else band
        for name, band in arrays.items()
    }
    found: Scene = _like(scene, clean)
    return found


def _masks(
    scene: Any, arrays: Mapping[str, xr.DataArray], preset: str | Preset, options: Mapping[str, Any]
) -> dict[GeoBox | None, xr.DataArray]:
    """Return the classes on each grid on which bands stand."""
    grids = list(
        dict.fromkeys(band.odc.geobox for name, band in arrays.items() if is_reflective(name))
    )
    if len(grids) < 2:
        # The grid is found by what classifies, which also knows it of bands that have lost theirs.
        found = apply_preset(classify(scene, confidence=True, **options), preset).ucl
        return dict.fromkeys(grids, found)
    return {
        grid: apply_preset(classify(scene, confidence=True, geobox=grid, **options), preset).ucl
        for grid in grids
    }


def _hide(
    band: xr.DataArray, name: str, masks: Mapping[GeoBox | None, xr.DataArray]
) -> xr.DataArray:
    """Return a band that is nodata where its mask hides it."""
    ucl = masks[band.odc.geobox]
    # Without coordinates: xarray would quietly leave out pixels whose coordinates differ in the last digit.
    hidden = ucl.isin(_HIDDEN).reset_coords(drop=True).drop_vars(list(ucl.coords), errors="ignore")
    names = dict(zip(ucl.dims, [d for d in _order(band) if d in band.dims], strict=True))
    if hidden.sizes != {dim: band.sizes[names[dim]] for dim in hidden.dims}:
        raise SceneError(
            f"{name} has {dict(band.sizes)} and the mask {dict(ucl.sizes)}; bring both to one grid and to the same times."
        )
    nodata = np.nan if band.dtype.kind == "f" else input_nodata(band)
    found: xr.DataArray = band.where(~hidden.rename(names), band.dtype.type(nodata))
    if band.dtype.kind != "f":
        found = found.assign_attrs(band.attrs, nodata=int(nodata))
    return found


def _order(band: xr.DataArray) -> list[Hashable]:
    """Return the dims of a band in the order in which masks have theirs."""
    spatial = band.odc.spatial_dims or band.dims[-2:]
    return ["time", *spatial]


def _like(scene: Any, bands: Mapping[str, xr.DataArray]) -> Any:
    """Return bands in an object as they came."""
    if isinstance(scene, xr.Dataset):
        return scene.assign(bands)
    if isinstance(scene, xr.DataArray):
        joined = xr.concat(
            [bands[name] for name in bands], dim=scene["band"], coords="minimal", compat="override"
        )
        return joined.transpose(*scene.dims).assign_attrs(scene.attrs).assign_coords(scene.coords)
    return dict(bands)
