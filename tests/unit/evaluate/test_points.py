"""Predictions against single classified pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from odc_cleansat import CloudClass
from odc_cleansat.errors import CleansatError, GapWarning, SceneError
from odc_cleansat.evaluate.confusion import Confusion, Question
from odc_cleansat.evaluate.mappings import get_mapping
from odc_cleansat.evaluate.points import evaluate_points, read_points

from .helpers import GRID, blobs, codes, raster, save


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
    with pytest.warns(GapWarning, match="points.csv holds 9, which the mapping"):
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
