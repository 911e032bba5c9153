"""ESA's Zarr form of Sentinel-2 products (EOPF): what lies where, in a store, in a STAC item and in a datatree.

GeoZarr products of the EOPF Explorer have the same layout, with reflectance as floating-point numbers.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arguments import is_number
from ..errors import SceneError
from ..storage.zarr_store import find_node, is_zarr, place_of, split_address
from .band_folder import parse_moment
from .bands import band_of
from .packing import asset_values
from .product_name import said_by_names
from .sensor import check_sensor
from .zarr_attributes import product_attributes, stated_crs, stored_values

if TYPE_CHECKING:
    import pystac
    import xarray as xr

REFLECTANCE = "measurements/reflectance"
"""Path of the group with a group of bands for each resolution."""

GROUPS: Mapping[str, tuple[str, ...]] = {
    "r10m": ("b02", "b03", "b04", "b08"),
    "r20m": ("b05", "b06", "b07", "b8a", "b11", "b12", "b01"),
    "r60m": ("b09", "b10"),
}
"""Groups below it, the finest first, and the bands that each has at their native resolution, and ``b01`` of level 2A."""

SCL = "conditions/mask/l2a_classification/r20m/scl"
"""Path of Sen2Cor's scene classification."""

GEOMETRY = "conditions/geometry"
"""Path of the group with the angles of sun and satellite."""

_LEVEL = re.compile(r"(?:S2[A-D]_|S02)MSI(L1C|L2A)")
"""A level in the name of a product, or in its type."""

TIME = re.compile(r"(?:S2[A-D]_|S02)MSIL(?:1C|2A)_(\d{8}T\d{6})")
"""The time in the name of a product."""

_KEPT = (
    "platform", "constellation", "instruments", "eo:cloud_cover", "eo:snow_cover", "sat:orbit_state",
    "sat:relative_orbit", "sat:absolute_orbit", "processing:level", "product:type", "eopf:datastrip_id",
)  # fmt: skip
"""Properties of a product that a scene has, too."""


