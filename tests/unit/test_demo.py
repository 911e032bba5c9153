"""The parts of the demo that need no database: its table, its lines, its areas, its folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from conftest import Recorder
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr

from odc_cleansat import demo
from odc_cleansat.demo import Recalled, describe, run_demo
from odc_cleansat.errors import ModelError, OutputError, SceneError

GRID = GeoBox.from_bbox((399960, 5299840, 400160, 5300040), "EPSG:32633", resolution=20)


@pytest.fixture
def data() -> xr.Dataset:
    """A mask of 100 pixels: 10 without data, 30 cloud, 20 shadow; the SCL calls half of the cloud clear."""
    ucl = np.ones((10, 10), dtype="uint8")
    ucl[0], ucl[1:4], ucl[4:6] = 0, 2, 3
    scl = np.array([0, 4, 9, 3], dtype="uint8")[ucl]
    scl[1:4, :5] = 4
    return xr.Dataset({"ucl": wrap_xr(ucl, GRID), "scl": wrap_xr(scl, GRID)})


def test_the_table_of_percent_agreement_and_accuracy(data: xr.Dataset) -> None:
    truth = data.ucl.values
    lines = demo._table(data, truth).splitlines()
    assert lines[0].split() == ["percent", "SCL", "UCL", "truth"]
    shares = {line.rsplit(maxsplit=3)[0].strip(): line.split()[-3:] for line in lines[1:4]}
    assert shares["cloud"] == ["16.67", "33.33", "33.33"]
    assert shares["cloud shadow"] == ["22.22", "22.22", "22.22"]
    scores = {tuple(line.split()[:2]): line.split()[2:] for line in lines if "." in line[-5:]}
    assert scores["UCL", "cloud"] == ["1.000", "1.000", "1.000"]
    assert scores["SCL", "cloud"] == ["1.000", "0.500", "0.667"]


def test_the_table_of_a_scene_without_scl_and_truth(data: xr.Dataset) -> None:
    text = demo._table(data.drop_vars("scl"), None)
    assert text.splitlines()[0].split() == ["percent", "UCL"]
    assert "agree" not in text
    assert "truth" not in text


def test_a_load_in_one_line(data: xr.Dataset) -> None:
    assert describe(Recalled("own grid", data)) == (
        "own grid: 10 x 10 pixels of 20 m, EPSG:32633, cloud 33.3 %, shadow 22.2 %"
    )


@pytest.mark.parametrize("shape", [(1, 1), (5, 4), (600, 750)])
def test_the_area_is_inside_at_10_m(shape: tuple[int, int]) -> None:
    grid = GeoBox.from_bbox(
        (399960, 5300040 - 20 * shape[0], 399960 + 20 * shape[1], 5300040),
        "EPSG:32633",
        resolution=20,
    )
    area = demo._area(grid)
    assert abs(area.resolution.x) == 10
    assert grid.extent.contains(area.extent)
    assert area.extent.area > 0


def test_nothing_is_made_for_a_model_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="unet-of-tomorrow"):
        run_demo(tmp_path / "out", model="unet-of-tomorrow")
    assert not (tmp_path / "out").exists()


def test_an_output_folder_that_cannot_be_made(tmp_path: Path, recorder: Recorder) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="Choose another folder"):
        run_demo(tmp_path / "file" / "out", recorder)


def test_a_scene_that_is_not_there_starts_no_database(tmp_path: Path) -> None:
    with pytest.raises(SceneError, match="there is no folder"):
        run_demo(tmp_path, scene=tmp_path / "x")
    assert not (tmp_path / "postgres").exists()
