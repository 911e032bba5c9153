"""The plugin, run by odc-stats' own commands in an environment that has odc-stats."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import yaml
from conftest import Cube
from environments import DEFINITIONS, program, run
from odc.geo.geobox import GeoBox
from rasterio.warp import Resampling, reproject

from odc_cleansat import classify
from odc_cleansat.models.former import FORMER
from odc_cleansat.products.provenance import scene_light
from odc_cleansat.scenes.offset import resolve_offset
from odc_cleansat.storage.eo3 import product_definition

CONFIG = DEFINITIONS / "s2_l2a_ucl_summary.stats.yaml"
GRID = "epsg:32633;20;680"
TILE = GeoBox.from_bbox((394400, 5290400, 408000, 5304000), "epsg:32633", resolution=20)
"""The one tile of that grid which holds all the scenes."""

LAYERS = ("observation_count", "clear_count", "cloud_count", "shadow_count", "clear_share")
CLEAR, SHADOW, CLOUD = 1, 2, 3


COMMANDS = """
import json
import sys
from odc.stats.cli import main

for arguments in json.loads(sys.argv[1]):
    try:
        main(arguments)
    except SystemExit as end:
        assert not end.code, arguments
"""

PRODUCTS = ("s2_l2a_ucl", "s2_l2a")


def in_python(cube: Cube, code: str, *arguments: object) -> str:
    """What Python prints where odc-stats is."""
    # The region, or odc-stats would ask Amazon's machines for it.
    return run(
        program("odc-stats").with_name("python"), "-W", "ignore", "-c", code, *arguments,
        config=cube.folder / "datacube.conf", AWS_DEFAULT_REGION="us-west-2",
    )  # fmt: skip


@pytest.fixture(scope="module")
def summaries(cube: Cube, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The EO3 documents of the summaries of 2024, by product: masks and scenes.

    One process runs all the commands of odc-stats, because its program is slow to start.
    """
    folders = {product: tmp_path_factory.mktemp(product) for product in PRODUCTS}
    commands = []
    for product, folder in folders.items():
        common, tasks = ["--config", str(CONFIG)], str(folder / "tasks.db")
        commands += [
            ["save-tasks", *common, "--input-products", product, "--grid", GRID, "--year", "2024", tasks],
            ["run", *common, "--location", folder.as_uri(), "--threads", "2", tasks],
        ]  # fmt: skip
    in_python(cube, COMMANDS, json.dumps(commands))
    found = {}
    for product, folder in folders.items():
        (found[product],) = folder.glob("**/*.odc-metadata.yaml")
    return found


@pytest.fixture(scope="module")
def of_masks(summaries: dict[str, Path]) -> Path:
    """The summary of the two indexed masks."""
    return summaries["s2_l2a_ucl"]


@pytest.fixture(scope="module")
def of_scenes(summaries: dict[str, Path]) -> Path:
    """The summary of the three scenes, two of which are of one day, classified on the fly."""
    return summaries["s2_l2a"]


def layers(document: Path) -> dict[str, np.ndarray]:
    """The layers of a summary, which must stand on the tile."""
    paths = yaml.safe_load(document.read_text())["measurements"]
    assert set(paths) == set(LAYERS)
    found = {}
    for name, entry in paths.items():
        with rasterio.open(document.parent / entry["path"]) as file:
            assert GeoBox.from_rio(file) == TILE
            found[name] = file.read(1)
    return found


def on_tile(path: Path) -> np.ndarray:
    """A mask file on the tile, whose pixels are its own."""
    with rasterio.open(path) as file:
        codes, grid = file.read(1), GeoBox.from_rio(file)
    whole = np.zeros(TILE.shape, dtype="uint8")
    whole[TILE.overlap_roi(grid)] = codes
    return whole


def seen(codes: np.ndarray) -> np.ndarray:
    """Codes of the UCL as what counts, so that the worst of several is the greatest."""
    return np.array([0, CLEAR, CLOUD, SHADOW, CLEAR, CLEAR, CLOUD], dtype="uint8")[codes]


