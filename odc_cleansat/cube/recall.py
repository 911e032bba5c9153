"""`recall`: indexed masks back from a datacube, at any coordinate system, resolution and extent.

It stands in a module of another name than its own, because a module `recall` would hide the
function of that name in the package as soon as anything imported it.

Masks are read at their native resolution, never from overviews, and only where they are needed.
Which native pixel belongs to which target pixel follows from the transformed centres alone, so
that the answer depends neither on the extent asked for nor on the chunks.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any
from uuid import UUID

import xarray as xr
from odc.geo.geobox import GeoBox

from ..classes import confidence_attrs, ucl_attrs
from ..errors import CubeError, GapWarning
from ..grids.centres import Roi, reach, tiles
from ..models.model import Model
from ..storage.eo3 import MASK_PRODUCT
from ..storage.settings import prepare_gdal, rio_options
from .choose import _in_order, _made_by, of_one_model
from .output_grid import _asked_grid, _given_grid, _native_grid, check_memory
from .query import _checked_product, _group_by, _nothing_there, _search, listed
from .sample import CLASSES, FRACTIONS, VARIABLES, _block, _dtype, _Losses, _Mask, _nodata, _overlap

if TYPE_CHECKING:
    import dask.array as da
    from datacube import Datacube
    from datacube.model import Dataset


BLOCK = 2048
"""Side of the blocks in which the result is made where no chunks are asked for."""


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
        :mod:`odc_cleansat.products.verdicts.verdicts`.
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
    from ..products.verdicts import heed

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


def _within(
    output: GeoBox, datasets: Sequence[Dataset], native: Mapping[UUID, GeoBox]
) -> list[Dataset]:
    found = [each for each in datasets if reach(native[each.id], output)]
    if not found:
        raise CubeError(_nothing_there(datasets[0].product.name))
    return found


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
    options = rio_options()
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
