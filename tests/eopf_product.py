"""Products of Sentinel-2 in ESA's Zarr layout (EOPF) and in GeoZarr, with simulated pixels.

Names, chunks, attributes and their places are those of products that are published: version 2 as the EOPF Sample Service
has them, version 3 as CPM 3.0 writes them, and GeoZarr as the EOPF Explorer does.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from odc_cleansat.synthetic.scene import SimulatedScene

SCENE = SimulatedScene(shape=(240, 300), seed=1)
NAME = "S2B_MSIL2A_20240615T101031_N0510_R022_T33UVP_20240615T143508"
NATIVE = {
    "r10m": ("B02", "B03", "B04", "B08"),
    "r20m": ("B01", "B05", "B06", "B07", "B8A", "B11", "B12"),
    "r60m": ("B09",),
}
METRES = {"r10m": 10, "r20m": 20, "r60m": 60}
SUN, VIEW = (45.0, 150.0), (4.0, 290.0)
"""Zenith and azimuth of sun and satellite."""


def write_product(
    folder: Path,
    form: str = "v2",
    name: str = NAME,
    scene: SimulatedScene = SCENE,
    *,
    consolidated: bool = True,
    **changes: Any,
) -> Path:
    """Write a product, and return its folder.

    Parameters
    ----------
    form
        ``v2``, ``v3`` or ``geozarr``.
    changes
        ``holes``: rows of B04 alone that have the fill value; ``kind``: type of the product; ``without``: path of a group
        that is left out; ``moment``: its time; ``told``: other properties.
    """
    with warnings.catch_warnings():
        # zarr warns of texts and of consolidated metadata in version 3, which the published products have.
        warnings.simplefilter("ignore")
        return _written(folder / f"{name}.zarr", form, scene, consolidated, changes)


def _written(
    path: Path, form: str, scene: SimulatedScene, consolidated: bool, changes: dict[str, Any]
) -> Path:
    version = 2 if form == "v2" else 3
    root = zarr.create_group(path, zarr_format=version, attributes=_root(form, scene, changes))
    layers = {band: values.copy() for band, values in scene.read().items()}
    if "holes" in changes:
        layers["B04"][changes["holes"]] = 0
    for group, bands in NATIVE.items():
        place = f"measurements/reflectance/{group}"
        for band in bands:
            values = layers[band]
            if band == "B01":
                values = values.repeat(3, axis=0).repeat(3, axis=1)
            _write_band(root, f"{place}/{band.lower()}", values, form, METRES[group], scene)
        _write_axes(root, place, METRES[group], scene, form)
    place = "conditions/mask/l2a_classification/r20m"
    _write_band(root, f"{place}/scl", layers["SCL"], form, 20, scene)
    _write_axes(root, place, 20, scene, form)
    view = np.array([VIEW, (np.nan, np.nan), VIEW])
    for key, values, dims in (
        ("angle", np.array(["zenith", "azimuth"]), ("angle",)),
        ("mean_sun_angles", np.array(SUN), ("angle",)),
        ("mean_viewing_incidence_angles", view, ("band", "angle")),
    ):
        _write(root, f"conditions/geometry/{key}", values, dims, form)
    if without := changes.get("without"):
        del root[without]
    if consolidated:
        zarr.consolidate_metadata(path, zarr_format=version)
    return path


def _root(form: str, scene: SimulatedScene, changes: dict[str, Any]) -> dict[str, Any]:
    if form == "geozarr":
        return {}
    moment = changes.get("moment", scene.datetime)
    grid = scene.geobox()
    properties: dict[str, Any] = {
        "platform": "sentinel-2b",
        "constellation": "sentinel-2",
        "processing:level": "L2A",
        "product:type": changes.get("kind", "S02MSIL2A"),
        "eo:cloud_cover": 12.5,
        "proj:bbox": list(grid.boundingbox.bbox),
        "start_datetime": moment,
        "end_datetime": moment,
    }
    code = f"EPSG:{scene.epsg}"
    angles = {
        f"mean_sun_{name}_angle_in_deg_for_all_bands_all_detectors": value
        for name, value in zip(("zenith", "azimuth"), SUN, strict=True)
    }
    if form == "v2":
        properties |= {"datetime": "null", "proj:epsg": scene.epsg, "eopf:baseline": "05.10"}
        other = {"horizontal_CRS_code": code, **angles}
        identity = f"{NAME}.SAFE"
    else:
        properties |= {
            "datetime": moment, "proj:code": code, "instruments": ["msi"], "processing:version": "1.0.0",
            "eopf:datastrip_id": "S2B_OPER_MSI_L2A_DS_2BPS_20240615T143508_S20240615T101636_N05.10",
        }  # fmt: skip
        other = {"horizontal_crs_code": code, **angles}
        identity = "S02MSIL2A_20240615T101031_00000_B0022_T8BB"
    properties |= changes.get("told", {})
    return {
        "stac_discovery": {"id": identity, "type": "Feature", "properties": properties},
        "other_metadata": other,
    }


def _write_band(
    root: Any, path: str, values: np.ndarray, form: str, metres: int, scene: SimulatedScene
) -> None:
    attrs: dict[str, Any] = {}
    fill: Any = 0
    reflective = not path.endswith("scl")
    if form == "geozarr":
        attrs |= _placed(values, metres, scene)
        if reflective:
            attrs |= {"_FillValue": "AAAAAAAA+H8=", "grid_mapping": "spatial_ref"}
            packed = values.astype("float32")
            values = np.where(values == 0, np.nan, (packed + scene.offset) / 10000).astype(
                "float32"
            )
            fill = np.nan
    elif reflective:
        attrs = {
            "add_offset": scene.offset / 10000, "scale_factor": 0.0001, "fill_value": 0, "dtype": "<u2",
            "units": "digital_counts", "valid_min": 1, "valid_max": 65535,
        }  # fmt: skip
    if form == "v2":
        attrs |= _placed(values, metres, scene)
    _write(root, path, values, ("y", "x"), form, attrs, fill_value=fill, chunks=(64, 64))


def _write(
    root: Any,
    path: str,
    values: np.ndarray,
    dims: tuple[str, ...],
    form: str,
    attrs: dict[str, Any] | None = None,
    **options: Any,
) -> None:
    attrs = dict(attrs or {})
    if form == "v2":
        attrs["_ARRAY_DIMENSIONS"] = list(dims)
    else:
        options["dimension_names"] = dims
    array = root.create_array(
        path, shape=values.shape, dtype=values.dtype, attributes=attrs, **options
    )
    array[...] = values


def _placed(values: np.ndarray, metres: int, scene: SimulatedScene) -> dict[str, Any]:
    grid = scene.geobox(metres)
    return {
        "proj:epsg": scene.epsg,
        "proj:shape": list(values.shape),
        "proj:transform": list(grid.affine),
        "proj:bbox": list(grid.boundingbox.bbox),
    }


def _write_axes(root: Any, place: str, metres: int, scene: SimulatedScene, form: str) -> None:
    grid = scene.geobox(metres)
    for name, dim in (("x", grid.dimensions[1]), ("y", grid.dimensions[0])):
        values = grid.coordinates[dim].values.astype("float32" if form == "v3" else "int64")
        _write(root, f"{place}/{name}", values, (name,), form)
    if form == "geozarr":
        wkt = grid.crs.to_wkt()
        _write(root, f"{place}/spatial_ref", np.array(0), (), form, {"crs_wkt": wkt})
