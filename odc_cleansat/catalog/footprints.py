"""Footprints of masks in a file that QGIS and other programs for maps open."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import OutputError
from ..storage.atomic import write_file
from ..storage.replace import check_free, mark_difference, mark_of

if TYPE_CHECKING:
    import pystac

FORMATS = {".gpkg": "GPKG", ".geojson": "GeoJSON", ".fgb": "FlatGeobuf"}
"""Ends of names of files, and the drivers of GDAL that write them."""

_KIND = "odc_cleansat map of footprints"
"""How the name of the layer begins. By it such a file is told from files of others."""

_OURS = "cleansat:"


def check_format(path: Path) -> str:
    """Return the driver of GDAL for a file.

    Parameters
    ----------
    path
        A path that ends in ``.gpkg``, ``.geojson`` or ``.fgb``.

    Raises
    ------
    OutputError
        If it ends in something else.
    """
    try:
        return FORMATS[path.suffix.lower()]
    except KeyError:
        raise OutputError(
            f"{path} is of no kind that footprints are written in. Let its name end in {', '.join(FORMATS)}."
        ) from None


def write_footprints(
    items: Iterable[pystac.Item], path: Path, *, request: str = "", overwrite: bool = False
) -> None:
    """Write the footprints of masks, whole or not at all.

    Each mask is one feature in degrees of longitude and latitude (EPSG:4326). Its fields are name, date and region, what
    the mask says of itself, such as its model and the percentages of its classes, and the addresses of its files.

    Parameters
    ----------
    items
        Masks, or scenes, with absolute addresses.
    path
        Ends in ``.gpkg``, ``.geojson`` or ``.fgb``.
    request
        What was asked for. A file by the same request is replaced.
    overwrite
        Replace whatever file is there.

    Raises
    ------
    OutputError
        If `path` ends in something else, another file is there, or it cannot be written.
    """
    import geopandas

    driver = check_format(path)
    mark = mark_of(_KIND, request)
    check_free(path, lambda there: mark_difference(there, mark), overwrite)
    features = [
        {"type": "Feature", "geometry": item.geometry, "properties": _fields(item)}
        for item in items
    ]
    table = geopandas.GeoDataFrame.from_features(features, crs="EPSG:4326")
    content = io.BytesIO()
    table.to_file(content, driver=driver, layer=mark, engine="pyogrio")
    write_file(path, content.getvalue())


def _fields(item: pystac.Item) -> dict[str, Any]:
    own = {
        name.removeprefix(_OURS): value
        for name, value in item.properties.items()
        if name.startswith(_OURS) and isinstance(value, str | int | float)
    }
    files = {
        name: asset.href for name, asset in item.assets.items() if "data" in (asset.roles or [])
    }
    return {
        "name": item.properties.get("title", item.id),
        "date": item.datetime.isoformat() if item.datetime else None,
        "region": item.properties.get("odc:region_code"),
        **own,
        **files,
        "uuid": item.id,
    }