def discovery(attrs: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the STAC item in the attributes of a root; empty if there is none."""
    found = attrs.get("stac_discovery")
    return found if isinstance(found, Mapping) else {}


def product_properties(attrs: Mapping[str, Any], names: Iterable[str] = ()) -> dict[str, Any]:
    """Return what the root of a product says of it, under the names that STAC has.

    Parameters
    ----------
    attrs
        Attributes of the root. GeoZarr has none.
    names
        Further names of the product, such as that of its folder.

    Returns
    -------
    dict
        With ``datetime``, a `datetime`, if it is known.

    Raises
    ------
    SceneError
        If it is of another satellite.
    """
    told = discovery(attrs)
    said = told.get("properties") or {}
    properties = {
        name: value for name in _KEPT if (value := said.get(name)) not in (None, "", "null")
    }
    others = attrs.get("other_metadata")
    names = [str(each) for each in (told.get("id"), said.get("product:type"), *names) if each]
    label = f"the Zarr product {names[-1]}" if names else "the Zarr product"
    check_sensor(said, names, label)
    level = next((found[1] for each in names if (found := _LEVEL.search(each))), None)
    if level is not None:
        properties["processing:level"] = level
    if baseline := said.get("eopf:baseline"):
        properties["s2:processing_baseline"] = str(baseline)
    if level != "L1C":
        properties |= said_by_names(Path("/"), [Path(f"{each}.zarr") for each in names])
    if isinstance(others, Mapping):
        properties |= _sun(*(others.get(f"mean_sun_{each}_angle_in_deg_for_all_bands_all_detectors") for each in ("azimuth", "zenith")))  # fmt: skip
    moments = (said.get("datetime"), said.get("start_datetime"))
    moment = next((each for each in moments if each not in (None, "", "null")), None)
    dates = [found[1] for each in names if (found := TIME.search(each))]
    if moment or dates:
        properties["datetime"] = parse_moment(str(moment or dates[0]))
    return properties


def _sun(azimuth: Any, zenith: Any) -> dict[str, float]:
    """Return the place of the sun as STAC has it; empty if it is not known."""
    if not (_is_angle(azimuth) and _is_angle(zenith)):
        return {}
    return {"view:sun_azimuth": float(azimuth), "view:sun_elevation": 90 - float(zenith)}


def _is_angle(value: Any) -> bool:
    return is_number(value) and math.isfinite(value)


def mean_angles(
    labels: np.ndarray | None, sun: np.ndarray | None, view: np.ndarray | None
) -> dict[str, float]:
    """Return the mean angles of a product, as STAC has them.

    Parameters
    ----------
    labels
        ``(2,)`` texts: the order of zenith and azimuth, which is this one without.
    sun
        ``(2,)`` degrees; None if it is not known.
    view
        ``(bands, 2)`` degrees, NaN for bands that have none; None if it is not known.
    """
    words = [each.decode() if isinstance(each, bytes) else str(each) for each in (() if labels is None else labels)]  # fmt: skip
    zenith = words.index("zenith") if sorted(words) == ["azimuth", "zenith"] else 0
    found: dict[str, float] = {}
    if sun is not None and np.shape(sun) == (2,):
        found |= _sun(float(sun[1 - zenith]), float(sun[zenith]))
    if view is not None and np.ndim(view) == 2 and np.shape(view)[1] == 2:
        whole = np.asarray(view)[np.isfinite(view).all(axis=1)]
        if len(whole):
            turned = np.exp(1j * np.radians(whole[:, 1 - zenith])).mean()
            found["view:azimuth"] = float(np.degrees(np.angle(turned)) % 360)
            found["view:incidence_angle"] = float(whole[:, zenith].mean())
    return found


def band_paths() -> Iterator[str]:
    """Yield the paths of the bands of level 2A, and of the scene classification."""
    for group, bands in GROUPS.items():
        for band in bands:
            if band != "b10":
                yield f"{REFLECTANCE}/{group}/{band}"
    yield SCL


# --- STAC items -----------------------------------------------------------------------


def with_band_assets(item: pystac.Item) -> pystac.Item:
    """Return an item whose bands in a Zarr product each have an asset; the item itself if there is nothing to add.

    Catalogues of such products have assets for the product and for its groups, with those of single bands or without.

    Parameters
    ----------
    item
        An item of any provider.
    """
    import pystac

    known = {band_of(re.sub(r"_r?\d+m$", "", key.lower())) for key in item.assets}
    added: dict[str, tuple[str, pystac.Asset]] = {}
    for asset in item.assets.values():
        href = (asset.get_absolute_href() or asset.href).rstrip("/")
        if is_zarr(href):
            for path, address in _bands_below(href):
                name = path.rpartition("/")[2]
                if band_of(name) not in known and path not in added:
                    added.setdefault(name, (address, asset))
    renamed = [key for key, each in item.assets.items() if each.media_type != _LOADED and is_zarr(each.href)]  # fmt: skip
    if not added and not renamed:
        return item
    clone = item.clone()
    for name, (address, like) in added.items():
        grid = {key: value for key, value in like.extra_fields.items() if key == "proj:code"}
        asset = pystac.Asset(href=address, media_type=_LOADED, roles=["data"], extra_fields=grid)
        clone.add_asset(name.upper(), asset)
    for key in renamed:
        if band_of(re.sub(r"_r?\d+m$", "", key.lower())):
            clone.assets[key].media_type = _LOADED
    return clone


def with_stored_values(item: pystac.Item) -> pystac.Item:
    """Return an item that says of the values of its bands in Zarr what their arrays say; the item itself if it has none.

    Items leave out whether values are reflectance or packed numbers, and the baseline does not tell: the EOPF Explorer has
    taken the offset of its products off.

    Parameters
    ----------
    item
        An item whose assets are bands, as :func:`with_band_assets` gives it.

    Raises
    ------
    SceneError
        If a store cannot be read.
    """
    clone = None
    for key, asset in item.assets.items():
        href = (asset.get_absolute_href() or asset.href).rstrip("/")
        if band_of(re.sub(r"_r?\d+m$", "", key.lower())) is None or not is_zarr(href):
            continue
        array = find_node(place_of(href))
        if array is not None and hasattr(array, "chunks"):
            clone = clone or item.clone()
            said = asset_values(asset)
            if (
                array.dtype.kind == "f"
            ):  # those that the item has are of numbers before they were unpacked
                said = {key: value for key, value in said.items() if key == "nodata"}
            clone.assets[key].extra_fields["raster:bands"] = [said | stored_values(array)]
    return clone or item


_LOADED = "application/zarr"
"""A media type of Zarr that odc-stac takes for that of a raster; ``application/vnd+zarr`` of ESA it leaves out."""


def _bands_below(address: str) -> Iterator[tuple[str, str]]:
    """Yield the paths and the addresses of the bands of the product or group at an address; none for those of an array."""
    place = split_address(address)
    assert place is not None
    prefix = f"{place.inner}/" if place.inner else ""
    store = address[: len(address) - len(place.inner)].rstrip("/")
    for path in band_paths():
        if path.startswith(prefix):
            yield path, f"{store}/{path}"


# --- datatrees ------------------------------------------------------------------------


def tree_bands(tree: xr.DataTree) -> dict[str, xr.DataArray]:
    """Return the bands of a product that `xarray.open_datatree` has opened, each at its finest resolution.

    Parameters
    ----------
    tree
        The product, or its part ``measurements/reflectance``.

    Returns
    -------
    dict
        Name to band, dims ``(y, x)``, with its coordinate system. What the root says of the product stands in coordinates.

    Raises
    ------
    SceneError
        If it holds no bands, is of another satellite, or tells no coordinate system.
    """
    try:
        group = tree[REFLECTANCE]
    except KeyError:
        group = tree
    groups = [(name, group[name]) for name in GROUPS if name in getattr(group, "children", {})]
    if not groups:
        names = ", ".join(sorted(getattr(tree, "children", {}))) or "no groups"
        raise SceneError(
            f"the datatree holds no bands in {REFLECTANCE}; it has {names}. Pass the whole product of Sentinel-2 as "
            "xarray.open_datatree opens it."
        )
    root = tree.root
    attrs: dict[str, Any] = {str(name): value for name, value in root.attrs.items()}
    properties = product_properties(attrs, [str(root.name or "")]) | _angles_of_tree(root)
    moment: datetime | None = properties.pop("datetime", None)
    coords: dict[str, Any] = {f"{name}": value for name, value in properties.items() if not isinstance(value, list)}  # fmt: skip
    if moment is not None:
        coords["time"] = np.datetime64(moment.replace(tzinfo=None), "ns")
    found: dict[str, xr.DataArray] = {}
    for name, node in groups:
        for band, data in with_references(node.to_dataset()).data_vars.items():
            if band_of(band) is None or str(band) in found or band_of(band) == "scl":
                continue
            levels: list[Any] = [data.attrs, node.attrs, group.attrs, *product_attributes(attrs)]
            crs = data.odc.crs or next((c for each in levels if (c := stated_crs(each))), None)
            if crs is None:
                raise SceneError(
                    f"the datatree tells no coordinate system of {name}/{band}; pass the whole product, with the attributes of "
                    "its root."
                )
            placed = data if data.odc.crs is not None else data.odc.assign_crs(crs)
            found[str(band)] = placed.assign_coords(coords)
    return found


def with_references(scene: xr.Dataset) -> xr.Dataset:
    """Return a Dataset whose references to coordinate systems are coordinates; xarray opens those of GeoZarr as data.

    Parameters
    ----------
    scene
        Dims ``(y, x)`` and any others, any dtype.
    """
    names = [
        name for name, each in scene.data_vars.items() if not each.ndim and stated_crs(each.attrs)
    ]
    found: xr.Dataset = scene.set_coords(names) if names else scene
    return found


def with_stated_crs(band: xr.DataArray) -> xr.DataArray:
    """Return a band with the coordinate system that its attributes state as STAC does, if it has none.

    Parameters
    ----------
    band
        Any dims, shape and dtype.
    """
    if not any(name.startswith("proj:") for name in map(str, band.attrs)):
        return band
    crs = None if band.odc.crs is not None else stated_crs(band.attrs)
    placed: xr.DataArray = band if crs is None else band.odc.assign_crs(crs)
    return placed


def _angles_of_tree(root: xr.DataTree) -> dict[str, float]:
    try:
        group = root[GEOMETRY]
    except KeyError:
        return {}
    names = ("angle", "mean_sun_angles", "mean_viewing_incidence_angles")
    known = {name: np.asarray(group[name].values) for name in names if name in group.variables}
    return mean_angles(*(known.get(name) for name in names))
