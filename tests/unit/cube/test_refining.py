import copy
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from conftest import Cube
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr
from rasterio.errors import RasterioIOError

from odc_cleansat import recall, verify
from odc_cleansat.cube.refining import (
    RecordedDates,
    RefineJob,
    index_mask,
    index_refined,
    refine_jobs,
)
from odc_cleansat.errors import CubeError, GapWarning, SceneError
from odc_cleansat.products.product import MaskProduct
from odc_cleansat.products.write import write_layer
from odc_cleansat.storage.eo3 import REFINED_PRODUCT

from .helpers import HOME, indexed, rejected
from .test_over_time import july

pytestmark = [
    pytest.mark.usefixtures("no_inference"),
    pytest.mark.filterwarnings("ignore:no data in ucl where 1 of:odc_cleansat.errors.GapWarning"),
]


@pytest.fixture(scope="session")
def jobs(cube: Cube, tmp_path_factory: pytest.TempPathFactory) -> list[RefineJob]:
    return [*refine_jobs(cube.dc, "s2_l2a", tmp_path_factory.mktemp("refined"))]


@pytest.fixture(scope="session")
def made(jobs: list[RefineJob]) -> Path:
    """The refined mask of July."""
    document = jobs[1].run()
    assert isinstance(document, Path)
    return document


def test_scenes_with_a_mask_are_compared_with_each_other(cube: Cube, jobs: list[RefineJob]) -> None:
    assert [job.asked.scene.id for job in jobs] == [cube.scenes[n].id for n in ("june", "july")]
    assert [[each.scene.id for each in job.around] for job in jobs] == [
        [cube.scenes["july"].id],
        [cube.scenes["june"].id],
    ]
    assert len({job.how.id for job in jobs}) == 2


def test_earlier_dates_alone_and_dates_without_another(cube: Cube, tmp_path: Path) -> None:
    june, later = refine_jobs(cube.dc, "s2_l2a", tmp_path, hindsight=False)
    assert not june.around
    assert [each.scene.id for each in later.around] == [cube.scenes["june"].id]
    with pytest.raises(SceneError, match="no other date within 45 days has a mask"):
        june.run()


def test_a_rejected_mask_is_neither_refined_nor_compared_with(cube: Cube, tmp_path: Path) -> None:
    with rejected(cube.masks["june"]), pytest.warns(GapWarning, match="1 of 2 masks are left out"):
        (job,) = refine_jobs(cube.dc, "s2_l2a", tmp_path)
    assert job.asked.scene.id == cube.scenes["july"].id
    assert not job.around


def test_a_stored_mask_is_that_of_load_with_lineage_to_all_dates(
    cube: Cube, jobs: list[RefineJob], made: Path
) -> None:
    dataset, old = index_refined(cube.dc, made)
    assert (dataset.id, old) == (jobs[1].how.id, [])
    lineage = cube.dc.index.datasets.get(dataset.id, include_sources=True).sources
    assert {each.id for each in lineage.values()} == {
        *(cube.scenes[name].id for name in ("june", "july")),
        *(cube.masks[name].id for name in ("june", "july")),
    }
    stored = recall(cube.dc, REFINED_PRODUCT, like=HOME, measurements=["ucl", "ucl_confidence"])
    loaded = july(cube, measurements=["ucl", "ucl_confidence"])
    np.testing.assert_array_equal(stored.ucl, loaded.ucl)
    np.testing.assert_array_equal(stored.ucl_confidence, loaded.ucl_confidence)
    changed = stored.ucl.values[0] != indexed(cube, "july")
    assert changed.any()
    assert index_refined(cube.dc, made)[1] == []
    index_mask(cube.dc, made)  # whichever product it is of
    index_mask(cube.dc, MaskProduct.of_dataset(cube.masks["july"]).document_file)
    assert cube.dc.index.datasets.get(dataset.id).product.name == REFINED_PRODUCT
    assert cube.dc.index.datasets.get(cube.masks["july"].id).product.name == "s2_l2a_ucl"
    cube.dc.index.datasets.archive([dataset.id])  # other tests count masks


def test_it_is_made_once(jobs: list[RefineJob], made: Path) -> None:
    assert jobs[1].document == made
    assert jobs[0].document is None


