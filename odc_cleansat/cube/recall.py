"""`recall`: indexed masks back from a datacube, at any coordinate system, resolution and extent.

Masks are read at their native resolution, never from overviews, and only where they are needed.
Which native pixel belongs to which target pixel follows from the transformed centres alone. So
the answer depends neither on the extent that is asked for nor on the chunks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.geom import bbox_union, box

from ..arguments import meant, texts
from ..errors import CubeError, GapWarning, first_line, warn_caller
from ..grids.centres import reach
from ..masks.storable import storable
from ..models.model import Model
from ..products.verdict_filter import filter_by_verdict
from ..scenes.files import local_path
from ..storage.eo3 import MASK_PRODUCT, native_grid
from ..storage.settings import prepare_gdal
from ..threads import compute
from .choose import check_flags, in_order, made_by, of_one_model, warn_of_former
from .graph import Recalled, chunk_sizes
from .output_grid import BLOCK, GridOptions, check_memory, lay_grid, native_hints, product_hints
from .query import Query, find_masks, grouping, nothing_in_area
from .sample import CLASSES, FRACTIONS, VARIABLES, IndexedMask, Losses, layer_dtype

if TYPE_CHECKING:
    from datacube import Datacube
    from datacube.model import Dataset


def recall(
    dc: Datacube,
    product: str | Sequence[str] | None = MASK_PRODUCT,
    *,
    like: GeoBox | xr.Dataset | xr.DataArray | str | Path | None = None,
    geobox: GeoBox | None = None,
    output_crs: Any = None,
    resolution: Any = None,
    how: str = "nearest",
    model: str | Model | None = None,
    measurements: str | Sequence[str] | None = None,
    group_by: Any = "time",
    dask_chunks: Mapping[str, Any] | str | None = None,
    only_accepted: bool = False,
    include_rejected: bool = False,
    datasets: Dataset | Iterable[Dataset] | None = None,
    **query: Any,
) -> xr.Dataset:
    """Return indexed masks on any grid.

    Queries and grids are those of `dc.load`. But `dc.load` thins the native pixels out before it resamples
    them, and this looks at every one.

    Parameters
    ----------
    dc
        The datacube.
    product
        A product of masks, or several; not needed with `datasets`.
    like, geobox
        The grid of the result, which may be rotated: a GeoBox, a Dataset or DataArray that has one, or the path of
        a raster file. The times of `like` limit the search as well.
    output_crs, resolution
        Instead of a grid: coordinate system, and pixel size in its units. By default those of the masks, if
        all have the same.
    how
        ``nearest``: the class at the centre of each pixel.
        ``mode``: the commonest class of the native pixels with data.
        ``any_cloud``: the worst class of them: cloud if one is cloud, else thin cloud, else shadow,
        snow, water, clear.
        ``fraction``: the shares of them that are cloud or thin cloud, and shadow.
        A native pixel counts for the one pixel that its centre is in. On a fine grid a pixel may hold no such
        centre; then the native pixel at its own centre counts.
    model
        Name or :class:`Model` that made the masks; needed where a scene has masks by several. If a scene has
        masks by several weights of a model, those by its present weights are taken.
    measurements
        ``ucl`` (the default) and ``ucl_confidence``; for fractions ``cloud_fraction`` and
        ``shadow_fraction`` (both by default). The confidence of several native pixels is the mean over those of
        the class.
    group_by
        As in `dc.load`: ``time``, ``solar_day``, or a `GroupBy`. Within a group the earliest mask that
        has data at a native pixel decides it, and of one scene's masks the one made last.
    dask_chunks
        As in `dc.load`: with it the result is lazy.
    only_accepted
        Take only masks that a reviewer has accepted.
    include_rejected
        Take also the masks that a reviewer has rejected. By default they are left out; see
        :mod:`odc_cleansat.products.verdicts`.
    datasets
        Instead of a search: these masks, or this one, also where none is in the area.
    **query
        As in `dc.load`: `x`, `y` and `crs`, or `longitude` and `latitude`, or `geopolygon`; `time`;
        `align`; other search terms. They may have the forms that :func:`~odc_cleansat.load` takes. A time at
        midnight is a date, which stands for its whole day in UTC.

    Returns
    -------
    xarray.Dataset
        Dims ``(time, y, x)``, or ``(time, latitude, longitude)`` on a geographic grid: ``ucl``, uint8
        :class:`CloudClass` codes, nodata 0; ``ucl_confidence``, uint8 percent, nodata 255;
        ``cloud_fraction`` and ``shadow_fraction``, float32 of 0 to 1, NaN without data.

    Raises
    ------
    CubeError
        If the product, a measurement, the model or an option is unknown. If no mask matches the query, or
        reviewers leave none. If a scene has masks by several models and none is named. If no grid follows from the
        query, or the result does not fit into memory. If no file can be read.

    Warns
    -----
    GapWarning
        If some of the files cannot be read, or masks are left out because of verdicts; the rest is
        loaded. Dask's threads write it to the log ``odc_cleansat`` instead, for they may lose a warning.
    ModelWarning
        If a scene has several masks by one model, made with several offsets or by weights that it no longer has. If
        no model is named, and masks that are searched for are by a model that was once the default.
    """
    check_flags(only_accepted, include_rejected)
    prepare_gdal()
    names = _layer_names(how, measurements)
    terms = {key: value for key, value in query.items() if value is not None}
    options = GridOptions(like, geobox, output_crs, resolution, terms.pop("align", None))
    given = options.given(terms)
    asked = Query.of(product, terms, grid=given, like=like, group_by=group_by, datasets=datasets)

    found = find_masks(dc, asked, wide=True)
    if model is not None:
        found = made_by(model, found)
    if not include_rejected:
        found = filter_by_verdict(found, found, "masks", only_accepted=only_accepted)

    native = {each.id: _native_grid(each) for each in found}
    grid = given or _lay_grid(found, list(native.values()), options, asked)
    if datasets is None:
        found = _reaching(grid, found, native)
    found = of_one_model(found, None)
    if model is None and datasets is None:
        warn_of_former(found)

    groups = dc.group_datasets(found, grouping(group_by))
    masks = _indexed_masks(found, native, names)
    times = [
        [masks[each.id] for each in in_order(group) if each.id in masks] for group in groups.values
    ]
    result = Recalled(groups, times, grid, how, names)
    if dask_chunks is not None:
        return storable(result.lazy(chunk_sizes(groups, grid, dask_chunks)))
    check_memory(grid, len(times), sum(layer_dtype(name).itemsize for name in names))
    losses = Losses()
    whole: xr.Dataset = compute(result.lazy((len(times), BLOCK, BLOCK), losses))
    labels = {mask.label: losses.why[id_] for id_, mask in masks.items() if id_ in losses.why}
    _warn_of_unreadable(labels, len(masks))
    return storable(whole)


def _layer_names(how: str, measurements: str | Sequence[str] | None) -> list[str]:
    """Return the layers that are asked for."""
    if not isinstance(how, str) or how not in VARIABLES:
        raise CubeError(
            f"how={how!r} is unknown; choose from {', '.join(VARIABLES)}.{meant(how, VARIABLES)}"
        )
    if measurements is None:
        return list(FRACTIONS) if how == "fraction" else ["ucl"]
    named = texts(measurements)
    if named is None:
        raise CubeError(f"measurements is {measurements!r:.100}; pass names of measurements.")
    if unknown := [name for name in named if name not in VARIABLES[how]]:
        raise CubeError(
            f"there is no measurement {', '.join(map(repr, unknown))} with how={how!r}; "
            f"choose from {', '.join(VARIABLES[how])}."
        )
    if not named:
        raise CubeError(f"measurements is empty; choose from {', '.join(VARIABLES[how])}.")
    return list(dict.fromkeys(named))


def _native_grid(mask: Dataset) -> GeoBox:
    try:
        return native_grid(mask.metadata_doc, "ucl")
    except (KeyError, ValueError) as error:
        raise CubeError(
            f"the dataset {mask.id} of the product {mask.product.name} has no band ucl with a "
            "grid; pass masks."
        ) from error


def _lay_grid(
    masks: Sequence[Dataset], native: Sequence[GeoBox], options: GridOptions, query: Query
) -> GeoBox:
    """Lay the output grid over the area of the query, or over all masks."""
    hints = product_hints(masks[0].product, options) or native_hints(native, options)
    return lay_grid(
        options,
        query.area,
        hints,
        lambda crs: box(*bbox_union(each.footprint(crs).boundingbox for each in native), crs=crs),
    )


def _reaching(
    grid: GeoBox, masks: Sequence[Dataset], native: Mapping[UUID, GeoBox]
) -> list[Dataset]:
    """Keep the masks that reach into a grid."""
    found = [each for each in masks if reach(native[each.id], grid)]
    if not found:
        raise nothing_in_area(masks[0].product.name, "mask")
    return found


def _indexed_masks(
    datasets: Sequence[Dataset], native: Mapping[UUID, GeoBox], names: Sequence[str]
) -> dict[UUID, IndexedMask]:
    """Return the masks by id, but for those whose files are known to be gone."""
    from datacube.storage import BandInfo

    wanted = CLASSES if "ucl_confidence" in names else CLASSES[:1]
    masks, gone = {}, {}
    for each in datasets:
        label = f"{each.center_time:%Y-%m-%d %H:%M}, dataset {each.id}"
        try:
            infos = [BandInfo(each, name) for name in wanted]
        except Exception as error:  # of datacube, of whatever stands in the document
            gone[label] = first_line(error)
            continue
        paths = [local_path(info.uri) for info in infos]
        if missing := [
            path
            for info, path in zip(infos, paths, strict=True)
            if info.uri.startswith("file:") and not Path(path).exists()
        ]:
            gone[label] = f"{missing[-1]} does not exist"
            continue
        bands = tuple((path, info.band or 1) for path, info in zip(paths, infos, strict=True))
        masks[each.id] = IndexedMask(each.id, label, native[each.id], bands)
    _warn_of_unreadable(gone, len(datasets))
    return masks


def _warn_of_unreadable(why: Mapping[str, str], number: int) -> None:
    """Warn of masks that cannot be read; raise if it is all of them.

    Parameters
    ----------
    why
        The reason by the name of each.
    number
        How many masks there are.
    """
    if not why:
        return
    listed = "; ".join(f"{label} ({reason})" for label, reason in [*why.items()][:5])
    more = f" and {len(why) - 5} more" if len(why) > 5 else ""
    if len(why) == number:
        raise CubeError(
            f"none of the {number} masks can be read: {listed}{more}. Bring the files back, or "
            "archive the datasets and mask the scenes anew."
        )
    warn_caller(
        f"{len(why)} of {number} masks cannot be read, and there are no data where they would be: "
        f"{listed}{more}.",
        GapWarning,
    )
