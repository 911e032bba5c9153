"""Read scenes from products in ESA's Zarr form (EOPF), on this machine or behind a URL."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..arguments import is_number
from ..errors import SceneError
from ..storage.zarr_store import Place, find_node, open_node, place_of
from .eopf import (
    GEOMETRY,
    GROUPS,
    REFLECTANCE,
    TIME,
    band_paths,
    discovery,
    mean_angles,
    product_properties,
)
from .offset import FILE_TAGS, QUANTIFICATION
from .scene import USE_OF_L1C, Scene
from .stac import item_scene
from .zarr_attributes import stored_values

if TYPE_CHECKING:
    import pystac


def zarr_scene(source: str) -> Scene:
    """Return the scene of a Zarr product.

    Parameters
    ----------
    source
        Path or URL of ``NAME.zarr``.

    Raises
    ------
    SceneError
        If zarr is not installed, or the store cannot be read, is no whole product of Sentinel-2 L2A, or tells no date.
    """
    store, inner = place_of(source.rstrip("/"))
    if inner:
        raise SceneError(f"{source} is a part of a Zarr product; give the product, {store}.")
    item = _item(store)
    return item_scene(item)


def _item(store: str) -> pystac.Item:
    """Return a STAC item of a product; its footprint is any, for that of a scene is the one of its grid."""
    import pystac

    attrs = dict(open_node(Place(store, "")).attrs)
    name = store.rstrip("/").rpartition("/")[2][: -len(".zarr")]
    told = discovery(attrs)
    properties = product_properties(attrs, [name])
    level = properties.get("processing:level")
    if level == "L1C":
        raise SceneError(
            f"{store} is of level 1C, top of the atmosphere; masks are made of L2A. Take the L2A product. {USE_OF_L1C}"
        )
    assets = _assets(store)
    moment = properties.pop("datetime", None)
    if moment is None:
        raise SceneError(
            f"{store} tells no date, neither in its metadata nor by its name; give it back the name of ESA's product, such as "
            "S2B_MSIL2A_20240710T071619_N0510_R006_T37MGP_20240710T094321.zarr."
        )
    properties |= _angles(store) | _offset(store, assets)
    identity = str(told.get("id") or "").removesuffix(".SAFE")
    square = [[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]
    return pystac.Item.from_dict(
        {
            "type": "Feature",
            "stac_version": "1.0.0",
            "id": name if TIME.match(name) or not identity else identity,
            "properties": {**properties, "datetime": moment.isoformat()},
            "geometry": {"type": "Polygon", "coordinates": [square]},
            "bbox": [0, 0, 1, 1],
            "links": [],
            "assets": assets,
        },
        href=store if "://" in store else Path(store).resolve().as_uri(),
    )


def _angles(store: str) -> dict[str, float]:
    """Return the mean angles of sun and satellite of a product, as STAC has them; those that it tells."""
    group = {
        name: find_node(Place(store, f"{GEOMETRY}/{name}"))
        for name in ("angle", "mean_sun_angles", "mean_viewing_incidence_angles")
    }
    known = {name: each[:] for name, each in group.items() if each is not None}
    return mean_angles(
        known.get("angle"), known.get("mean_sun_angles"), known.get("mean_viewing_incidence_angles")
    )


def _assets(store: str) -> dict[str, Any]:
    """Return an asset for each band of a product, as an item has it.

    Raises
    ------
    SceneError
        If a group is missing.
    """
    found = {}
    for path in band_paths():
        array = find_node(Place(store, path))
        if array is None or not hasattr(array, "chunks"):
            continue
        found[path.rpartition("/")[2]] = {
            "href": f"{store}/{path}",
            "type": "application/vnd+zarr",
            "roles": ["data"],
            "raster:bands": [stored_values(array)],
        }
    missing = [f"{REFLECTANCE}/{name}" for name in ("r10m", "r20m") if not found.keys() & set(GROUPS[name])]  # fmt: skip
    if missing:
        raise SceneError(
            f"{store} lacks {' and '.join(missing)}: it is no whole product of Sentinel-2 in ESA's layout. Download it anew, or "
            "pass a part of it to odc_cleansat.classify."
        )
    return found


def _offset(store: str, assets: Mapping[str, Any]) -> dict[str, float]:
    """Return the offset of the bands as a property of the scene, digital numbers, which counts before the baseline."""
    offsets = {}
    for name, asset in assets.items():
        if name != "scl":
            (values,) = asset["raster:bands"]
            scale = values.get("scale", 1 / QUANTIFICATION)
            usable = is_number(scale) and scale > 0 and is_number(values.get("offset", 0))
            if not usable:
                raise SceneError(
                    f"{store} tells an impossible scale or offset of {name}; restore its metadata."
                )
            offsets[name] = round(values.get("offset", 0) / scale)
    if len(set(offsets.values())) > 1:
        listed = ", ".join(f"{name}: {value:g}" for name, value in offsets.items())
        raise SceneError(
            f"{store} tells different offsets of its bands ({listed}), and a product has one; restore its metadata."
        )
    return {FILE_TAGS: float(next(iter(offsets.values())))}
