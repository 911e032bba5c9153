"""How the numbers of a band become reflectance, from all that its array says of itself."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import SceneError
from .baseline import TITLES
from .offset import QUANTIFICATION, stated_offset

if TYPE_CHECKING:
    import pystac
    import xarray as xr


_OF_ITEMS = (
    *TITLES, "platform", "constellation", "instruments", "processorVersion", "productType", "version",
)  # fmt: skip
"""Properties of STAC items without a prefix that are heeded."""


FILL = "fill_value"
"""Attribute with the value for no data in ESA's Zarr products (EOPF). It is that of the packed numbers, also once xarray has
unpacked the others. No pixel of such a product has it and is data."""


@dataclass(frozen=True)
class Packing:
    """How the numbers of one band become reflectance: ``(number + offset) * scale``.

    :func:`read_packing` is the only place where it is decided.
    """

    scale: float
    """Reflectance per number."""

    offset: float
    """Added to the numbers first."""

    nodata: float | None
    """The band's own value for no data; None if it has none. A 0 says nothing of one band by itself, but for :data:`FILL`."""

    source: str
    """What decided the offset."""

    blanks: tuple[float, ...] = ()
    """Numbers that mean no data where all bands have them."""

    unpacked: bool = False
    """Whether xarray has unpacked the numbers, and put NaN where there are no data."""

    contradiction: str = ""
    """Two things that the array says of itself and that cannot both be true, and what was made of them."""

    @property
    def reflectance(self) -> bool:
        """Whether the numbers are reflectance already, but for an offset."""
        return self.scale == 1


def read_packing(
    band: xr.DataArray, scale: float | None = None, offset: float | None = None
) -> Packing:
    """Return how the numbers of a band become reflectance.

    The scale is, in this order: the caller's; ``scale_factor`` among the attributes; ``scale`` of ``raster:bands``
    among the coordinates that stackstac adds, for integers; 1/10000 for integers and 1 for floating point.

    The offset is, in this order: the caller's; ``add_offset`` among the attributes; and for digital numbers the
    coordinate ``offset``, as :func:`odc_cleansat.load` adds it, then what :func:`resolve_offset` makes of stackstac's
    coordinates. Else it is 0. An offset between -1 and 1 is in reflectance, any other in digital numbers.

    A scale and an offset among the attributes are still to be applied. Once xarray has applied them it moves them to
    ``encoding``, together with the value for no data, which has become NaN.

    Parameters
    ----------
    band
        Dims ``(y, x)``, of any dtype, lazy or not.
    scale
        Reflectance per number.
    offset
        The radiometric offset, digital numbers or reflectance.

    Raises
    ------
    SceneError
        If a value is not a number, or scenes of several offsets are fused in the band.
    """
    item = item_metadata(band)
    per_number, digital = _scale(band, item, scale)
    source, contradiction, found = "nothing", "", 0.0
    if offset is not None:
        source, found = "argument", _in_numbers(offset, per_number)
    elif added := _attribute(band, "add_offset"):
        source, found = f"add_offset is {added:g}", _in_numbers(added, per_number)
    elif digital and (noted := _noted_offset(band)) is not None:
        source, found = f"the coordinate offset is {noted:g}", noted
    elif digital and (stated := stated_offset(**item)):
        source, found = stated.source, float(stated.value)
    elif not digital and scale is None:
        found, contradiction = _correction(item)
        source = contradiction or "the values are reflectance"
    unpacked = not {"scale_factor", "add_offset"}.isdisjoint(band.encoding)
    nodata = declared_nodata(band)
    blanks = (0, 1) if digital else (0,) if nodata == 0 else ()
    own = _fill(band)
    nodata = (nodata or None) if own is None else own
    return Packing(per_number, found, nodata, source, blanks, unpacked, contradiction)


def _fill(band: xr.DataArray) -> float | None:
    """Return the value for no data of a band in ESA's Zarr layout, as it stands in its numbers; None in any other.

    Zarr 3 does not tell xarray of it. So xarray unpacks it like data, and 0 becomes a reflectance of -0.1.
    """
    if (value := band.attrs.get(FILL)) is None:
        return None
    found = _number(
        value,
        FILL,
        "{1} of a band is {0!r}, which is no number; correct the attribute, or remove it.",
    )
    if band.dtype.kind in "ui":
        return None if math.isnan(found) else found
    unpacking = [band.encoding.get(name) for name in ("scale_factor", "add_offset")]
    if unpacking == [None, None]:
        return None
    scale, offset = (
        plain if each is None else float(each)
        for each, plain in zip(unpacking, (1.0, 0.0), strict=True)
    )
    return found * scale + offset


def declared_nodata(band: xr.DataArray) -> float | None:
    """Return the nodata value that a band declares, or None.

    Parameters
    ----------
    band
        Any shape and dtype. For integers a nodata value of NaN counts as none. The ``encoding`` of values that xarray
        has unpacked is about the packed ones, and is not looked at.

    Raises
    ------
    SceneError
        If the value is not a number.
    """
    places = [band.attrs]
    if {"scale_factor", "add_offset"}.isdisjoint(band.encoding):
        places.append(band.encoding)
    names = ("nodata", "_FillValue", "missing_value")
    value = next((p[n] for p in places for n in names if p.get(n) is not None), None)
    if value is None:
        return None
    found = _number(
        value, "nodata", "the nodata value {!r} of a band is no number; correct its attribute `{}`."
    )
    return None if math.isnan(found) and band.dtype.kind in "ui" else found


