"""The benchmark of PixBox, on a scene and a table of its form with truth that is known."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from benchmark_data import write_pixbox

from odc_cleansat import CloudClass, get_model
from odc_cleansat.errors import SceneError
from odc_cleansat.evaluate.confusion import Question
from odc_cleansat.evaluate.pixbox import SCENES, evaluate_pixbox
from odc_cleansat.synthetic.scene import SimulatedScene

NUMBER, OTHER = 5472572, 872013732
SCENE = SimulatedScene(shape=(600, 600), seed=6, offset=0, cloud_cover=0.4)
MODEL = replace(get_model("unet-mobilenetv2-l2a"), level="L1C")
"""Simulated scenes are of surface reflectance, and stand for level 1C here."""


def pixels(count: int = 400) -> list[tuple[int, int, int, int]]:
    """Pixels with their truth as PixBox codes it. Each third cloud is semi-transparent."""
    truth = SCENE.to_xarray(10).truth.values[0]
    rng = np.random.default_rng(0)
    found = []
    for i, (row, column) in enumerate(rng.integers(20, 580, (count, 2)).tolist()):
        cloud = truth[row, column] == CloudClass.CLOUD
        shadow = truth[row, column] == CloudClass.SHADOW
        # Shadow of mountains (1) and shadow on cloud (4) are no shadow of cloud.
        found.append(
            (row, column, (4 if i % 3 == 0 else 2) if cloud else 1, 3 if shadow else i % 3)
        )
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("pixbox")
    write_pixbox(found, NUMBER, SCENE, pixels())
    write_pixbox(found, OTHER, SCENE, pixels(30))
    shutil.rmtree(found / f"{SCENES[OTHER]}.SAFE")  # as in the archive that is published
    return found


def test_each_question_has_its_own_label(folder: Path) -> None:
    told: list[tuple[int, int]] = []
    rows, counted = evaluate_pixbox(
        folder, MODEL, precision="f32", progress=lambda *done: told.append(done)
    )
    assert told == [(1, 1)]
    assert "1 of 2 scenes: 400 pixels counted, 30 of scenes that are not there" in counted
    by_question = {row.question: row for row in rows}
    assert list(by_question) == [Question.CLOUD, Question.SHADOW, Question.CLEAR]
    assert by_question[Question.CLOUD].boa > 0.85
    assert by_question[Question.SHADOW].boa > 0.7
    assert by_question[Question.CLEAR].boa > 0.8


def test_cloud_alone_with_and_without_semi_transparent(folder: Path) -> None:
    rows, _ = evaluate_pixbox(folder, MODEL, cloud_alone=True, precision="f32")
    whole, opaque = rows
    assert {row.question for row in rows} == {Question.CLOUD}
    assert opaque.maker.endswith("no semi-transparent")
    # The pixels left out are cloud, so that clear ones are a larger share of what is called cloud.
    assert opaque.ua < whole.ua


def test_a_zipped_product_is_the_same(folder: Path, tmp_path: Path) -> None:
    name = f"{SCENES[NUMBER]}.SAFE"
    shutil.make_archive(str(tmp_path / name), "zip", folder, name)
    shutil.copytree(folder / "PixBox-S2-CMIX", tmp_path / "PixBox-S2-CMIX")
    assert evaluate_pixbox(tmp_path, MODEL, precision="f32") == evaluate_pixbox(
        folder, MODEL, precision="f32"
    )


def test_data_that_are_not_there(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SceneError, match="no table of labels"):
        evaluate_pixbox(tmp_path, MODEL)
    table = tmp_path / "pixbox_sentinel2_cmix_20180425.csv"
    table.write_text((folder / "PixBox-S2-CMIX" / table.name).read_text())
    with pytest.raises(SceneError, match="none of the scenes of PixBox of level L2A"):
        evaluate_pixbox(folder, replace(MODEL, level="L2A"))
    with pytest.raises(SceneError, match=r"S2A_MSIL1C_20171205T143751_\*_R096_T19KEU"):
        evaluate_pixbox(tmp_path, MODEL)
    for text, message in (
        ("PRODUCT_ID,PIXEL_X\n1,2\n", "have no column"),
        ("PRODUCT_ID,PIXEL_Y,PIXEL_X,CLOUD_CHARACTERISTICS_ID,SHADOW_ID\n", "have no pixels"),
        ("PRODUCT_ID,PIXEL_Y,PIXEL_X,CLOUD_CHARACTERISTICS_ID,SHADOW_ID\n7,1,1,1,1\n", "scenes that PixBox does not have"),
        ("PRODUCT_ID,PIXEL_Y,PIXEL_X,CLOUD_CHARACTERISTICS_ID,SHADOW_ID\nx,1,1,1,1\n", "cannot read the labels"),
    ):  # fmt: skip
        table.write_text(text)
        with pytest.raises(SceneError, match=message):
            evaluate_pixbox(tmp_path, MODEL)
