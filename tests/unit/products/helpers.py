"""What the tests of products share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import rasterio
import yaml
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr

from odc_cleansat.products.product import DOCUMENT


def one(folder: Path, pattern: str) -> Path:
    (path,) = folder.glob(pattern)
    return path


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def stored(folder: Path):  # type: ignore[no-untyped-def]
    """A written mask as `classify` gives it."""
    import xarray as xr

    layers = {}
    for name in ("ucl", "ucl_confidence"):
        with rasterio.open(one(folder, f"*_{name}.tif")) as file:
            layers[name] = wrap_xr(file.read(1), GeoBox.from_rio(file), nodata=file.nodata)
    return xr.Dataset(layers)


def grid() -> GeoBox:
    return GeoBox.from_bbox((0, 0, 20, 20), "EPSG:32633", resolution=20)


def uuid_of(product: Path) -> str:
    return str(yaml.safe_load(one(product, f"*{DOCUMENT}").read_text())["id"])


def read_yaml(path: Path | str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(Path(path).read_text())
    return found
