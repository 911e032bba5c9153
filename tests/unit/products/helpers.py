"""What the tests of products share."""

from __future__ import annotations

import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import rasterio
import yaml
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr

from odc_cleansat.products.product import DOCUMENT
from odc_cleansat.products.verdict_files import SUFFIX
from odc_cleansat.storage.folder import Folder


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


class Masks:
    """Three folders that hold just enough of a product: a document that tells what it is."""

    def __init__(self, root: Folder) -> None:
        self.ids = [uuid.uuid4() for _ in range(3)]
        self.stores = [root / str(i) for i in range(3)]
        for mask, store in zip(self.ids, self.stores, strict=True):
            if store.path is not None:
                store.path.mkdir(parents=True)
            text = f"id: {mask}\nmeasurements: {{ucl: {{path: ucl.tif}}}}\n"
            store.write(f"{mask}.odc-metadata.yaml", text.encode())

    @property
    def folders(self) -> list[Path]:
        return [Path(str(store)) for store in self.stores]

    def files(self, i: int) -> list[Path]:
        return sorted(self.folders[i].glob(f"*{SUFFIX}"))

    def datasets(self) -> list[Any]:
        """As a datacube gives them."""
        return [
            SimpleNamespace(id=mask, uri=str(store.file(f"{mask}.odc-metadata.yaml")))
            for mask, store in zip(self.ids, self.stores, strict=True)
        ]
