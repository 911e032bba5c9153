"""Figures of masks against labels and against each other."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
from conftest import read_folder
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr
from scipy import ndimage
from sklearn import metrics

from odc_cleansat import CloudClass, classify
from odc_cleansat.classes import scl_to_ucl
from odc_cleansat.errors import CleansatError, SceneError
from odc_cleansat.evaluate.confusion import METRICS, Confusion, Question
from odc_cleansat.evaluate.counting import Counts, Protocol, count_pixels
from odc_cleansat.evaluate.mappings import MAPPINGS, ClassMapping, get_mapping
from odc_cleansat.evaluate.pairing import (
    find_labels,
    find_layout,
    find_prediction,
    find_predictions,
    pair,
)
from odc_cleansat.evaluate.points import evaluate_points, read_points
from odc_cleansat.evaluate.rasters import Case, ClassRaster
from odc_cleansat.evaluate.report import as_dict, as_text, write_report
from odc_cleansat.evaluate.results import Evaluation
from odc_cleansat.evaluate.scores import accuracy, agreement, seams
from odc_cleansat.evaluate.streaming import evaluate_rasters
from odc_cleansat.grids.windows import Tiling
from odc_cleansat.models.registry import get_model
from odc_cleansat.synthetic.scene import SimulatedScene

GRID = GeoBox.from_bbox((400000, 5000000, 404000, 5003000), "EPSG:32633", resolution=20)


def codes(*values: int) -> np.ndarray:
    return np.array(values, dtype="uint8")


def blobs(seed: int, shape: tuple[int, int] = (150, 200), values: str = "1236") -> np.ndarray:
    """Patches of classes, some of them without data."""
    noise = np.random.default_rng(seed).random(shape)
    smooth = ndimage.gaussian_filter(noise, 3)
    ranks = smooth.argsort(axis=None).argsort().reshape(shape) / smooth.size
    found = np.array([int(v) for v in values], "uint8")[(ranks * len(values)).astype(int)]
    found[ndimage.gaussian_filter(noise[::-1], 5) > 0.56] = CloudClass.NODATA
    return found


def save(path: Path, values: np.ndarray, grid: GeoBox | None = GRID, **profile: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    where = {} if grid is None else {"crs": str(grid.crs), "transform": grid.affine}
    rows, columns = values.shape
    with rasterio.open(
        path, "w", driver="GTiff", height=rows, width=columns, count=1, dtype=values.dtype,
        **where, **profile,
    ) as file:  # fmt: skip
        file.write(values, 1)
    return path


def raster(path: Path, mapping: str = "ucl") -> ClassRaster:
    return ClassRaster(str(path), MAPPINGS[mapping])


# --- agreement and accuracy -----------------------------------------------------------


def test_accuracy_by_hand() -> None:
    scores = accuracy(codes(2, 2, 2, 1, 3, 1, 0, 6), codes(2, 2, 1, 2, 3, 1, 2, 2))
    # Cloud: predicted five times with data in both, four of them where the truth is seen ...
    assert scores["cloud"]["precision"] == pytest.approx(3 / 4)
    assert scores["cloud"]["recall"] == pytest.approx(3 / 4)
    assert scores["cloud"]["f1"] == pytest.approx(3 / 4)
    assert scores["shadow"] == {"precision": 1.0, "recall": 1.0, "f1": 1.0}


def test_accuracy_of_an_absent_class_is_not_a_number() -> None:
    assert np.isnan(list(accuracy(codes(1, 1), codes(1, 1))["shadow"].values())).all()


def test_agreement_by_hand() -> None:
    ucl = codes(1, 2, 3, 1, 0, 3)
    scl = codes(4, 9, 3, 8, 4, 2)
    found = agreement(ucl, scl)
    assert found["overall"] == pytest.approx(60)
    assert found["cloud"] == pytest.approx(80)
    assert found["shadow"] == pytest.approx(80)
    assert found["clear"] == pytest.approx(60)


def test_agreement_where_nothing_can_be_compared() -> None:
    assert np.isnan(list(agreement(codes(0, 1), codes(4, 0)).values())).all()
    # 255 is nodata to others, and no class here.
    assert np.isnan(list(agreement(codes(255, 255), codes(4, 4)).values())).all()


def test_simulated_scl_misses_what_sen2cor_misses(simulated: xr.Dataset) -> None:
    scores = accuracy(scl_to_ucl(simulated.SCL.values), simulated.truth.values)
    assert scores["shadow"]["recall"] < 0.5


# --- confusion ------------------------------------------------------------------------


@pytest.mark.parametrize("question", Question)
def test_scores_are_those_of_scikit_learn(question: Question) -> None:
    label, prediction = blobs(1, values="1234560"), blobs(2, values="1111236")
    both = (label > 0) & (prediction > 0)
    y, p = (np.isin(each[both], question.classes) for each in (label, prediction))
    expected = {
        "recall": metrics.recall_score(y, p),
        "precision": metrics.precision_score(y, p),
        "f1": metrics.f1_score(y, p),
        "f2": metrics.fbeta_score(y, p, beta=2),
        "iou": metrics.jaccard_score(y, p),
        "boa": metrics.balanced_accuracy_score(y, p),
        "oa": metrics.accuracy_score(y, p),
        "kappa": metrics.cohen_kappa_score(y, p),
    }
    confusion = Confusion.of(label, prediction)
    assert confusion.scores(question) == pytest.approx(expected)
    assert tuple(confusion.scores(question)) == METRICS
    assert confusion.support(question) == y.sum()
    assert confusion.pixels == both.sum()


def test_the_matrix_is_that_of_scikit_learn_and_adds_up() -> None:
    label, prediction = blobs(1, values="0123456"), blobs(2, values="0123456")
    whole = Confusion.of(label, prediction)
    expected = metrics.confusion_matrix(label.ravel(), prediction.ravel(), labels=range(7))
    np.testing.assert_array_equal(whole.matrix, expected)
    parts = [Confusion.of(a, b) for a, b in zip(label, prediction, strict=True)]
    np.testing.assert_array_equal(sum(parts, Confusion.zero()).matrix, expected)
    assert whole.matrix.dtype == np.int64


@pytest.mark.parametrize(
    ("label", "prediction", "expected"),
    [
        # Absent from both: nothing is defined, overall accuracy neither.
        ((1, 1, 1), (1, 1, 1), dict.fromkeys(METRICS, math.nan)),
        # In the label only: found none, and what was predicted is right or wrong in nothing.
        ((3, 3, 1, 1), (1, 1, 1, 1), {"recall": 0, "precision": math.nan, "f1": 0, "f2": 0, "iou": 0, "oa": 0.5, "boa": 0.5, "kappa": 0}),
        # In the prediction only.
        ((1, 1, 1, 1), (3, 1, 1, 1), {"recall": math.nan, "precision": 0, "f1": 0, "iou": 0, "oa": 0.75, "boa": math.nan}),
        # Everywhere in both: no true negatives to be right about.
        ((3, 3), (3, 3), {"recall": 1, "precision": 1, "f1": 1, "iou": 1, "oa": 1, "boa": math.nan, "kappa": math.nan}),
        # Only one pixel has data in both.
        ((3, 0, 1, 3), (0, 3, 0, 3), {"recall": 1, "precision": 1}),
        # No pixel has.
        ((0, 3), (3, 0), dict.fromkeys(METRICS, math.nan)),
    ],
)  # fmt: skip
def test_scores_by_hand(
    label: tuple[int, ...], prediction: tuple[int, ...], expected: dict[str, float]
) -> None:
    found = Confusion.of(codes(*label), codes(*prediction)).scores(Question.SHADOW)
    assert {name: found[name] for name in expected} == pytest.approx(expected, nan_ok=True)


def test_f2_kappa_and_what_is_unanswered_by_hand() -> None:
    # tp 3, fn 1, fp 2, tn 4; two more pixels have no prediction and one no label.
    label = codes(2, 2, 2, 6, 1, 1, 1, 3, 4, 5, 2, 1, 0)
    prediction = codes(2, 6, 2, 1, 2, 6, 1, 3, 1, 1, 0, 0, 2)
    confusion = Confusion.of(label, prediction)
    found = confusion.scores(Question.CLOUD)
    assert found["f2"] == pytest.approx(15 / 21)
    assert found["boa"] == pytest.approx((3 / 4 + 4 / 6) / 2)
    chance = (4 * 5 + 6 * 5) / 100
    assert found["kappa"] == pytest.approx((0.7 - chance) / (1 - chance))
    assert (confusion.labelled, confusion.pixels) == (12, 10)
    assert confusion.unanswered == pytest.approx(2 / 12)
    for question in Question:
        yes = confusion.matrix[question.members]
        assert confusion.without_answer(question) == pytest.approx(yes[:, 0].sum() / yes.sum())


def test_snow_and_water_are_clear_and_thin_cloud_is_cloud() -> None:
    confusion = Confusion.of(codes(1, 4, 5, 6, 2, 3), codes(4, 5, 1, 2, 6, 3))
    for question in Question:
        assert confusion.scores(question)["f1"] == 1
    assert confusion.changed == pytest.approx(5 / 6)


def test_what_is_no_mask_is_refused() -> None:
    with pytest.raises(SceneError, match="one grid"):
        Confusion.of(np.zeros((2, 3)), np.zeros((3, 2)))
    with pytest.raises(SceneError, match=r"from 1 to 9.*mapping"):
        Confusion.of(codes(1, 9), codes(1, 1))


# --- edges ----------------------------------------------------------------------------


def reference_without_edges(label: np.ndarray, k: int) -> np.ndarray:
    """Pixel by pixel, as the definition says."""
    three = np.where(
        label == 6, 2, np.where((label == 2) | (label == 3), label, np.minimum(label, 1))
    )
    kept = label.copy()
    for y, x in np.ndindex(label.shape):
        near = three[max(y - k, 0) : y + k + 1, max(x - k, 0) : x + k + 1]
        if len(set(near[near > 0].tolist())) > 1:
            kept[y, x] = 0
    return kept


def test_pixels_near_edges_are_left_out() -> None:
    label, prediction = blobs(3, (40, 50)), blobs(4, (40, 50))
    (found,) = count_pixels(label, [prediction], Protocol((0, 1, 2, 5)))
    for i, k in enumerate((0, 1, 2, 5)):
        expected = Confusion.of(reference_without_edges(label, k), prediction).matrix
        np.testing.assert_array_equal(found.confusions[i], expected)


def test_an_edge_by_hand() -> None:
    label = codes(1, 1, 1, 1, 2, 2, 2, 2, 0, 3)[np.newaxis].repeat(3, axis=0)
    prediction = codes(1, 1, 1, 2, 2, 2, 2, 2, 2, 3)[np.newaxis].repeat(3, axis=0)
    (found,) = count_pixels(label, [prediction], Protocol((0, 1), boundary=1))
    assert found.confusion.scores(Question.CLOUD)["precision"] == pytest.approx(4 / 5)
    # Without a pixel on either side of the edge there is no error; no data makes no edge.
    without = Confusion(found.confusions[1])
    assert without.pixels == 3 * 7
    assert without.scores(Question.CLOUD)["precision"] == 1
    # The label's boundary is the column 4, that of the prediction 3 and, beyond the label's data, 8.
    assert found.boundary_iou(Question.CLOUD) == 0
    assert found.boundaries[list(Question).index(Question.CLOUD)].tolist() == [0, 6]


def test_boundary_iou_by_hand() -> None:
    label = np.ones((30, 40), "uint8")
    label[5:25, 5:25] = 2
    moved = np.roll(label, 1, axis=1)
    (same, other) = count_pixels(label, [label, moved], Protocol(boundary=2))
    assert same.boundary_iou(Question.CLOUD) == 1
    assert math.isnan(same.boundary_iou(Question.SHADOW))
    ring = {(y, x) for y in range(20) for x in range(20) if min(y, x, 19 - y, 19 - x) < 2}
    shifted = {(y, x + 1) for y, x in ring}
    assert other.boundary_iou(Question.CLOUD) == pytest.approx(
        len(ring & shifted) / len(ring | shifted)
    )
    # The plain IoU forgives what the boundary shows.
    assert other.confusion.scores(Question.CLOUD)["iou"] > 0.9 > other.boundary_iou(Question.CLOUD)


def test_the_edge_of_the_data_is_no_boundary() -> None:
    label = np.full((20, 20), 2, "uint8")
    label[:, 12:] = 0
    (found,) = count_pixels(label, [label], Protocol())
    assert math.isnan(found.boundary_iou(Question.CLOUD))


def test_both_sides_are_dilated_alike() -> None:
    label = np.ones((9, 9), "uint8")
    prediction = label.copy()
    label[2, 2], prediction[2, 4] = 3, 3
    label[:, 8] = 0
    (plain,) = count_pixels(label, [prediction], Protocol())
    (widened,) = count_pixels(label, [prediction], Protocol(dilation=1))
    assert plain.confusion.scores(Question.SHADOW)["recall"] == 0
    assert widened.confusion.scores(Question.SHADOW)["recall"] == pytest.approx(3 / 9)
    assert widened.confusion.pixels == plain.confusion.pixels
    # Clouds grow over shadow that has grown, and not over shadow that was there.
    label = codes(2, 1, 3, 1, 1)[np.newaxis]
    (both,) = count_pixels(label, [label], Protocol(dilation=1))
    assert np.diag(both.confusion.matrix).tolist() == [0, 1, 2, 2, 0, 0, 0]


def test_a_protocol_always_counts_everything_too() -> None:
    assert Protocol((5, 2)).ignored == (0, 2, 5)
    with pytest.raises(CleansatError, match="-1 pixels"):
        Protocol((-1,))


# --- mappings -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("ucl", (0, 1, 2, 3, 4, 5, 6, 7), (0, 1, 2, 3, 4, 5, 6, 0)),
        ("scl", (0, 1, 2, 3, 4, 8, 9, 10, 11, 12), (0, 0, 1, 3, 1, 2, 2, 6, 1, 0)),
        ("fmask", (0, 1, 2, 3, 4, 5, 255), (0, 1, 2, 3, 4, 5, 0)),
        ("fmask4", (0, 1, 2, 3, 4, 255), (1, 5, 3, 4, 2, 0)),
        ("cloudsen12", (0, 1, 2, 3, 99), (1, 2, 6, 3, 0)),
        ("omnicloudmask", (0, 1, 2, 3), (1, 2, 6, 3)),
        ("s2cloudless", (0, 1, 255), (1, 2, 0)),
        ("ukis-csmask", (0, 1, 2, 3), (1, 2, 3, 0)),
        ("on-cloud-n", (0, 1, 255), (1, 2, 0)),
        ("shadow-label", (0, 1, 255), (1, 3, 0)),
        ("0=clear, 10=thin cloud,3=Shadow", (0, 10, 3, 1), (1, 6, 3, 0)),
    ],
)
def test_mappings(name: str, values: tuple[int, ...], expected: tuple[int, ...]) -> None:
    mapping = get_mapping(name)
    for dtype in ("uint8", "int16", "float32"):
        found = mapping.apply(np.array(values, dtype))
        assert found.dtype == np.uint8
        assert found.tolist() == list(expected)


def test_values_that_are_no_code_are_no_data() -> None:
    found = get_mapping("cloudsen12").apply(np.array([np.nan, np.inf, -1, 0.5, 256, 1]))
    assert found.tolist() == [0, 0, 0, 0, 0, 2]
    assert get_mapping("on-cloud-n").apply(np.array([True, False])).tolist() == [2, 1]


@pytest.mark.parametrize(
    ("name", "questions"),
    [
        ("ucl", set(Question)),
        ("cloudsen12", set(Question)),
        ("s2cloudless", {Question.CLOUD}),
        ("on-cloud-n", {Question.CLOUD}),
        ("shadow-label", {Question.SHADOW}),
        ("0=clear,1=snow", set()),
    ],
)
def test_what_a_mapping_can_answer(name: str, questions: set[Question]) -> None:
    assert get_mapping(name).questions == questions


def test_mappings_from_files(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("7: cloud\n8: thin cloud\n9: nodata\n")
    (tmp_path / "a.json").write_text('{"7": "cloud", "8": "thin_cloud"}')
    for name in ("a.yaml", "a.json"):
        assert get_mapping(str(tmp_path / name)).codes == {7: 2, 8: 6}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("slc", "no mapping 'slc'.*ucl, scl"),
        ("1=fog", "no class 'fog'"),
        ("a=cloud", "'a' is not a number"),
        ("300=cloud", "'300' is not a number from 0 to 255"),
        ("nowhere.yaml", "cannot read the mapping nowhere.yaml"),
    ],
)
def test_mappings_that_make_no_sense(spec: str, message: str) -> None:
    with pytest.raises(CleansatError, match=message):
        get_mapping(spec)


# --- rasters --------------------------------------------------------------------------


def evaluation(
    tmp_path: Path, label: np.ndarray, *predictions: np.ndarray, **how: object
) -> Evaluation:
    case = Case(
        "one",
        raster(save(tmp_path / "label.tif", label)),
        {f"p{i}": raster(save(tmp_path / f"p{i}.tif", p)) for i, p in enumerate(predictions)},
    )
    return evaluate_rasters([case], **how)  # type: ignore[arg-type]


@pytest.mark.parametrize("dilation", [0, 2])
@pytest.mark.parametrize("block", [32, 47, 1000])
def test_blocks_make_no_difference(tmp_path: Path, block: int, dilation: int) -> None:
    label, a, b = blobs(1), blobs(2), blobs(3)
    protocol = Protocol((0, 1, 2, 5), boundary=3, dilation=dilation)
    expected = count_pixels(label, [a, b], protocol)
    found = evaluation(tmp_path, label, a, b, protocol=protocol, block=block)
    for name, whole in zip(("p0", "p1"), expected, strict=True):
        np.testing.assert_array_equal(found.total(name).confusions, whole.confusions)
        np.testing.assert_array_equal(found.total(name).boundaries, whole.boundaries)


@pytest.mark.parametrize("crs", ["EPSG:32633", "EPSG:32632", "EPSG:4326"])
def test_predictions_on_other_grids(tmp_path: Path, crs: str) -> None:
    """Compared are the label's pixels with the prediction's pixels in which their centres lie."""
    label = blobs(1)
    grid = GRID if crs == "EPSG:32633" else GRID.to_crs(crs)
    finer = grid.zoom_out(0.37)  # a ratio that fits nowhere
    fine = blobs(2, finer.shape)
    case = Case(
        "one",
        raster(save(tmp_path / "label.tif", label)),
        {"p": raster(save(tmp_path / "p.tif", fine, finer))},
    )
    found = evaluate_rasters([case], block=64)
    x, y = np.meshgrid(np.arange(GRID.shape[1]) + 0.5, np.arange(GRID.shape[0]) + 0.5)
    x, y = GRID.affine * (x, y)
    if crs != "EPSG:32633":
        x, y = GRID.crs.transformer_to_crs(finer.crs)(x, y)
    column, row = (np.floor(v + 1e-6).astype(int) for v in ~finer.affine * (x, y))
    inside = (row >= 0) & (row < finer.shape[0]) & (column >= 0) & (column < finer.shape[1])
    on_label = np.zeros(label.shape, "uint8")
    on_label[inside] = fine[row[inside], column[inside]]
    np.testing.assert_array_equal(found.confusion("p").matrix, Confusion.of(label, on_label).matrix)


def test_a_part_of_the_label_without_prediction(tmp_path: Path) -> None:
    label = np.full((150, 200), 2, "uint8")
    part = GRID[:, :50]
    case = Case(
        "one",
        raster(save(tmp_path / "label.tif", label)),
        {
            "part": raster(save(tmp_path / "part.tif", label[:, :50], part)),
            "all": raster(save(tmp_path / "all.tif", label)),
        },
    )
    own = evaluate_rasters([case])
    assert own.confusion("part").unanswered == pytest.approx(0.75)
    assert own.confusion("all").pixels == label.size
    common = evaluate_rasters([case], common=True)
    assert common.confusion("all").pixels == common.confusion("part").pixels == 150 * 50
    assert "for which all predictions have data" in as_text(common)
    assert "for which all" not in as_text(own)
    assert "not all on the same pixels" in as_text(own)
    assert "not all on the same pixels" not in as_text(common)
    assert re.search(r"part .* 75\.0 %", as_text(own))
    assert [as_dict(each)["protocol"]["common"] for each in (own, common)] == [False, True]

    rest = raster(save(tmp_path / "rest.tif", label[:, 50:], GRID[:, 50:]))
    parted = Case("one", case.label, {**case.predictions, "rest": rest})
    with pytest.raises(SceneError, match="no pixel has a label and data of all predictions"):
        evaluate_rasters([parted], common=True)
    strange = get_mapping("7=cloud,9=clear")
    with pytest.raises(SceneError, match="no pixel with a code of the mapping"):
        evaluate_rasters([dataclasses.replace(case, label=ClassRaster(case.label.uri, strange))], common=True)  # fmt: skip


def test_chips_without_coordinates(tmp_path: Path) -> None:
    label, prediction = blobs(1), blobs(2)
    case = Case(
        "chip",
        raster(save(tmp_path / "label.tif", label)),
        {"p": raster(save(tmp_path / "p.tif", prediction, None))},
    )
    expected = Confusion.of(label, prediction).matrix
    np.testing.assert_array_equal(evaluate_rasters([case]).confusion("p").matrix, expected)
    save(tmp_path / "p.tif", prediction[:, :-1], None)
    with pytest.raises(SceneError, match=r"150 x 199 and .* 150 x 200"):
        evaluate_rasters([case])


def test_rasters_that_cannot_be_compared(tmp_path: Path) -> None:
    label = raster(save(tmp_path / "label.tif", blobs(1)))
    away = raster(save(tmp_path / "away.tif", blobs(2), GRID.translate_pix(500, 0)))
    with pytest.raises(SceneError, match="do not overlap"):
        evaluate_rasters([Case("one", label, {"p": away})])
    wrong = raster(save(tmp_path / "wrong.tif", np.full((150, 200), 77, "uint8")))
    with pytest.raises(SceneError, match="77, which are no codes of a UCL"):
        evaluate_rasters([Case("one", label, {"p": wrong})])
    wrong = replace(wrong, mapping=MAPPINGS["scl"])
    with pytest.raises(SceneError, match="not those of the mapping scl"):
        evaluate_rasters([Case("one", label, {"p": wrong})])
    with pytest.raises(SceneError, match="no pixel with a code of the mapping scl"):
        evaluate_rasters([Case("one", wrong, {"p": label})])
    with pytest.raises(SceneError, match=r"cannot read .*nowhere\.tif"):
        evaluate_rasters([Case("one", label, {"p": raster(tmp_path / "nowhere.tif")})])
    with pytest.raises(SceneError, match="no band 2"):
        evaluate_rasters([Case("one", label, {"p": ClassRaster(label.uri, band=2)})])
    with pytest.raises(SceneError, match="no scene has a label"):
        evaluate_rasters([])
    with pytest.raises(SceneError, match="they must be the same"):
        evaluate_rasters([Case("one", label, {"p": label}), Case("two", label, {"q": label})])


# --- what comes out -------------------------------------------------------------------


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    """Six scenes, two predictors; the second does not know shadow."""
    folder = tmp_path_factory.mktemp("many")
    cases = []
    for i in range(6):
        label = blobs(i)
        wrong = np.random.default_rng(i).random(label.shape) < 0.05 * (i + 1)
        good = np.where(wrong, np.uint8(1), label)
        binary = np.isin(label, (2, 6)).astype("uint8")
        cases.append(
            Case(
                f"s{i}",
                raster(save(folder / f"label{i}.tif", label)),
                {
                    "good": raster(save(folder / f"good{i}.tif", good)),
                    "binary": raster(save(folder / f"binary{i}.tif", binary), "s2cloudless"),
                },
            )
        )
    return evaluate_rasters(cases)


def test_pooled_and_by_scene(many: Evaluation) -> None:
    pooled = many.find("good", Question.SHADOW, "recall")
    each = [
        many.find("good", Question.SHADOW, "recall", "scene", scene=s).value for s in many.scenes
    ]
    support = [
        many.find("good", Question.SHADOW, "support", "scene", scene=s).value for s in many.scenes
    ]
    assert pooled.value == pytest.approx(np.average(each, weights=support))
    assert many.find("good", Question.SHADOW, "recall", "median").value == np.median(each)
    share = many.find("good", Question.SHADOW, "recall_high", "share").value
    assert share == np.mean(np.array(each) > 0.9)
    assert 0 < share < 1
    assert many.find("good", Question.SHADOW, "recall_low", "share").value == 0


def test_only_what_both_sides_know_is_asked(many: Evaluation) -> None:
    assert many.questions == tuple(Question)
    assert many.answered("binary") == {Question.CLOUD}
    assert many.find("binary", Question.CLOUD, "iou").value == 1
    assert math.isnan(many.find("binary", Question.SHADOW, "iou").value)
    assert not [
        r for r in many.results if r.predictor == "binary" and r.question is not Question.CLOUD
    ]


def test_intervals(many: Evaluation) -> None:
    """Those of a bootstrap that draws scenes, written out."""
    found = many.find("good", Question.CLOUD, "iou")
    assert found.low < found.value < found.high
    rng, drawn = np.random.default_rng(0), []
    matrices = [c.confusion for c in many.counts["good"]]
    for chosen in rng.integers(6, size=(1000, 6)):
        total = sum((matrices[i] for i in chosen), Confusion.zero())
        drawn.append(total.scores(Question.CLOUD)["iou"])
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(drawn, (2.5, 97.5))))
    median = many.find("good", Question.CLOUD, "recall", "median")
    assert median.low <= median.value <= median.high
    edge = many.find("good", Question.CLOUD, "boundary_iou")
    assert edge.low < edge.value < edge.high


def test_an_interval_covers_what_it_should() -> None:
    """Of 60 samples of 20 scenes, about 95 % of the intervals hold the share that all have in truth."""
    rng, covered = np.random.default_rng(7), 0
    for _ in range(60):
        counts = []
        for recall in rng.beta(8, 2, size=20):
            matrix = np.zeros((1, 7, 7), "int64")
            matrix[0, 3, 3], matrix[0, 3, 1] = round(1000 * recall), 1000 - round(1000 * recall)
            counts.append(Counts(matrix, np.zeros((4, 2), "int64")))
        sample = Evaluation(
            tuple(map(str, range(20))), MAPPINGS["ucl"], {"p": MAPPINGS["shadow-label"]},
            {"p": tuple(counts)}, Protocol((0,), 0), draws=200,
        )  # fmt: skip
        found = sample.find("p", Question.SHADOW, "recall")
        covered += found.low <= 0.8 <= found.high
    assert covered / 60 > 0.85


def test_one_scene_has_no_interval(tmp_path: Path) -> None:
    found = evaluation(tmp_path, blobs(1), blobs(2)).find("p0", Question.CLOUD, "iou")
    assert 0 < found.value < 1
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_scenes_without_the_class_do_not_count_in_the_median(tmp_path: Path) -> None:
    with_cloud, clear = codes(2, 2, 1, 1)[np.newaxis], codes(1, 1, 1, 1)[np.newaxis]
    half = codes(2, 1, 1, 1)[np.newaxis]
    grid = GRID[:1, :4]
    cases = [
        Case(
            str(i),
            raster(save(tmp_path / f"label{i}.tif", label, grid)),
            {"p": raster(save(tmp_path / f"p{i}.tif", p, grid))},
        )
        for i, (label, p) in enumerate([(with_cloud, half), (clear, clear), (clear, clear)])
    ]
    found = evaluate_rasters(cases)
    assert found.find("p", Question.CLOUD, "recall", "median").value == 0.5
    assert math.isnan(found.find("p", Question.CLOUD, "oa", "scene", scene="1").value)
    assert math.isnan(found.find("p", Question.SHADOW, "recall", "median").value)


def test_files(many: Evaluation, tmp_path: Path) -> None:
    paths = write_report(many, tmp_path / "out")
    assert [p.name for p in paths] == [f"evaluation.{s}" for s in ("md", "json", "csv", "png")]
    document = json.loads(paths[1].read_text())
    wanted = many.find("good", Question.SHADOW, "recall")
    key = ("predictor", "question", "protocol", "scene", "ignored_px", "metric")
    record = {tuple(r[k] for k in key): r for r in document["results"]}
    mine = record["good", "shadow", "pooled", "", 0, "recall"]
    assert (mine["value"], mine["low"], mine["high"]) == (wanted.value, wanted.low, wanted.high)
    assert document["confusion"]["good"]["pixels"] == many.confusion("good").matrix.tolist()
    rows = list(csv.DictReader(paths[2].read_text().splitlines()))
    assert len(rows) == len(many.results) == len(document["results"])
    assert {row["value"] for row in rows if row["metric"] == "support"} >= {"7500"} or rows
    page = paths[0].read_text()
    assert "6 scenes" in page
    assert "95 % intervals" in page
    assert f"{wanted.value:.3f}" in page
    for line in page.splitlines():
        if line.startswith("|---"):
            assert line == "|" + "---|" * line.count("---")
    assert paths[3].read_bytes().startswith(b"\x89PNG")


# --- points ---------------------------------------------------------------------------


def test_points_by_row_and_column_and_by_coordinate(tmp_path: Path) -> None:
    prediction, coarse = blobs(2), blobs(5, (75, 100))
    path = save(tmp_path / "p.tif", prediction)
    half = save(tmp_path / "half.tif", coarse, GRID.zoom_out(2))
    rng = np.random.default_rng(0)
    row, column = rng.integers(150, size=300), rng.integers(200, size=300)
    cls = rng.choice([1, 2, 3, 6], size=300).astype("uint8")
    lines = [
        f"{r},{c},{CloudClass(k).label},seen" for r, c, k in zip(row, column, cls, strict=True)
    ]
    (tmp_path / "points.csv").write_text("Row, Column, Class, Note\n" + "\n".join(lines) + "\n")
    points = read_points(tmp_path / "points.csv")
    predictions = {"all": {"p": raster(path), "half": raster(half)}}
    found = evaluate_points(points, predictions)
    expected = Confusion.of(cls, prediction[row, column]).matrix
    np.testing.assert_array_equal(found.confusion("p").matrix, expected)
    expected = Confusion.of(cls, coarse[row // 2, column // 2]).matrix
    np.testing.assert_array_equal(found.confusion("half").matrix, expected)

    x, y = GRID.affine * (column + 0.5, row + 0.5)
    lon, lat = GRID.crs.transformer_to_crs("EPSG:4326")(x, y)
    lines = [f"{a:.8f},{b:.8f},{k}" for a, b, k in zip(lon, lat, cls, strict=True)]
    (tmp_path / "lonlat.csv").write_text("x,y,class\n" + "\n".join(lines) + "\n")
    again = evaluate_points(read_points(tmp_path / "lonlat.csv"), predictions)
    for name in ("p", "half"):
        np.testing.assert_array_equal(again.confusion(name).matrix, found.confusion(name).matrix)


def test_points_of_several_scenes_with_codes_of_their_own(tmp_path: Path) -> None:
    mapping = get_mapping("0=clear,1=shadow")
    (tmp_path / "points.csv").write_text(
        "scene,row,col,class\na,0,0,1\na,0,1,0\nb,0,0,1\nb,500,0,1\nb,0,1,9\n"
    )
    points = read_points(tmp_path / "points.csv", mapping)
    path = save(tmp_path / "p.tif", codes(3, 3)[np.newaxis], GRID[:1, :2])
    found = evaluate_points(points, {s: {"p": raster(path)} for s in "ab"}, mapping=mapping)
    assert found.scenes == ("a", "b")
    assert found.questions == (Question.SHADOW,)
    scores = found.confusion("p").scores(Question.SHADOW)
    assert (scores["recall"], scores["precision"]) == (1, pytest.approx(2 / 3))
    assert found.confusion("p").unanswered == pytest.approx(1 / 4)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("row,column\n1,2\n", "columns row, column; it needs class"),
        ("row,column,class\n1,2,fog\n", "line 2: there is no class 'fog'"),
        ("row,column,class\n1,,cloud\n", "line 2: could not convert"),
        ("row,column,class\n1\n", "line 2"),
        ("row,column,class\n1,2,clear\n3,4\n", "line 3: the class is missing"),
        ("row,column,class,scene\n1,2,clear,a\n3,4,cloud\n", "line 3: the scene is missing"),
        ("row,column,class\n", "has no points"),
        ("", "has no points"),
    ],
)
def test_points_that_cannot_be_read(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "points.csv"
    path.write_text(content)
    with pytest.raises(CleansatError, match=message):
        read_points(path)


def test_points_beside_the_raster(tmp_path: Path) -> None:
    (tmp_path / "points.csv").write_text("x,y,class\n0,0,cloud\n")
    path = save(tmp_path / "p.tif", blobs(1))
    with pytest.raises(SceneError, match="no point of all lies where"):
        evaluate_points(read_points(tmp_path / "points.csv"), {"all": {"p": raster(path)}})
    with pytest.raises(CleansatError, match="'EPSG:99999' is no coordinate system"):
        read_points(tmp_path / "points.csv", crs="EPSG:99999")


def test_coordinates_are_no_pixels(tmp_path: Path) -> None:
    """Longitude 20 is not column 20 of a chip that lies nowhere."""
    chip = save(tmp_path / "chip.tif", blobs(1), None)
    (tmp_path / "lonlat.csv").write_text("x,y,class\n20.2,14.5,clear\n")
    points = read_points(tmp_path / "lonlat.csv")
    with pytest.raises(SceneError, match=r"chip\.tif has no coordinate system"):
        evaluate_points(points, {"all": {"p": raster(chip)}})
    (tmp_path / "pixels.csv").write_text("row,column,class\n14,20,clear\n")
    points = read_points(tmp_path / "pixels.csv")
    assert evaluate_points(points, {"all": {"p": raster(chip)}}).confusion("p").labelled == 1
    placed = save(tmp_path / "placed.tif", blobs(1))
    with pytest.raises(SceneError, match=r"placed\.tif has a coordinate system"):
        evaluate_points(points, {"all": {"p": raster(chip), "q": raster(placed)}})


# --- which files ----------------------------------------------------------------------


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


# --- the networks ---------------------------------------------------------------------


def test_seams_move_the_windows() -> None:
    """A scene in one window has none; one that is cut differs near the cuts, if little."""
    scene = SimulatedScene(shape=(600, 600), seed=1).to_xarray(30).isel(time=0)
    assert seams(scene, offset=-1000) == 0
    cut = dataclasses.replace(get_model(), tiling=Tiling((128, 128), 64, whole=0))
    found = seams(scene, model=cut, offset=-1000)
    assert 0 < found < 0.05
    with pytest.raises(SceneError, match="UTM"):
        seams(scene.odc.reproject("EPSG:4326"))


def test_calgary_shadow(shared: Path, tmp_path: Path) -> None:
    """Files as they are, and the figures that were measured by hand before."""
    cases = []
    for date in ("2020-06-15", "2020-07-05"):
        folder = shared / "calgary" / date
        scene = read_folder(folder, "B02 B03 B04 B08 SCL", nodata=None)
        mask = classify(scene).ucl
        path = tmp_path / f"{date}.tif"
        mask.odc.write_cog(path, overview_levels=[])
        cases.append(
            Case(
                date,
                raster(folder / "shadow_label.tif", "shadow-label"),
                {"UCL": raster(path), "SCL": raster(folder / "SCL.tif", "scl")},
            )
        )
    found = evaluate_rasters(cases, block=300)
    assert found.questions == (Question.SHADOW,)
    for date, ucl, scl in (("2020-06-15", 0.63, 0.50), ("2020-07-05", 0.63, 0.18)):
        for name, expected in (("UCL", ucl), ("SCL", scl)):
            iou = found.find(name, Question.SHADOW, "iou", "scene", scene=date).value
            assert iou == pytest.approx(expected, abs=0.03)
    # The middle of shadows is found more surely than their edges.
    whole, *without = (
        found.find("UCL", Question.SHADOW, "recall", ignored=k).value for k in (0, 1, 2, 5)
    )
    assert min(without) > whole + 0.02


def test_on_cloud_n(shared: Path, tmp_path: Path) -> None:
    folder = shared / "oncloudn" / "chip_3"
    mask = classify(read_folder(folder, "B02 B03 B04 B08"), resolution=20).ucl
    mask.odc.write_cog(tmp_path / "ucl.tif", overview_levels=[])
    label = ClassRaster(str(folder / "label.tif"), MAPPINGS["on-cloud-n"])
    found = evaluate_rasters([Case("chip_3", label, {"UCL": raster(tmp_path / "ucl.tif")})])
    assert found.questions == (Question.CLOUD,)
    assert found.find("UCL", Question.CLOUD, "f1").value > 0.5


def test_a_custom_class_mapping_is_a_value() -> None:
    mine = ClassMapping("mine", {1: CloudClass.CLOUD})
    assert get_mapping(mine) is mine


def test_simulated_truth(simulated: xr.Dataset) -> None:
    mask = classify(simulated, offset=-1000).ucl
    truth = wrap_xr(simulated.truth.values, simulated.odc.geobox)
    scores = Confusion.of(truth.values, mask.values).scores(Question.CONTAMINATED)
    assert scores["f1"] > 0.85
