"""What recalled masks and composites become in GeoTIFFs: which bands share a file, with which tags and colours."""

from __future__ import annotations

import math

import xarray as xr

from ..classes import CONFIDENCE_NODATA, CloudClass
from ..storage.cog import REQUEST, Raster

COUNTS = ("clear_count", "observation_count", "clear_share", "best_time")
"""Variables of a composite that are no bands."""


def mask_rasters(mask: xr.Dataset, how: str, request: str) -> dict[str, Raster]:
    """Return the rasters of a recalled mask of one time.

    Parameters
    ----------
    mask
        From :func:`~odc_cleansat.recall`, dims ``(y, x)``.
    how
        The argument `how` that it was recalled with.
    request
        The options that decide what its pixels mean.

    Returns
    -------
    dict
        How the name of a file ends to its content. Fractions share a file.
    """
    moment = str(mask.time.values.astype("datetime64[s]"))
    tags = {"TIFFTAG_DATETIME": moment.replace("-", ":").replace("T", " "), "HOW": how}
    tags[REQUEST] = request
    if how == "fraction":
        bands = {str(name): mask[name] for name in mask.data_vars}
        return {"fraction": Raster(bands, float("nan"), tags=tags)}
    colours = {int(c): c.colour for c in CloudClass}
    name = "ucl" if how == "nearest" else f"{how}_ucl"
    files = {name: Raster({"ucl": mask.ucl}, int(CloudClass.NODATA), colours, tags)}
    if "ucl_confidence" in mask:
        confidence = {"ucl_confidence": mask.ucl_confidence}
        files["ucl_confidence"] = Raster(confidence, CONFIDENCE_NODATA, tags=tags)
    return files


def composite_bands(clean: xr.Dataset) -> dict[str, xr.DataArray]:
    """Return the bands of a composite by name, without the counts of observations; dims ``(y, x)``, each in its dtype."""
    return {str(name): layer for name, layer in clean.data_vars.items() if name not in COUNTS}


def share_a_file(clean: xr.Dataset) -> bool:
    """Return whether the bands of a composite, dims ``(y, x)``, have one dtype and nodata value, as one file needs."""
    layers = composite_bands(clean).values()
    return len({(layer.dtype, layer.attrs.get("nodata")) for layer in layers}) == 1


def composite_raster(clean: xr.Dataset, number: int, request: str) -> Raster:
    """Return the raster of all bands of a composite, dims ``(y, x)``, of one dtype; see :func:`composite_rasters`."""
    bands = composite_bands(clean)
    return Raster(bands, _nodata(next(iter(bands.values()))), tags=_tags(clean, number, request))


def composite_rasters(clean: xr.Dataset, number: int, request: str) -> dict[str, Raster]:
    """Return the rasters of a composite: one for each band, and the counts of observations.

    Parameters
    ----------
    clean
        From :func:`~odc_cleansat.composite`, dims ``(y, x)``.
    number
        How many observations it is made of.
    request
        The options that decide what its pixels mean.

    Returns
    -------
    dict
        Name to content.
    """
    tags = _tags(clean, number, request)
    rasters = {
        name: Raster({name: layer}, _nodata(layer), tags=tags)
        for name, layer in composite_bands(clean).items()
    }
    for name in ("clear_count", "observation_count", "clear_share"):
        nodata = math.nan if name == "clear_share" else None  # a count of 0 is a count
        rasters[name] = Raster({name: clean[name]}, nodata, tags=tags)
    if "best_time" in clean:
        day = clean.best_time.astype("datetime64[D]").astype("int64")
        days = day.where(clean.best_time.notnull(), 0).astype("uint16")
        rasters["best_day"] = Raster({"days since 1970-01-01": days}, 0, tags=tags)
    return rasters


def _tags(clean: xr.Dataset, number: int, request: str) -> dict[str, str]:
    period = [clean.attrs[f"time_coverage_{end}"][:19] for end in ("start", "end")]
    return {
        "COMPOSITE_METHOD": clean.attrs["composite_method"],
        "TIME_COVERAGE_START": period[0],
        "TIME_COVERAGE_END": period[1],
        "OBSERVATIONS": str(number),
        REQUEST: request,
    }


def _nodata(layer: xr.DataArray) -> float | None:
    nodata = layer.attrs.get("nodata")
    return None if nodata is None else float(nodata)


def share_rasters(shares: xr.Dataset, number: int, request: str) -> dict[str, Raster]:
    """Return the rasters of shares of dates: the shares in one file, and how many dates have data.

    Parameters
    ----------
    shares
        From :func:`~odc_cleansat.masks.persist`, dims ``(y, x)``.
    number
        Of how many dates they are.
    request
        The options that decide what its pixels mean.

    Returns
    -------
    dict
        Name to content.
    """
    tags = {"OBSERVATIONS": str(number), REQUEST: request}
    bands = {str(n): layer for n, layer in shares.data_vars.items() if n != "date_count"}
    return {
        "shares": Raster(bands, math.nan, tags=tags),
        "date_count": Raster({"date_count": shares.date_count}, None, tags=tags),
    }
