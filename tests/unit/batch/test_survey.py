"""The ids of masks that a survey of scenes gives."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path

from conftest import Cube
from datacube.model import Dataset, Product

from odc_cleansat.batch import Request
from odc_cleansat.batch.survey import expected_mask_id, read_scenes
from odc_cleansat.cube.index import add_dataset, add_product
from odc_cleansat.products.job import MaskJob
from odc_cleansat.scenes.band_folder import open_scene, write_scene_document
from odc_cleansat.storage.eo3 import scene_product
from unit.archive import Archive


def test_a_plan_knows_the_ids_that_jobs_give(archive: Archive) -> None:
    month, scenes = archive.scenes(2)
    few = shutil.copytree(archive.folder / "scenes" / f"{month}-01", archive.folder / "few")
    for band in few.glob("*.tif"):
        if band.stem not in ("B02", "B03", "B04", "B08"):
            band.unlink()
    opened = open_scene(few)
    add_product(archive.dc, scene_product(opened.bands))
    scenes.append(
        add_dataset(archive.dc, write_scene_document(opened, archive.folder / "documents"))
    )
    four = "unet-efficientnetb4-l2a-4b"
    for scene in scenes:
        for model, offset in ((None, None), (four, None), (four, -500.0)):
            job = MaskJob(scene, archive.folder, model, offset)
            (read,) = read_scenes(archive.dc, [scene.id])
            wanted = Request(scene.product.name, "", model, offset)
            assert expected_mask_id(read, wanted) == job.id


def test_the_plan_knows_masks_of_floats(cube: Cube, tmp_path: Path) -> None:
    """Their offset is none, whatever the baseline."""
    june = cube.scenes["june"]
    definition = copy.deepcopy(june.product.definition)
    for each in definition["measurements"]:
        each |= {"dtype": "float32"}
    product = Product(june.product.metadata_type, definition)
    scene = Dataset(product, june.metadata_doc, uri=june.uri)
    job = MaskJob(scene, tmp_path)
    assert job.offset.value == 0
    assert expected_mask_id(scene, Request("s2_l2a", tmp_path)) == job.id
    plain = MaskJob(scene, tmp_path, refine=False)
    assert expected_mask_id(scene, Request("s2_l2a", tmp_path, refine=False)) == plain.id
    assert plain.id != job.id
