"""`cleansat catalog`, and `--catalog` in place of a datacube."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import geopandas
from calling import Run, failure, good
from shapely.geometry import shape

from odc_cleansat import open_catalog
from odc_cleansat.synthetic.scene import SimulatedScene


def test_from_a_scene_to_a_mask_on_a_grid_without_a_database(run: Run, tmp_path: Path) -> None:
    scene = SimulatedScene(shape=(240, 300), seed=1).write(tmp_path / "scene")
    store, out = tmp_path / "masks", tmp_path / "out"
    good(run("mask", scene, "-o", store))
    grid = ("--crs", "EPSG:32633", "--resolution", "60", "-o", out)
    good(run("recall", "--catalog", store, *grid))
    assert len(list(out.glob("*_ucl.tif"))) == 1
    counted = json.loads(good(run("status", "--catalog", store, "--json")))
    assert (counted["scenes"], counted["masked"]) == (1, 1)
    again = good(run("run", "--catalog", store, "-o", store, "--dry-run"))
    assert "1 masked already, 0 to mask" in again
    assert good(run("catalog", "update", store)).splitlines()[-1] == "0 entered, 0 archived."
    shutil.rmtree(next((store / "s2_l2a_ucl").glob("3*")))
    assert json.loads(good(run("catalog", "update", store, "--json"))) == {
        "entered": 0,
        "archived": 1,
    }


def test_a_run_without_an_index_enters_its_masks(run: Run, tmp_path: Path) -> None:
    """Its scenes come from the catalogue of another store."""
    scene = SimulatedScene(shape=(240, 300), seed=1).write(tmp_path / "scene")
    good(run("mask", scene, "-o", tmp_path / "one"))
    other = tmp_path / "two"
    where = ("--catalog", tmp_path / "one", "--no-index", "--workers", "1", "-o", other)
    good(run("run", *where, "--failures", tmp_path / "failures"))
    counted = json.loads(good(run("status", "--catalog", other, "--json")))
    assert (counted["scenes"], counted["masked"]) == (1, 1)


def test_a_catalogue_and_a_datacube_are_not_named_together(run: Run, tmp_path: Path) -> None:
    text = failure(run("status", "--catalog", tmp_path, "-E", "default"), 2)
    assert "--catalog stands in place of a datacube; leave out --config and --env." in text


def test_a_folder_without_a_catalogue(run: Run, tmp_path: Path) -> None:
    text = failure(
        run(
            "recall",
            "--catalog",
            tmp_path,
            "--crs",
            "EPSG:32633",
            "--resolution",
            "20",
            "-o",
            tmp_path,
        )
    )
    assert "cleansat catalog update" in text


def test_footprints_for_programs_for_maps(run: Run, tmp_path: Path) -> None:
    scene = SimulatedScene(shape=(240, 300), seed=1).write(tmp_path / "scene")
    store, out = tmp_path / "masks", tmp_path / "masks.gpkg"
    good(run("mask", scene, "-o", store))
    assert good(run("catalog", "footprints", store, "-o", out)) == f"1 footprint in {out}\n"
    good(run("catalog", "footprints", store, "-o", out))  # the same again
    [item] = open_catalog(store).search()
    [row] = geopandas.read_file(out).itertuples()
    assert row.geometry.equals_exact(shape(item.geometry), 1e-9)
    assert row.cloud_percent == item.properties["cleansat:cloud_percent"]
    assert row.ucl == item.assets["ucl"].href
    other = ("catalog", "footprints", store, "--product", "s2_l2a", "-o")
    assert "is another map of footprints" in failure(run(*other, out), 1)
    good(run(*other, out, "--overwrite"))
    [row] = geopandas.read_file(out).itertuples()
    assert row.red.endswith("B04.tif")
    assert "Let its name end in .gpkg" in failure(run(*other, tmp_path / "masks.shp"), 1)
