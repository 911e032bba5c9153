"""Lists of STAC items for tests: files of stac-geoparquet, whose scenes are small COGs on this machine."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow.fs  # noqa: F401  stac-geoparquet needs it, and does not import it
from stac_geoparquet.arrow import parse_stac_items_to_parquet
from stac_server import write_item

from odc_cleansat.synthetic.scene import SimulatedScene

Document = dict[str, Any]


def write_list(path: Path, items: Iterable[Document], **options: Any) -> Path:
    """Write a list with the library after the published layout."""
    parse_stac_items_to_parquet(items, output_path=str(path), **options)
    return path


def scene_items(folder: Path, count: int) -> list[Document]:
    """Items of scenes of June 2024, a day and a tenth of a degree apart, all with the same files of a small scene."""
    bands = SimulatedScene(shape=(120, 180)).write(folder / "bands")
    text = write_item(folder / "scene.json", bands).read_text(encoding="utf-8")
    return [numbered(json.loads(text), bands, number) for number in range(1, count + 1)]


def numbered(document: Document, bands: Path, number: int) -> Document:
    """An item as the one with a number."""
    item = copy.deepcopy(document)
    item |= {"id": f"scene-{number}", "collection": "sentinel-2-l2a"}
    item["properties"] |= {
        "datetime": f"2024-06-{number:02d}T10:10:31Z",
        "eo:cloud_cover": 10.0 * number,
    }
    shift = 0.1 * number
    ring = [[x + shift, y] for x, y in item["geometry"]["coordinates"][0]]
    item["geometry"] = {"type": "Polygon", "coordinates": [ring]}
    item["bbox"] = [item["bbox"][0] + shift, item["bbox"][1], item["bbox"][2] + shift, item["bbox"][3]]  # fmt: skip
    for asset in item["assets"].values():
        asset["href"] = str(bands / Path(asset["href"]).name)
    return item