def _number(value: Any, name: str, message: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise SceneError(message.format(value, name)) from None


def _attribute(band: xr.DataArray, name: str) -> float:
    """Return a scale or an offset among the attributes; 0 if there is none."""
    value = band.attrs.get(name)
    if value is None:
        return 0.0
    found = _number(
        value,
        name,
        "{1} of a band is {0!r}, which is no number; correct the attribute, or remove it.",
    )
    if not math.isfinite(found) or (name == "scale_factor" and found <= 0):
        raise SceneError(f"{name} of a band is {found:g}; correct the attribute, or remove it.")
    # rioxarray says 1 and 0 where a file says nothing.
    return 0.0 if (name, found) == ("scale_factor", 1) else found


def _scale(band: xr.DataArray, item: Mapping[str, Any], given: float | None) -> tuple[float, bool]:
    """Return the reflectance per number, and whether the numbers are digital numbers."""
    if given is not None:
        return float(given), True
    if stated := _attribute(band, "scale_factor"):
        return stated, True
    if band.dtype.kind == "f":
        return 1.0, False
    raster = item["raster_bands"] or {}
    return float(raster.get("scale") or 1 / QUANTIFICATION), True


def _in_numbers(offset: float, scale: float) -> float:
    """Return an offset in numbers of a band, for one between -1 and 1 is in reflectance."""
    if not 0 < abs(offset) < 1:
        return float(offset)
    found = offset / scale
    return float(round(found)) if abs(found - round(found)) < 1e-6 else found


def _noted_offset(band: xr.DataArray) -> float | None:
    """Return the offset in the coordinate that `load` adds, digital numbers."""
    noted = band.coords.get("offset")
    if noted is None or noted.ndim or noted.dtype.kind not in "uif":
        return None
    value = float(noted)
    if math.isnan(value):
        raise SceneError(
            "the coordinate `offset` is NaN: scenes of several radiometric offsets are fused at one time. Load them "
            "with harmonized=True, or with group_by='time'."
        )
    return value


def item_metadata(band: xr.DataArray) -> dict[str, Any]:
    """Return what stackstac's coordinates say of the STAC item of a band.

    Parameters
    ----------
    band
        Dims ``(y, x)``, of any dtype.

    Returns
    -------
    dict
        ``properties`` and ``raster_bands``, the arguments of :func:`~odc_cleansat.scenes.offset.stated_offset`.
    """
    scalars = {
        str(name): value
        for name, coordinate in band.coords.items()
        if not coordinate.ndim and (":" in str(name) or name in _OF_ITEMS)
        # Other objects may say anything where they are compared.
        if isinstance(value := coordinate.item(), str | float | int | list | tuple | set | dict)
    }
    raster = scalars.get("raster:bands")
    if isinstance(raster, list | tuple):
        raster = raster[0] if raster else None
    return {
        "properties": scalars,
        "raster_bands": raster if isinstance(raster, Mapping) else None,
    }


def _correction(item: Mapping[str, Any]) -> tuple[float, str]:
    """Return what is to be added to reflectance that stackstac made with a wrong offset, and why.

    stackstac applies ``raster:bands`` as it stands, and knows nothing of providers who have removed the offset.
    """
    raster = item["raster_bands"] or {}
    if not raster.get("scale"):
        return 0.0, ""
    stated = stated_offset(**item)
    applied = float(raster.get("offset") or 0)
    wanted = applied if stated is None else stated.value * float(raster["scale"])
    if math.isclose(wanted, applied, abs_tol=1e-6):
        return 0.0, ""
    assert stated is not None
    return wanted - applied, (
        f"stackstac has added the offset {applied:g} of raster:bands, but it should be {wanted:g}, for {stated.source}; "
        f"{wanted - applied:g} is added. Pass offset=0 if the values are right as they are, or stack without rescaling"
    )


def asset_values(asset: pystac.Asset) -> dict[str, Any]:
    """Return what an asset says of its values.

    Parameters
    ----------
    asset
        An asset of a STAC item.

    Returns
    -------
    dict
        Those of ``nodata``, ``offset``, ``scale`` and ``data_type`` that the asset has. They stand in
        ``raster:bands`` of STAC 1.0, in ``bands`` of STAC 1.1, or in the asset itself.

    Raises
    ------
    SceneError
        If nodata or scale is no number.
    """
    fields = asset.extra_fields
    lists = [fields.get(key) for key in ("raster:bands", "bands")]
    places = [each[0] for each in lists if isinstance(each, list) and each] + [fields]
    values = {}
    for key in ("nodata", "offset", "scale", "data_type"):
        for described in (each for each in places if isinstance(each, Mapping)):
            name = next((n for n in (key, f"raster:{key}") if n in described), None)
            if name is not None:
                values[key] = described[name]
                break
    for key in ("nodata", "scale"):  # STAC writes NaN as text
        if values.get(key) is not None:
            values[key] = _number(
                values[key], key, "{1} of an asset is {0!r}, which is no number; correct the item."
            )
    return values


def offset_hints(measurement: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a product's measurement that `resolve_offset` takes as arguments."""
    return {key: measurement.get(key) for key in ("add_offset", "scale_factor", "dtype")}
