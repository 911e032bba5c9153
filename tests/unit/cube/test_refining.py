from pathlib import Path

import numpy as np
import pytest
from conftest import Cube

from odc_cleansat import recall, verify
from odc_cleansat.cube.refining import RefineJob, index_refined, refine_jobs
from odc_cleansat.errors import SceneError
from odc_cleansat.products.product import MaskProduct
from odc_cleansat.storage.eo3 import REFINED_PRODUCT

from .helpers import HOME, indexed
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


def test_verify_says_what_follows_and_what_is_not_made_again(made: Path) -> None:
    found = {check.name: check for check in verify(made).checks}
    assert {name: check.right for name, check in found.items()} == {
        "files": True, "documents": None, "identity": True, "layers": True, "pixels": None,
    }  # fmt: skip
    assert "masks of 2 dates" in found["identity"].detail
