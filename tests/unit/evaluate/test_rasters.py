"""Classified rasters on the grid of a label."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio

from odc_cleansat.errors import GapWarning, SceneError
from odc_cleansat.evaluate.confusion import Confusion
from odc_cleansat.evaluate.mappings import MAPPINGS
from odc_cleansat.evaluate.rasters import Case, ClassRaster, open_raster
from odc_cleansat.evaluate.report import as_text
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
    (tmp_path / "drawn.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    with pytest.raises(SceneError, match=r"drawn\.geojson holds no pixels"):
        evaluate_rasters([Case("one", raster(tmp_path / "drawn.geojson"), {"p": label})])
    with pytest.raises(SceneError, match="no band 2"):
        evaluate_rasters([Case("one", label, {"p": ClassRaster(label.uri, band=2)})])
    with pytest.raises(SceneError, match="no scene has a label"):
        evaluate_rasters([])
    with pytest.raises(SceneError, match="they must be the same"):
        evaluate_rasters([Case("one", label, {"p": label}), Case("two", label, {"q": label})])


def test_unknown_values_are_told_and_no_data(tmp_path: Path) -> None:
    label = blobs(1)
    strange = np.where(label == 3, np.uint8(9), label)
    strange[:20] = 8
    case = Case(
        "one",
        raster(save(tmp_path / "label.tif", label)),
        {"p": raster(save(tmp_path / "p.tif", strange), "fmask")},
    )
    with pytest.warns(GapWarning, match="p.tif holds 6, 8, 9, which") as told:
        found = evaluate_rasters([case], block=64)
    assert len(told) == 1
    assert found.confusion("p").matrix[:, 0].sum() >= np.count_nonzero(np.isin(strange, (8, 9)))
    assert not found.confusion("p").matrix[3, 1:].any()


def test_a_mask_of_gdal_says_where_there_is_no_data(tmp_path: Path) -> None:
    """OmniCloudMask writes 0 for clear and for no data, and a mask beside it."""
    codes = np.zeros(GRID.shape, "uint8")
    codes[50:] = 1
    there = np.full(GRID.shape, 255, "uint8")
    there[:, :40] = 0
    path = save(tmp_path / "ocm.tif", codes)
    with rasterio.open(path, "r+") as file:
        file.write_mask(there)
    with open_raster(raster(path, "omnicloudmask")) as opened:
        found = opened.read(slice(0, GRID.shape[0]), slice(0, GRID.shape[1]))
    assert not found[:, :40].any()
    assert set(np.unique(found[:, 40:])) == {1, 2}


def test_another_grid_is_told(tmp_path: Path) -> None:
    label = blobs(1)
    coarse = GRID.zoom_out(3)
    predictions = {
        "same": raster(save(tmp_path / "same.tif", label)),
        "coarse": raster(save(tmp_path / "coarse.tif", blobs(2, coarse.shape), coarse)),
    }
    found = evaluate_rasters([Case("one", raster(save(tmp_path / "l.tif", label)), predictions)])
    assert found.resampled == {"coarse": 1}
    text = as_text(found)
    assert "coarse was brought to the grid of the label by nearest neighbour." in text
    assert "same was" not in text


def test_a_prediction_of_another_day_is_refused(tmp_path: Path) -> None:
    label = raster(save(tmp_path / "S2A_20240615T100559_label.tif", blobs(1)))
    other = raster(save(tmp_path / "ucl_2024-06-20.tif", blobs(1)))
    with pytest.raises(SceneError, match="mask of another scene"):
        evaluate_rasters([Case("S2A_20240615T100559_label", label, {"p": other})])
