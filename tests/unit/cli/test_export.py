"""`cleansat export`: composites in files and folders."""

from __future__ import annotations

from pathlib import Path

import click
import datacube
import numpy as np
import pytest
import rasterio
from calling import Run, failure, good
from conftest import SIMULATED, Cube
from odc.geo.geobox import GeoBox

import odc_cleansat
from odc_cleansat.cli.export import command
from odc_cleansat.cube.index import add_product
from odc_cleansat.masks.composite import METHODS
from odc_cleansat.masks.presets import PRESETS
from odc_cleansat.storage.eo3 import product_definition
from unit.cli.helpers import check_cog, read

AREA = ["--crs", "EPSG:32633", "--resolution", 60, "--bbox", "13.66,47.8,13.72,47.84"]


def test_export_a_file(run: Run, cube: Cube, tmp_path: Path) -> None:
    path = tmp_path / "clean.tif"
    config = ["-C", cube.folder / "datacube.conf"]
    said = good(
        run("export", "--product", "s2_l2a", "--time", "2024-06/2024-07", *AREA, "--bands", "red,nir",
            "--resampling", "nearest", "-o", path, *config)
    )  # fmt: skip
    assert "Writing a median of" in said
    data = odc_cleansat.load(
        cube.dc, "s2_l2a", measurements=["red", "nir", "ucl"], time=("2024-06", "2024-07"),
        x=(13.66, 13.72), y=(47.8, 47.84), output_crs="EPSG:32633", resolution=60,
        group_by="solar_day", harmonized=True,
    )  # fmt: skip
    expected = odc_cleansat.composite(data)
    check_cog(path)
    for i, name in enumerate(("red", "nir"), start=1):
        np.testing.assert_array_equal(read(path, i), expected[name].values)
    with rasterio.open(path) as file:
        assert file.descriptions == ("red", "nir")
        assert file.nodata == 0
        assert GeoBox.from_rio(file) == expected.odc.geobox
        assert file.tags()["COMPOSITE_METHOD"] == "median"


def test_export_a_folder(run: Run, cube: Cube, tmp_path: Path) -> None:
    config = ["-C", cube.folder / "datacube.conf"]
    good(
        run("export", "--product", "s2_l2a", *AREA, "--bands", "red", "--method", "best", "--min-clear", "0.1",
            "-o", tmp_path, *config)
    )  # fmt: skip
    names = {"red", "clear_count", "observation_count", "clear_share", "best_day"}
    assert {path.stem for path in tmp_path.iterdir()} == names
    for path in tmp_path.iterdir():
        check_cog(path)
    days = read(tmp_path / "best_day.tif")
    known = [np.datetime64(scene.datetime[:10]).astype(int) for scene in SIMULATED.values()]
    assert set(np.unique(days)) <= {0, *known}
    np.testing.assert_array_equal(days == 0, read(tmp_path / "red.tif") == 0)
    np.testing.assert_array_equal(days == 0, read(tmp_path / "clear_count.tif") == 0)


def test_export_errors(run: Run, cube: Cube, tmp_path: Path) -> None:
    config = ["-C", cube.folder / "datacube.conf"]
    out = ["-o", tmp_path / "out"]
    assert "no product 'x'" in failure(run("export", "--product", "x", *AREA, *out, *config))
    wanted = ["--product", "s2_l2a", "--bands", "red,scl"]
    assert "scl are no reflectance" in failure(run("export", *wanted, *AREA, *out, *config), 2)
    product = ["export", "--product", "s2_l2a", *out, *config]
    assert "no dataset" in failure(run(*product, "--time", "2020", *AREA))
    assert "no measurement 'rot'" in failure(run(*product, "--bands", "rot", *AREA))
    assert "no output grid" in failure(run(*product))
    assert "names no band" in failure(run(*product, "--bands", ",", *AREA), 2)
    assert "--min-clear" in failure(run(*product, "--min-clear", "2", *AREA), 2)
    assert "larger than 0" in failure(run(*product, "--crs", "EPSG:3857", "--resolution", "0"), 2)
    assert not list(tmp_path.iterdir())


def test_help_names_all_presets_and_methods() -> None:
    choices = {p.name: p.type.choices for p in command.params if isinstance(p.type, click.Choice)}
    assert tuple(choices["preset"]) == tuple(PRESETS)
    assert tuple(choices["method"]) == METHODS


def test_an_index_that_cannot_search_by_time(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dc = datacube.Datacube(raw_config={"default": {"index_driver": "memory"}})
    add_product(dc, product_definition("s2_l2a"))
    monkeypatch.setattr(datacube, "Datacube", lambda **_: dc)
    asked = ("--crs", "EPSG:32633", "--resolution", "20", "-o", tmp_path / "june.tif")
    said = failure(run("export", "--product", "s2_l2a", "--time", "2024-06", *asked))
    assert "the index of this datacube cannot search so" in said
