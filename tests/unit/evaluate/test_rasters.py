"""Classified rasters on the grid of a label."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from odc_cleansat.errors import SceneError
from odc_cleansat.evaluate.confusion import Confusion
from odc_cleansat.evaluate.mappings import MAPPINGS
from odc_cleansat.evaluate.rasters import Case, ClassRaster
from odc_cleansat.evaluate.streaming import evaluate_rasters

from .helpers import GRID, blobs, raster, save


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