def counted(days: list[np.ndarray]) -> Mapping[str, np.ndarray]:
    stack = np.stack(days)
    observed, clear = (stack > 0).sum(0), (stack == CLEAR).sum(0)
    with np.errstate(invalid="ignore"):
        share = (clear / observed).astype("float32")
    return {
        "observation_count": observed,
        "clear_count": clear,
        "cloud_count": (stack == CLOUD).sum(0),
        "shadow_count": (stack == SHADOW).sum(0),
        "clear_share": share,
    }


def stored(cube: Cube, name: str) -> np.ndarray:
    dataset = cube.masks[name]
    path = Path(dataset.local_path).parent / dataset.measurements["ucl"]["path"]
    return seen(on_tile(path))


def test_the_counts_are_those_of_the_masks(cube: Cube, of_masks: Path) -> None:
    found = layers(of_masks)
    expected = counted([stored(cube, "june"), stored(cube, "july")])
    for name in LAYERS:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
    # The test would be worth little if some kind were missing.
    assert all(found[name].max() > 0 for name in LAYERS[:-1])
    assert found["observation_count"].max() == 2
    assert np.isnan(found["clear_share"]).any()


def west_on_tile(cube: Cube) -> np.ndarray:
    """The scene of the other zone, classified here and reprojected with rasterio alone."""
    dataset = cube.scenes["west"]
    bands = cube.dc.load(
        product="s2_l2a",
        datasets=[dataset],
        measurements=["blue", "green", "red", "nir", "swir16", "swir22"],
        output_crs=dataset.crs,
        resolution=10,
    ).isel(time=0)
    properties = dataset.metadata_doc["properties"]
    light = scene_light(properties, bands.odc.geobox)
    mask = classify(bands, offset=resolve_offset(properties).value, resolution=20, refine=light).ucl
    codes = np.zeros(TILE.shape, dtype="uint8")
    reproject(
        mask.values, codes, src_transform=mask.odc.geobox.affine, src_crs=str(mask.odc.crs),
        dst_transform=TILE.affine, dst_crs="EPSG:32633", resampling=Resampling.nearest,
    )  # fmt: skip
    return seen(codes)


REFINE = """
from odc.stats.plugins import resolve
plugin = resolve("odc_cleansat.stats.StatsUCL")
assert plugin().refine and not plugin(refine=False).refine
try:
    plugin(refine="no")
except ValueError as error:
    print(error)
"""


def test_the_plain_answer_can_be_asked_for(cube: Cube) -> None:
    assert "refine is 'no'" in in_python(cube, REFINE)


def test_scenes_are_classified_as_their_masks_were(cube: Cube, of_scenes: Path) -> None:
    found = layers(of_scenes)
    west, june, july = west_on_tile(cube), stored(cube, "june"), stored(cube, "july")
    expected = counted([np.maximum(june, west), july])
    # Away from the scene of the other zone there is nothing to reproject, and every pixel is the same.
    alone = west == 0
    edge = np.zeros_like(alone)
    edge[1:-1, 1:-1] = ~(alone[:-2, 1:-1] & alone[2:, 1:-1] & alone[1:-1, :-2] & alone[1:-1, 2:])
    for name in LAYERS:
        same = (found[name] == expected[name]) | (np.isnan(found[name]) & np.isnan(expected[name]))
        assert same[alone & ~edge].all(), name
        assert same[~alone].mean() > 0.995, name


def test_a_day_counts_once(cube: Cube, of_scenes: Path) -> None:
    """June was seen from both zones; where they overlap it is one observation, and the worse one."""
    found = layers(of_scenes)
    west, june = west_on_tile(cube), stored(cube, "june")
    both = (west > 0) & (june > 0)
    assert both.sum() > 1000
    assert found["observation_count"][both].max() == 2
    assert (west[both] != june[both]).any()


def test_a_datacube_loads_the_summary(of_masks: Path) -> None:
    """The product definition and the documents that odc-stats wrote belong together."""
    from datacube import Datacube
    from datacube.index.hl import Doc2Dataset

    document = product_definition("s2_l2a_ucl_summary")
    assert [m["name"] for m in document["measurements"]] == list(LAYERS)
    with Datacube(raw_config={"default": {"index_driver": "memory"}}) as dc:
        dc.index.products.add(dc.index.products.from_doc(document))
        resolve = Doc2Dataset(dc.index, skip_lineage=True)
        dataset, error = resolve(yaml.safe_load(of_masks.read_text()), of_masks.as_uri())
        assert not error
        loaded = dc.load(product=document["name"], datasets=[dataset], like=TILE)
    for name, values in layers(of_masks).items():
        np.testing.assert_array_equal(loaded[name].isel(time=0).values, values)
        declared = next(m for m in document["measurements"] if m["name"] == name)
        assert loaded[name].dtype == declared["dtype"]
        np.testing.assert_equal(loaded[name].nodata, float(declared["nodata"]))


