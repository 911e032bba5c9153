"""Which prediction belongs to which label."""

from __future__ import annotations

from pathlib import Path

import pytest

from odc_cleansat.errors import SceneError
from odc_cleansat.evaluate.mappings import MAPPINGS
from odc_cleansat.evaluate.pairing import (
    find_labels,
    find_layout,
    find_prediction,
    find_predictions,
    pair,
)


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_labels_of_a_file_a_folder_and_a_pattern(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "flat/a.tif",
        "flat/b.tif",
        "flat/notes.txt",
        "deep/x/2020/label.tif",
        "deep/y/2021/label.tif",
    )
    assert find_labels(f"{tmp_path}/flat/a.tif") == {"a": f"{tmp_path}/flat/a.tif"}
    assert list(find_labels(f"{tmp_path}/flat")) == ["a", "b"]
    assert list(find_labels(f"{tmp_path}/deep/*/{{scene}}/label.tif")) == ["2020", "2021"]
    assert list(find_labels(f"{tmp_path}/**/{{scene}}/*/label.tif")) == ["x", "y"]
    with pytest.raises(SceneError, match="two labels"):
        find_labels(f"{tmp_path}/**/{{scene}}.tif")
    with pytest.raises(SceneError, match="no label is found"):
        find_labels(f"{tmp_path}/{{scene}}.jp2")


def test_layouts(tmp_path: Path) -> None:
    granule = "20200215T082021_20200215T084629_T34JCP"
    touch(
        tmp_path,
        f"sen/high/ROI_0001/{granule}/labels/manual_hq.tif",
        f"sen/high/ROI_0001/{granule}/labels/sen2cor.tif",
        f"sen/high/ROI_0002/{granule}/labels/manual_hq.tif",
        "on/train_labels/adwp.tif",
        "on/train_features/adwp/B02.tif",
    )
    scenes = [f"ROI_000{i}/{granule}" for i in (1, 2)]
    for folder in ("sen", "sen/high"):
        assert list(find_layout(f"{tmp_path}/{folder}", "cloudsen12")) == scenes
    for folder in ("on", "on/train_labels", "on/"):
        assert list(find_layout(f"{tmp_path}/{folder}", "on-cloud-n")) == ["adwp"]
    beside = find_prediction(f"{tmp_path}/sen/high/{{scene}}/labels/sen2cor.tif", scenes[0])
    assert beside.endswith(f"{scenes[0]}/labels/sen2cor.tif")
    with pytest.raises(SceneError, match="has no labels of the layout cloudsen12"):
        find_layout(f"{tmp_path}/on", "cloudsen12")


def test_predictions_of_a_scene(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "masks/a.tif", "masks/ab.tif", "masks/ROI_1/g.tif",
        "product/33UVP/day/s2_scene-7_ucl.tif", "product/33UVP/day/s2_scene-7_ucl_confidence.tif",
        "product/33UVP/day/s2_scene-71_ucl.tif",
    )  # fmt: skip
    masks, product = f"{tmp_path}/masks", f"{tmp_path}/product"
    assert find_prediction(masks, "a") == f"{masks}/a.tif"
    assert find_prediction(masks, "ROI_1/g") == f"{masks}/ROI_1/g.tif"
    assert find_prediction(f"{masks}/{{scene}}.tif", "ab") == f"{masks}/ab.tif"
    assert find_prediction(f"{masks}/a.tif", "whatever") == f"{masks}/a.tif"
    assert find_prediction(product, "scene-7").endswith("scene-7_ucl.tif")
    wild = find_prediction(f"{product}/**/*{{scene}}_ucl.tif", "scene-71")
    assert wild.endswith("scene-71_ucl.tif")
    with pytest.raises(SceneError, match=r"no file matches .*named after c"):
        find_prediction(masks, "c")
    with pytest.raises(SceneError, match="2 files match"):
        find_prediction(f"{masks}/{{scene}}*.tif", "a")
    with pytest.raises(SceneError, match=r"no file matches .*c\.tif"):
        find_prediction(f"{masks}/{{scene}}.tif", "c")


def test_one_prediction_for_many_labels_is_a_mistake(tmp_path: Path) -> None:
    touch(tmp_path, "labels/a.tif", "labels/b.tif", "p.tif")
    ucl = MAPPINGS["ucl"]
    with pytest.raises(SceneError, match="2 scenes with labels and one file"):
        pair(find_labels(f"{tmp_path}/labels"), ucl, {"p": (f"{tmp_path}/p.tif", ucl)})
    whole = find_predictions("ab", {"p": (f"{tmp_path}/p.tif", ucl)}, mosaics=True)
    assert [each["p"].uri for each in whole.values()] == [f"{tmp_path}/p.tif"] * 2


def test_no_mask_stands_in_for_that_of_another_scene(tmp_path: Path) -> None:
    """That of chip_1 is missing; chip_1_b has another."""
    touch(tmp_path, "labels/chip_1.tif", "labels/chip_1_b.tif", "masks/mine_chip_1_b_ucl.tif")
    labels, ucl = find_labels(f"{tmp_path}/labels"), MAPPINGS["ucl"]
    for path in ("masks", "masks/*{scene}*_ucl.tif"):
        with pytest.raises(SceneError, match="by U of both chip_1 and chip_1_b"):
            pair(labels, ucl, {"U": (f"{tmp_path}/{path}", ucl)})
    touch(tmp_path, "masks/mine_chip_1.tif")
    with pytest.raises(SceneError, match="2 files match"):
        pair(labels, ucl, {"U": (f"{tmp_path}/masks/*{{scene}}*", ucl)})
