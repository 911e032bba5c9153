"""How long it takes to list scenes with their masks: ``python benchmarks/scene_list.py [NUMBER OF SCENES]``.

A datacube of its own gets so many documents of scenes and of masks, without files. The time of the list is compared with
that of the database's own answer, the same parts of the same documents.
"""

from __future__ import annotations

import copy
import itertools
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from datacube import Datacube
from datacube.index.abstract import DatasetTuple
from datacube.index.eo3 import prep_eo3

from odc_cleansat.cube.embedded import embedded_cube
from odc_cleansat.cube.index import add_product
from odc_cleansat.cube.scene_list import list_scenes
from odc_cleansat.products.job import MaskJob
from odc_cleansat.scenes.band_folder import folder_scene
from odc_cleansat.storage.eo3 import MASK_PRODUCT, product_definition
from odc_cleansat.storage.reader import parse_yaml
from odc_cleansat.synthetic.scene import SimulatedScene

TILES = 40


def documents(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The documents of a real simulated scene and of its mask."""
    scene = folder_scene(SimulatedScene(shape=(240, 240)).write(folder / "scene"))
    mask = Path(MaskJob.of_scene(scene, folder / "masks").run())
    return dict(scene.dataset.metadata_doc), parse_yaml(mask.read_bytes(), "mask")


def many(scene: dict[str, Any], mask: dict[str, Any], count: int) -> Iterator[tuple[Any, Any]]:
    """Documents of scenes and their masks, at forty tiles, five days apart."""
    for i in range(count):
        found, its_mask = copy.deepcopy(scene), copy.deepcopy(mask)
        found["id"], its_mask["id"] = str(uuid4()), str(uuid4())
        moment = datetime(2018, 1, 1, 10, 10, 31) + timedelta(
            days=5 * (i // TILES), seconds=i % TILES
        )
        for each in (found, its_mask):
            each["properties"] |= {"datetime": f"{moment:%Y-%m-%dT%H:%M:%SZ}", "odc:region_code": f"T{i % TILES}", "eo:cloud_cover": i % 101}  # fmt: skip
            each["crs"] = f"EPSG:{32601 + i % TILES}"
            each["lineage"] = {}
            each["label"] = f"scene {i}"
        its_mask["properties"]["cleansat:scene"] = found["id"]
        yield found, its_mask


def fill(dc: Datacube, folder: Path, count: int) -> None:
    """Index so many scenes and masks."""
    products = {}
    for name in ("s2_l2a", MASK_PRODUCT):
        add_product(dc, product_definition(name))
        products[name] = dc.index.products.get_by_name(name)
    pairs = many(*documents(folder), count)
    while page := list(itertools.islice(pairs, 1000)):
        for name, which in (("s2_l2a", 0), (MASK_PRODUCT, 1)):
            found = [prep_eo3(pair[which]) for pair in page]
            rows = [DatasetTuple(products[name], each, f"file:///masks/{each['id']}/m.odc-metadata.yaml", {}) for each in found]  # fmt: skip
            dc.index.datasets.bulk_add(rows)


def answer(dc: Datacube) -> float:
    """Seconds that the database and its client take to give the parts, as text."""
    begun = time.perf_counter()
    with dc.index._active_connection() as connection:
        for product in ("s2_l2a", MASK_PRODUCT):
            sql = (
                "select d.id, d.metadata#>>'{properties}', d.metadata#>>'{grid_spatial,projection}' from agdc.dataset d "
                f"join agdc.dataset_type t on t.id = d.dataset_type_ref where t.name = '{product}'"
            )
            from sqlalchemy import text

            connection._connection.execute(text(sql)).fetchall()
    return time.perf_counter() - begun


def main() -> None:
    """Print the times."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as folder, embedded_cube(Path(folder)) as dc:
        fill(dc, Path(folder), count)
        for how in ({}, {}, {"area": (0, 40, 30, 60)}, {"time": "2020"}):
            begun = time.perf_counter()
            rows = list_scenes(dc, "s2_l2a", limit=count, **how)
            seconds = time.perf_counter() - begun
            masks = sum(len(row.masks) for row in rows)
            print(
                f"{how}: {len(rows)} scenes with {masks} masks in {seconds:.2f} s; the database alone {answer(dc):.2f} s"
            )


if __name__ == "__main__":
    main()