CHECKS = """
import json
import sys
import warnings
from odc.stats.model import OutputProduct
from odc.stats.plugins import resolve
from odc.stats.tasks import TaskReader
from odc_cleansat.errors import ModelWarning
from odc_cleansat.models.former import FORMER
from odc_cleansat.products.verdict_files import reject

def task(path):
    reader = TaskReader(path, OutputProduct.dummy())
    return reader.load_task(reader.all_tiles[0])

def refusal(call):
    try:
        call()
    except ValueError as error:
        return str(error)

def warned(**how):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        plugin(**how).input_data(masks.datasets, masks.geobox)
    return [str(each.message) for each in said if each.category is ModelWarning]

def counted(datasets, **how):
    asked = plugin(**how)
    return asked.reduce(asked.input_data(datasets, masks.geobox)).compute()

plugin = resolve("odc_cleansat.stats.StatsUCL")
masks, scenes = map(task, sys.argv[1:3])
found = {
    "model": refusal(lambda: plugin(model="unet-of-tomorrow")),
    "resampling": refusal(lambda: plugin(resampling="bilinear")),
    "dilation": refusal(lambda: plugin(dilation={"snow": 20}).input_data(masks.datasets, masks.geobox)),
    "mixed": refusal(lambda: plugin().input_data(masks.datasets + scenes.datasets, masks.geobox)),
}

zone = [d for d in scenes.datasets if d.crs == masks.datasets[0].crs]
wide = {"dilation": {"cloud": 100}}
before, after = counted(masks.datasets).cloud_count, counted(masks.datasets, **wide).cloud_count
found["grows"] = bool((after >= before).all()) and int(after.sum()) > int(before.sum())
found["same"] = bool((after == counted(zone, **wide).cloud_count).all())

reject(next(d for d in masks.datasets if str(d.id) == sys.argv[3]), "haze is called cloud", "A. Reviewer")
found["seen"] = [
    int(counted(masks.datasets, include_rejected=each).observation_count.max()) for each in (False, True)
]
found["usual"] = warned()
for each in masks.datasets:
    each.metadata_doc["properties"]["cleansat:model"] = FORMER[0]
found["former"], found["named"] = warned(), warned(model=FORMER[0])
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found(cube: Cube, summaries: dict[str, Path]) -> dict[str, Any]:
    """What the plugin says and counts of the tasks of both summaries; a mask is rejected at the end."""
    tasks = [document.parents[3] / "tasks.db" for document in summaries.values()]
    mask = cube.masks["june"]
    try:
        said = in_python(cube, CHECKS, *tasks, mask.id)
    finally:
        for path in Path(mask.local_path).parent.glob("*.verdict.json"):
            path.unlink()
    answers: dict[str, Any] = json.loads(said.splitlines()[-1])
    return answers


def test_mistakes_are_said(found: dict[str, Any]) -> None:
    assert "unet-of-tomorrow" in found["model"]
    assert "choose from nearest" in found["resampling"]
    assert "cannot dilate 'snow'" in found["dilation"]
    assert "s2_l2a, s2_l2a_ucl" in found["mixed"]
    assert "count twice" in found["mixed"]


def test_masks_by_the_former_default_are_told_of(found: dict[str, Any]) -> None:
    assert found["usual"] == found["named"] == []
    (said,) = found["former"]
    assert "2 of 2 masks are not by the default model" in said
    assert f"Pass model={FORMER[0]!r}" in said


def test_dilation(found: dict[str, Any]) -> None:
    """Clouds only grow, and the same from stored masks as from scenes."""
    assert found["grows"]
    assert found["same"]


def test_masks_that_reviewers_have_rejected_do_not_count(found: dict[str, Any]) -> None:
    assert found["seen"] == [1, 2]
