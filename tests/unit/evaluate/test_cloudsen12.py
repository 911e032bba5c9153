"""The benchmark of CloudSEN12+, on patches of its form with truth that is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from benchmark_data import LABELLED, a_scene, write_taco
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr

from odc_cleansat import CloudClass, classify, get_model
from odc_cleansat.errors import SceneError
from odc_cleansat.evaluate.cloudsen12 import _iou, evaluate_cloudsen12, patches_of, read_patch
from odc_cleansat.evaluate.confusion import Confusion, Question

MODEL = "unet-mobilenetv2-l2a"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("cloudsen12plus")
    scenes = [a_scene(seed) for seed in (3, 4, 5)]
    write_taco(found / "cloudsen12-l2a.0000.part.taco", scenes, splits=["test", "test", "train"])
    return found


def test_scores_are_the_medians_of_the_test_patches(folder: Path) -> None:
    model = get_model(MODEL)
    told: list[tuple[int, int]] = []
    rows, counted, iou = evaluate_cloudsen12(
        folder, model, precision="f32", progress=lambda *done: told.append(done)
    )
    assert told == [(1, 2), (2, 2)]
    assert "2 test patches of 509 x 509" in counted
    assert iou == {}, "the model does not know thin cloud"
    by_question = {row.question: row for row in rows}
    assert set(by_question) == set(Question)
    matrices = []
    for seed in (3, 4):
        data = a_scene(seed).to_xarray(10).isel(time=0, x=slice(LABELLED), y=slice(LABELLED))
        # The file is filled up at the left, which has no data.
        bands = data[["B02", "B03", "B04", "B08", "B11", "B12"]].pad(
            x=(3, 0), y=(0, 3), constant_values=0
        )
        plain = data.truth.values
        scores = Confusion.of(plain, _masked(bands, data.odc.geobox))
        matrices.append(scores)
    for question in (Question.CLOUD, Question.SHADOW):
        expected = np.median([each.scores(question)["recall"] for each in matrices])
        assert by_question[question].pa == pytest.approx(expected, abs=0.02)
    assert by_question[Question.CLOUD].boa > 0.8
    shares = by_question[Question.CLOUD].shares
    assert shares is not None
    assert shares[0] == 0


def _masked(bands: xr.Dataset, grid: GeoBox) -> np.ndarray:
    """The same patch, laid out by hand."""
    import xarray as xr

    where = GeoBox((LABELLED + 3, LABELLED + 3), grid.affine, grid.crs)
    planes = {
        name: wrap_xr(band.values.astype("uint16"), where, nodata=0) for name, band in bands.items()
    }
    found = classify(xr.Dataset(planes), model=MODEL, offset=0, precision="f32", refine=False)
    return found.ucl.values[:LABELLED, 3:]


def test_a_patch_is_read_with_its_label(folder: Path) -> None:
    patch = next(patches_of(folder, "L2A", "train"))
    scene, truth = read_patch(patch, "L2A")
    assert list(scene.data_vars)[:4] == ["coastal", "blue", "green", "red"]
    assert list(scene.data_vars)[-2:] == ["swir16", "swir22"]
    assert scene.blue.shape == truth.shape == (512, 512)
    assert (truth[:, :3] == CloudClass.NODATA).all()
    assert {int(c) for c in np.unique(truth)} >= {
        CloudClass.CLEAR,
        CloudClass.CLOUD,
        CloudClass.SHADOW,
    }


def test_data_that_are_not_there(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SceneError, match=r"no file of CloudSEN12\+ of level L1C"):
        list(patches_of(folder, "L1C", "test"))
    with pytest.raises(SceneError, match="no patch of the split validation"):
        list(patches_of(folder, "L2A", "validation"))
    with pytest.raises(SceneError, match="tacofoundation/cloudsen12"):
        evaluate_cloudsen12(tmp_path, get_model(MODEL))


def test_intersection_over_union_of_each_class() -> None:
    truth = np.array([1, 1, 2, 2, 6, 3, 3, 0], "uint8")
    found = np.array([1, 2, 2, 6, 6, 3, 1, 2], "uint8")
    iou = _iou(Confusion.of(truth, found).matrix)
    assert iou == pytest.approx(
        {"clear": 1 / 3, "cloud": 1 / 3, "thin_cloud": 1 / 2, "shadow": 1 / 2}
    )
