"""What attributes of Zarr groups and arrays say of a band's place, in ESA's layout and in GeoZarr."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from affine import Affine

from ..arguments import is_number
from .packing import FILL


def packing_attributes(array: Any) -> dict[str, Any]:
    """Return what an array says of its values, as attributes of a band.

    Parameters
    ----------
    array
        A `zarr.Array`.

    Returns
    -------
    dict
        Those of ``scale_factor``, ``add_offset`` and the value for no data that it has. An array of integers that declares none
        has that of Zarr, which chunks that were never written have, too.
    """
    told = array.attrs
    found = {}
    for name, plain in (("scale_factor", 1), ("add_offset", 0)):
        if told.get(name) is not None and told[name] != plain:
            found[name] = told[name]
    if array.dtype.kind in "ui":
        values = (told.get(FILL), told.get("_FillValue"), array.fill_value)
        fill = next((each for each in values if is_number(_plain(each))), None)
        if fill is not None:
            found[FILL] = _plain(fill)
    return found


def stored_values(array: Any) -> dict[str, Any]:
    """Return what an array says of its values, as ``raster:bands`` of STAC has it.

    Parameters
    ----------
    array
        A `zarr.Array`.

    Returns
    -------
    dict
        ``data_type``, and those of ``nodata``, ``scale`` and ``offset`` that it has. An array that says one of these two says both,
        for what it leaves out is plain.
    """
    packed = packing_attributes(array)
    found: dict[str, Any] = {"data_type": np.dtype(array.dtype).name}
    if FILL in packed:
        found["nodata"] = packed[FILL]
    if any(array.attrs.get(name) is not None for name in ("scale_factor", "add_offset")):
        found |= {"scale": packed.get("scale_factor", 1), "offset": packed.get("add_offset", 0)}
    return found


def _plain(value: Any) -> Any:
    """Return a number of numpy as one of Python, and anything else as it is."""
    return value.item() if isinstance(value, np.generic) else value


def product_attributes(attrs: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield attributes, and what they hold of the whole product in ESA's layout."""
    yield attrs
    for path in (("stac_discovery", "properties"), ("other_metadata",)):
        found: Any = attrs
        for key in path:
            found = found.get(key) if isinstance(found, Mapping) else None
        if isinstance(found, Mapping):
            yield found


def stated_crs(attrs: Mapping[str, Any]) -> str | None:
    """Return the coordinate system that attributes state, as pyproj understands it; None if they state none."""
    names = ("proj:code", "proj:epsg", "horizontal_crs_code", "horizontal_CRS_code", "proj:wkt2", "crs_wkt")  # fmt: skip
    for name in names:
        value = attrs.get(name)
        if (
            isinstance(value, int | str)
            and not isinstance(value, bool)
            and value not in ("", "null")
        ):
            return f"EPSG:{value}" if str(value).isdigit() else str(value)
    return None


def stated_transform(attrs: Mapping[str, Any], shape: tuple[int, ...]) -> Affine | None:
    """Return the transform that attributes state for an array of a shape; None if they state none for it.

    Parameters
    ----------
    attrs
        Of the array, of its group, or of its product.
    shape
        Rows and columns of the array.
    """
    told = attrs.get("proj:shape", attrs.get("spatial:shape"))
    if told is not None and list(told) != list(shape):
        return None
    transform = attrs.get("proj:transform", attrs.get("spatial:transform"))
    if told is not None and _are_numbers(transform, 6):
        return Affine(*transform[:6])
    box = attrs.get("proj:bbox", attrs.get("spatial:bbox"))
    if not _are_numbers(box, 4):
        return None
    across, down = (box[2] - box[0]) / shape[1], (box[3] - box[1]) / shape[0]
    if across <= 0 or abs(across - down) > 1e-6 * across or across % 10:
        return None  # a part of a product has the box of the whole
    return Affine(across, 0, box[0], 0, -down, box[3])


def _are_numbers(value: Any, count: int) -> bool:
    return isinstance(value, list | tuple) and len(value) >= count and all(map(is_number, value))
