"""`cleansat recall`: files and folders of masks on any grid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from calling import Run, failure, good
from conftest import Cube
from odc.geo.geobox import GeoBox

import odc_cleansat
from odc_cleansat import CloudClass
from unit.cli.helpers import check_cog, read


def test_recall_a_file(run: Run, cube: Cube, tmp_path: Path) -> None:
    path = tmp_path / "june.tif"
    config = ["-C", cube.folder / "datacube.conf"]
    said = good(run("recall", "--time", "2024-06-15", "-o", path, *config))
    assert str(path) in said
    expected = odc_cleansat.recall(cube.dc, time="2024-06-15").isel(time=0)
    np.testing.assert_array_equal(read(path), expected.ucl.values)
    check_cog(path)
    with rasterio.open(path) as file:
        assert GeoBox.from_rio(file) == expected.odc.geobox
        assert (file.nodata, file.dtypes, file.descriptions) == (0, ("uint8",), ("ucl",))
        assert file.tags()["TIFFTAG_DATETIME"] == "2024:06:15 10:10:31"
        colours = file.colormap(1)
    for c in CloudClass:
        assert "#{:02x}{:02x}{:02x}".format(*colours[int(c)]) == c.colour


def test_recall_a_folder(run: Run, cube: Cube, tmp_path: Path) -> None:
    config = ["-C", cube.folder / "datacube.conf", "-E", "default"]
    arguments = ["--crs", "EPSG:3857", "--resolution", 100, "--bbox", "13.66,47.8,13.72,47.84"]
    good(run("recall", *arguments, "--how", "mode", "--confidence", "-o", tmp_path, *config))
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    arguments[3] = 200
    said = failure(
        run("recall", *arguments, "--how", "mode", "--confidence", "-o", tmp_path, *config)
    )
    assert "is there already and has another grid" in said
    assert "--overwrite" in said
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    names = [f"s2_l2a_ucl_{t}Z" for t in ("2024-06-15T101031", "2024-07-05T101031")]
    endings = ("mode_ucl", "ucl_confidence")
    assert {p.name for p in tmp_path.iterdir()} == {f"{n}_{e}.tif" for n in names for e in endings}
    expected = odc_cleansat.recall(
        cube.dc, x=(13.66, 13.72), y=(47.8, 47.84), output_crs="EPSG:3857", resolution=100,
        how="mode", measurements=["ucl", "ucl_confidence"],
    )  # fmt: skip
    for i, name in enumerate(names):
        for ending in endings:
            path = tmp_path / f"{name}_{ending}.tif"
            check_cog(path)
            layer = ending.removeprefix("mode_")
            np.testing.assert_array_equal(read(path), expected[layer].values[i])
    with rasterio.open(path) as file:
        assert file.nodata == 255


def test_recall_like_a_file(run: Run, cube: Cube, tmp_path: Path) -> None:
    like = cube.folder / "west" / "SCL.tif"
    arguments = ["--like", like, "--time", "2024-07", "--how", "fraction"]
    good(run("recall", *arguments, "-o", tmp_path / "f.tif", "-C", cube.folder / "datacube.conf"))
    with rasterio.open(like) as file:
        grid = GeoBox.from_rio(file)
    expected = odc_cleansat.recall(cube.dc, geobox=grid, time="2024-07", how="fraction").isel(
        time=0
    )
    with rasterio.open(tmp_path / "f.tif") as file:
        assert file.descriptions == ("cloud_fraction", "shadow_fraction")
        assert np.isnan(file.nodata)
        assert GeoBox.from_rio(file) == grid
    for i, name in enumerate(("cloud_fraction", "shadow_fraction"), start=1):
        np.testing.assert_array_equal(read(tmp_path / "f.tif", i), expected[name].values)


def test_recall_errors(run: Run, cube: Cube, tmp_path: Path) -> None:
    config = ["-C", cube.folder / "datacube.conf"]
    out = tmp_path / "out.tif"
    assert "there are masks of 2 times" in failure(run("recall", "-o", out, *config))
    assert "no mask of s2_l2a_ucl matches" in failure(
        run("recall", "--time", "2020", "-o", out, *config)
    )
    assert "no product 'x'" in failure(run("recall", "--product", "x", "-o", out, *config))
    assert "no coordinate system" in failure(run("recall", "--crs", "EPSG:0", "-o", out, *config))
    wide = ["--crs", "EPSG:4326", "--resolution", 100]
    assert "0.0002 is about 20 m" in failure(run("recall", *wide, "-o", out, *config))
    missing = tmp_path / "missing.conf"
    assert "cannot be reached" in failure(run("recall", "-o", out, "-C", missing))
    assert "cannot be reached" in failure(run("recall", "-o", out, "-E", "x", *config))
    like = ["--like", cube.folder / "west" / "SCL.tif"]
    assert "leave out --crs" in failure(run("recall", *like, "--crs", "EPSG:3857", "-o", out), 2)
    assert "--confidence" in failure(run("recall", "--confidence", "-o", out), 2)
    assert not list(tmp_path.iterdir())
