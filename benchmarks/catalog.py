"""Time a catalogue of many masks: to make, to search by place and time, and to add to.

    python benchmarks/catalog.py [--masks 100000] [--store FOLDER|s3://bucket/prefix]

The masks are rows of tiles all over the Earth, each with a document like that of a real one, and no pixel is written.
Masks with scenes are entered as `cleansat mask` enters them: from documents in a store, which a real mask has too.
"""

from __future__ import annotations

import argparse
import copy
import datetime
import json
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import yaml
from datacube.index.eo3 import prep_eo3
from datacube.model import Dataset
from datacube.utils import jsonify_document

from odc_cleansat.catalog.index import open_index
from odc_cleansat.cube.catalog import open_catalog
from odc_cleansat.cube.index import add_product
from odc_cleansat.products.job import MaskJob
from odc_cleansat.scenes.read import read_scene
from odc_cleansat.storage.eo3 import MASK_PRODUCT, product_definition
from odc_cleansat.synthetic.scene import SimulatedScene

PAGE = 2000
"""Masks that are entered together."""


def datasets(product: object, count: int, seed: int) -> Iterator[list[Dataset]]:
    """Yield pages of masks, each 110 km wide, from 2017 to 2026."""
    draw = np.random.default_rng(seed)
    first = datetime.datetime(2017, 1, 1, 10, tzinfo=datetime.UTC)
    for start in range(0, count, PAGE):
        page = []
        for _ in range(min(PAGE, count - start)):
            zone, north = int(draw.integers(2, 60)), float(draw.integers(5, 70)) * 1e5
            page.append(
                _dataset(
                    product,
                    zone,
                    north,
                    first + datetime.timedelta(hours=float(draw.uniform(0, 87_600))),
                )
            )
        yield page


def _dataset(product: object, zone: int, north: float, when: datetime.datetime) -> Dataset:
    left, size = 399_960.0, 109_800.0
    corners = [
        [left, north],
        [left + size, north],
        [left + size, north - size],
        [left, north - size],
    ]
    document = {
        "$schema": "https://schemas.opendatacube.org/dataset",
        "id": str(uuid.uuid4()),
        "label": f"{MASK_PRODUCT}_{zone}_{when:%Y-%m-%d}",
        "product": {"name": MASK_PRODUCT},
        "crs": f"EPSG:{32600 + zone}",
        "geometry": {"type": "Polygon", "coordinates": [[*corners, corners[0]]]},
        "grids": {
            "default": {
                "shape": [5490, 5490],
                "transform": [20.0, 0.0, left, 0.0, -20.0, north, 0, 0, 1],
            }
        },
        "properties": {
            "datetime": when.isoformat(),
            "odc:processing_datetime": when.isoformat(),
            "odc:region_code": f"{zone}UVP",
            "cleansat:scene": str(uuid.uuid4()),
            "cleansat:model": "unet-efficientnetb4-l2a-6b",
            "cleansat:cloud_percent": 30.5,
        },
        "measurements": {name: {"path": f"{name}.tif"} for name in ("ucl", "ucl_confidence")},
        "lineage": {},
    }
    return Dataset(product, prep_eo3(copy.deepcopy(document)), uri=None)


def masked_scenes(work: Path, store: Path, count: int) -> list[tuple[Path, Dataset]]:
    """Write a mask of a simulated scene, and its documents again for other dates; return documents and scenes."""
    scene = read_scene(str(SimulatedScene(shape=(60, 60)).write(work / "scene"))).dataset
    written = Path(str(MaskJob(scene, work / "made").run()))
    mask = written.name.partition(".")[0]
    there = yaml.safe_load(written.read_text())["id"]
    source = jsonify_document(scene.metadata_doc)
    taken = source["properties"]["datetime"][:10]
    found = []
    for i in range(count):
        day = datetime.date(2017, 1, 1) + datetime.timedelta(days=i)
        changes = {source["id"]: str(uuid.uuid4()), there: str(uuid.uuid4()), taken: str(day)}
        folder = store / "33UVP" / f"{day:%Y/%m/%d}" / changes[there]
        folder.mkdir(parents=True)
        for name in (written.name, f"{mask}.stac-item.json"):
            (folder / name).write_text(_changed((written.parent / name).read_text(), changes))
        document = json.loads(_changed(json.dumps(source), changes))
        found.append(
            (folder / written.name, Dataset(scene.product, prep_eo3(document), uri=scene.uri))
        )
    return found


def _changed(text: str, changes: dict[str, str]) -> str:
    for old, new in changes.items():
        text = text.replace(old, new)
    return text


def timed(text: str, act: Callable[[], object], times: int = 1) -> None:
    """Print the shortest time of a few, and what the processor took of it."""
    seconds = []
    for _ in range(times):
        begun, worked = time.perf_counter(), time.process_time()
        found = act()
        seconds.append((time.perf_counter() - begun, time.process_time() - worked))
    passed, cpu = min(seconds)
    print(f"{text:58} {passed:7.2f} s, processor {cpu:6.2f} s   {found}", flush=True)


def main() -> None:
    """Make a catalogue, and time it."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--masks", type=int, default=100_000)
    options.add_argument("--store")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as work:
        place = given.store or work
        dc = open_index(place)
        add_product(dc, product_definition(MASK_PRODUCT))
        product = dc.index.products.get_by_name(MASK_PRODUCT)

        def make() -> int:
            for page in datasets(product, given.masks, 1):
                dc.index.datasets.add_all(page)
            return given.masks

        timed(f"enter {given.masks} masks", make)
        terms = {"product": MASK_PRODUCT, "time": "2024-06", "lon": (12, 16), "lat": (46, 49)}
        timed(
            "search by place and time, in a process that begins",
            lambda: len(open_index(place).find_datasets(**terms)),
            3,
        )
        again = open_index(place)
        again.find_datasets(**terms)
        timed("search by place and time, again", lambda: len(again.find_datasets(**terms)), 3)
        month = {"product": MASK_PRODUCT, "time": "2024-06"}
        timed("search a month all over the Earth", lambda: len(again.find_datasets(**month)), 3)

        def add() -> int:
            for each in next(datasets(product, 100, int(time.time()))):
                again.index.datasets.add_all([each])
            return 100

        timed("add 100 masks one by one", add)
        timed("search by place and time, after that", lambda: len(again.find_datasets(**terms)))
        timed("merge all parts", lambda: again.index.products.tables[MASK_PRODUCT].merge())
        timed(
            "search by place and time, in a process that begins",
            lambda: len(open_index(place).find_datasets(**terms)),
            3,
        )
    with tempfile.TemporaryDirectory() as work:
        store = Path(work) / "masks"
        pairs = masked_scenes(Path(work), store, 100)
        catalog = open_catalog(store)

        def enter() -> int:
            for document, scene in pairs:
                catalog.add(document, scene)
            return len(pairs)

        timed("add 100 masks with their scenes, in a new store", enter)
        if (found := (len(catalog.search()), len(catalog.search("s2_l2a")))) != (100, 100):
            raise SystemExit(f"of 100 masks and scenes {found} are found")


if __name__ == "__main__":
    main()
