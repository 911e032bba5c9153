"""A job: the mask is made once, and again if it is damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from datacube.model import Dataset
from odc.geo.geom import point

from odc_cleansat.errors import LightWarning, OutputError, ReflectanceWarning
from odc_cleansat.products.job import MaskJob
from odc_cleansat.products.product import MaskProduct
from odc_cleansat.products.verification import verify
from odc_cleansat.scenes.files import SceneFiles
from odc_cleansat.scenes.read import read_scene
from odc_cleansat.storage.eo3 import MASK_PRODUCT
from odc_cleansat.synthetic.scene import SimulatedScene
from unit.products.helpers import content, one, stored
from unit.products.tampering import Forger


def test_a_product_is_made_once(scene: Dataset, written: Path) -> None:
    before = content(written)
    job = MaskJob(scene, written.parents[5])
    assert job.document == one(written, "*.odc-metadata.yaml")
    assert job.run() == job.document, "another program's is as good"
    assert content(written) == before


def test_every_kind_of_damage_is_seen_and_mended(
    scene: Dataset, tmp_path: Path, written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = MaskJob(scene, tmp_path)
    monkeypatch.setattr("odc_cleansat.products.job.classify", lambda *_, **__: stored(written))
    job.run()
    folder = job.folder.path
    assert folder is not None
    for damage in ("*_ucl.tif", "*.sha1", "*.odc-metadata.yaml", "*.stac-item.json"):
        one(folder, damage).unlink()
        assert job.document is None
        job.run()
        assert job.document is not None
    path = one(folder, "*_ucl.tif")
    path.write_bytes(path.read_bytes()[:-1])
    assert job.document is None
    job.run()
    assert MaskProduct(folder).is_intact()
    assert [p.name for p in tmp_path.iterdir()] == [MASK_PRODUCT], "nothing is left beside"


def test_a_folder_without_permission(scene: Dataset, written: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setattr("odc_cleansat.products.job.classify", lambda *_, **__: stored(written))
    with pytest.raises(OutputError, match=r"/proc/.*Check the space and the permissions"):
        MaskJob(scene, Path("/proc/masks")).run()


@pytest.mark.parametrize("name", ["a#b", "a?b"])
def test_names_that_are_cut_are_refused(scene: Dataset, tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match="take another"):
        MaskJob(scene, tmp_path / name).run()
    assert not (tmp_path / name).exists()


def test_a_part_of_a_large_mask_has_the_pixels_of_the_whole(
    scene: Dataset, written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = MaskJob(scene, tmp_path / "masks")
    x, y = asked.grid[250:300, 60:110].extent.centroid.coords[0]
    area = point(x, y, asked.grid.crs).buffer(400)
    assert asked.part(area) is None, "the whole is made as soon"
    monkeypatch.setattr("odc_cleansat.products.job.LARGE", 1000)
    assert asked.part(scene.extent) is None
    assert asked.part(point(0, 0, "EPSG:4326").buffer(0.01)) is None
    part = asked.part(area)
    assert part is not None
    document = asked.run_part(part, tmp_path / "parts")
    with MaskProduct(document).open_layer("ucl") as found, rasterio.open(one(written, "*_ucl.tif")) as whole:  # fmt: skip
        window = whole.window(*found.bounds)
        np.testing.assert_array_equal(found.read(1), whole.read(1, window=window))
    assert asked.document is None


@pytest.mark.usefixtures("fast_network")
def test_the_network_s_own_answer_is_another_product(scene: Dataset, tmp_path: Path) -> None:
    refined, plain = (MaskJob(scene, tmp_path, refine=refine) for refine in (True, False))
    assert refined.id != plain.id
    assert refined.folder != plain.folder
    assert refined.light is not None
    assert refined.light.angles is not None
    for job, said in ((refined, refined.light.describe()), (plain, None)):
        found = MaskProduct(str(job.run()))
        assert found.document["properties"].get("cleansat:light") == said
        assert ("light" in found.own_record) == ("light" in found.own_record["algorithm"])
        assert ("light" in found.own_record) == (said is not None)
        assert verify(found).right is True
    assert MaskProduct(refined.folder).own_record["light"] == refined.light.angles.as_dict()


@pytest.mark.usefixtures("fast_network")
def test_angles_that_cannot_be_right_are_said_and_not_used(scene: Dataset, tmp_path: Path) -> None:
    wrong = {**scene.metadata_doc["properties"], "eo:sun_azimuth": 150.0, "eo:sun_elevation": -20.0}
    dataset = Dataset(scene.product, {**scene.metadata_doc, "properties": wrong}, uri=scene.uri)
    with pytest.warns(LightWarning, match="below the horizon"):
        made = MaskProduct(str(MaskJob(dataset, tmp_path).run()))
    assert made.document["properties"]["cleansat:light"].startswith("none: ")
    assert "below the horizon" in made.own_record["light"]["reason"]
    assert verify(MaskProduct(made.folder, scene=SceneFiles.of_dataset(dataset))).right is True


@pytest.mark.usefixtures("fast_network")
def test_pixels_that_look_wrong_are_said_in_the_record(tmp_path: Path) -> None:
    folder = SimulatedScene(shape=(600, 600), seed=1).write(tmp_path / "scenes" / "dim")
    with rasterio.open(folder / "B12.tif", "r+") as file:
        file.write(1000 + (file.read(1) - 1000) // 10, 1)
    job = MaskJob.of_scene(read_scene(str(folder)), tmp_path / "masks")
    with pytest.warns(ReflectanceWarning, match="swir22 is less than a fifth"):
        made = MaskProduct(str(job.run()))
    doubt = made.properties["cleansat:reflectance_doubt"]
    assert "swir22 is less than a fifth" in doubt
    assert made.own_record["complaint"] == doubt
    assert made.stac_item["properties"]["cleansat:reflectance_doubt"] == doubt
    report = verify(made)
    assert report.right is True
    assert doubt in report.checks[1].detail
    forger = Forger(Path(str(made.folder)))
    del forger.own["complaint"]
    for each in (forger.eo3, forger.item):
        del each["properties"]["cleansat:reflectance_doubt"]
    forger.finish()
    report = verify(Path(str(made.folder)))
    assert [check.right for check in report.checks] == [True] * 4 + [None]
    assert "the product says: nothing" in report.checks[-1].detail


def test_a_mask_of_a_good_scene_tells_of_no_doubt(written: Path) -> None:
    made = MaskProduct(written)
    assert "cleansat:reflectance_doubt" not in made.properties
    assert "complaint" not in made.own_record