def test_what_the_documents_say(cube: Cube, made: Path) -> None:
    product = MaskProduct(made)
    properties = product.properties
    assert product.name.startswith("s2_l2a_ucl_time_")
    assert product.document["product"]["name"] == REFINED_PRODUCT
    assert made.parent.relative_to(made.parents[6]).parts[0] == REFINED_PRODUCT
    assert properties["cleansat:refined"] == "hindsight"
    assert properties["cleansat:reference_dates"] == 1
    assert properties["cleansat:mask"] == str(cube.masks["july"].id)
    assert properties["cleansat:thin_cloud_percent"] >= 0
    assert product.stac_item["properties"]["odc:product"] == REFINED_PRODUCT
    classes = product.stac_item["assets"]["ucl"]["classification:classes"]
    assert "thin_cloud" in [each["name"] for each in classes]


def test_verify_without_a_datacube_says_what_it_did_not_check(made: Path) -> None:
    found = {check.name: check for check in verify(made).checks}
    assert {name: check.right for name, check in found.items()} == {
        "files": True, "documents": None, "identity": True, "layers": True, "pixels": None,
    }  # fmt: skip
    assert "masks of 2 dates" in found["identity"].detail
    assert "a datacube has to know" in found["pixels"].detail


def test_verify_makes_a_refined_mask_again_from_all_dates(cube: Cube, made: Path) -> None:
    found = verify(made, dates=RecordedDates(cube.dc))
    assert [(each.name, each.detail) for each in found.checks if not each.right] == []
    assert found.equal == 1
    assert "100.0000 % of the pixels are equal" in found.checks[-1].detail


def forged(made: Path, folder: Path, change: Callable[[np.ndarray], None]) -> Path:
    """A copy whose classes were changed, and its list of checksums with them."""
    other = Path(shutil.copytree(made.parent, folder / made.parent.name))
    [path] = other.glob("*_ucl.tif")
    with rasterio.open(path) as file:
        codes, grid = file.read(1), GeoBox.from_rio(file)
    change(codes)
    write_layer(wrap_xr(codes, grid, nodata=0), path)
    return other


def test_verify_finds_classes_that_do_not_follow_from_the_dates(
    cube: Cube, made: Path, tmp_path: Path
) -> None:
    def brighter(codes: np.ndarray) -> None:
        codes[:40, :40] = 1

    other = forged(made, tmp_path, brighter)
    found = {each.name: each for each in verify(other, dates=RecordedDates(cube.dc)).checks}
    assert found["pixels"].right is False
    assert "does not follow from them" in found["pixels"].detail
    assert found["documents"].right is False  # their shares follow from the pixels


def test_verify_finds_documents_that_do_not_follow(cube: Cube, made: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(made.parent, tmp_path / made.parent.name))
    [document] = other.glob("*.odc-metadata.yaml")
    document.write_text(
        document.read_text().replace("cleansat:reference_dates: 1", "cleansat:reference_dates: 9")
    )
    found = verify(other, pixels=False, dates=RecordedDates(cube.dc)).checks[1]
    assert found.right is False
    assert "properties.cleansat:reference_dates is 9 in EO3, and not 1" in found.detail


def test_dates_that_the_datacube_does_not_know(cube: Cube, made: Path) -> None:
    record = copy.deepcopy(dict(MaskProduct(made).own_record))
    find = RecordedDates(cube.dc)
    swapped = {**record, "mask": record["references"][0]["mask"]}
    with pytest.raises(CubeError, match="is not one of the scene"):
        find(swapped)
    record["references"][0]["scene"] = "00000000-0000-0000-0000-000000000001"
    with pytest.raises(CubeError, match="does not know 1 of its 4 scenes and masks"):
        find(record)


def test_a_date_that_cannot_be_read_is_no_silent_gap(
    cube: Cube, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RasterioIOError("no such file")

    monkeypatch.setattr("odc_cleansat.cube.refining.compute", broken)
    check = verify(made, dates=RecordedDates(cube.dc)).checks[-1]
    assert check.right is None
    assert "a scene or a mask cannot be read: no such file" in check.detail
