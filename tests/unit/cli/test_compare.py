"""`cleansat compare`."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import rasterio
from calling import Run, failure, good
from conftest import Cube
from matplotlib.image import imread

import odc_cleansat
from odc_cleansat.evaluate.scores import agreement


@pytest.fixture
def run(run: Run) -> Run:
    return partial(run, "compare")


def test_compare_a_mask(run: Run, cube: Cube, tmp_path: Path) -> None:
    mask = cube.masks["june"].local_path.parent
    outputs = [tmp_path / f"june.{kind}" for kind in ("png", "pdf", "html")]
    asked = [part for path in outputs for part in ("-o", path)]
    said = good(run(mask, "--confidence", "--agreement", *asked))
    assert all(path.stat().st_size > 50_000 for path in outputs)
    assert "2024-06-15 10:10 UTC" in said
    assert "UCL and SCL agree" in said
    assert "SCL (simulated), cloud classes only" in said
    result = run(
        mask, "--bbox", "13.66,47.80,13.69,47.82", "-o", outputs[0], "--json", "--overwrite"
    )
    (line,) = good(result).splitlines()
    numbers = json.loads(line)
    assert numbers["time"] == "2024-06-15T10:10:31Z"
    assert numbers["files"] == [str(outputs[0])]
    assert sum(numbers["percent"]["ucl"].values()) == pytest.approx(100, abs=0.01)
    assert numbers["agreement"]["overall"] <= 100
    assert "Drawing" in result.stderr


def test_the_scene_of_a_mask_is_opened_only_if_it_may_be(
    run: Run, cube: Cube, tmp_path: Path
) -> None:
    written = cube.masks["june"].local_path.parent
    copy = shutil.copytree(written, tmp_path / "a" / "b" / written.name)
    part = ("--bbox", "13.66,47.80,13.69,47.82", "-o", tmp_path / "june.png")
    said = run(copy, *part)
    assert said.exit_code == 1
    assert "B04.tif is not opened: the mask names it" in said.output
    assert "If you trust the mask, pass --fetch-scenes" in said.output
    assert "UCL and SCL agree" in good(run(copy, *part, "--fetch-scenes"))


def test_compare_a_scene(run: Run, cube: Cube, tmp_path: Path) -> None:
    scene = cube.folder / "west"
    label = scene / "truth.tif"
    arguments = ["--label", label, "--agreement", "shadow", "--style", "outlines", "-o", tmp_path / "west.png"]  # fmt: skip
    said = good(run(scene, "--bbox", "13.66,47.80,13.70,47.83", *arguments))
    assert "UCL and label: shadow" in said
    assert "Masking" in said
    (ucl,) = cube.masks["june"].local_path.parent.glob("*_ucl.tif")
    part = ("--bbox", "13.66,47.80,13.69,47.82")
    said = good(run(cube.folder / "june", *part, "--ucl", ucl, "-o", tmp_path / "june.png"))
    assert "Masking" not in said


def test_compare_in_a_datacube(run: Run, cube: Cube, tmp_path: Path) -> None:
    config = ["-C", cube.folder / "datacube.conf"]
    area = ["--crs", "EPSG:32633", "--resolution", 60, "--bbox", "13.66,47.8,13.72,47.84"]
    path = tmp_path / "cube.html"
    result = run("--product", "s2_l2a", "--time", "2024-06/2024-07", *area, "-o", path, "--json", *config)  # fmt: skip
    lines = [json.loads(line) for line in good(result).splitlines()]
    assert [line["time"][:10] for line in lines] == ["2024-06-15", "2024-07-05"]
    data = odc_cleansat.load(
        cube.dc, "s2_l2a", measurements=["scl", "ucl"], time=("2024-06", "2024-07"), group_by="solar_day",
        x=(13.66, 13.72), y=(47.8, 47.84), output_crs="EPSG:32633", resolution=60,
    )  # fmt: skip
    for i, line in enumerate(lines):
        expected = agreement(data.ucl.values[i], data.scl.values[i])
        assert line["agreement"] == pytest.approx(expected, abs=1e-3)
    assert path.stat().st_size > 10_000
    assert "no product 'x'" in failure(run("--product", "x", *area, "-o", path, *config))
    assert "no measurement" not in failure(
        run("--product", "s2_l2a_ucl", *area, "-o", path, *config)
    )


def test_masks_by_others(run: Run, cube: Cube, tmp_path: Path) -> None:
    scene = cube.folder / "june"
    mask = cube.masks["june"].local_path.parent
    with rasterio.open(scene / "SCL.tif") as file:
        scl, profile = file.read(1), file.profile
    made = {
        "cld_20240615.tif": np.where(np.isin(scl, (8, 9)), 80, 5),
        "qa60.tif": np.where(np.isin(scl, (8, 9)), 1 << 10, 0),
        "cld_20240620.tif": np.full(scl.shape, 5),
    }
    for name, codes in made.items():
        with rasterio.open(
            tmp_path / name, "w", **{**profile, "dtype": "uint16", "nodata": None}
        ) as file:
            file.write(codes.astype("uint16"), 1)
    others = (
        "--other",
        f"CLD={tmp_path}/cld_20240615.tif:cld",
        "--other",
        f"QA={tmp_path}/qa60.tif:qa60",
    )
    part = ("--bbox", "13.66,47.80,13.69,47.82", "-o", tmp_path / "june.html")
    said = run(mask, *others, "--other", f"SCL2={scene}/SCL.tif:scl", "--agreement", "cloud", *part, "--json")  # fmt: skip
    (numbers,) = map(json.loads, good(said).splitlines())
    assert numbers["others"]["CLD"] == numbers["others"]["QA"]
    assert set(numbers["others"]["QA"]) == {"cloud"}
    assert numbers["others"]["SCL2"] == numbers["agreement"]
    text = good(run(mask, *others, *part))
    assert "UCL and CLD agree" in text
    assert "CLD (20 m, nearest neighbour)" in text
    wrong = ("--other", f"CLD={tmp_path}/cld_20240620.tif:cld", *part)
    assert "is a mask of another scene" in failure(run(mask, *wrong))
    assert "no mapping 'fmsk'" in failure(run(mask, "--other", f"a={scene}/SCL.tif:fmsk", *part), 2)
    assert "is not NAME=PATH[:MAPPING]" in failure(run(mask, "--other", "a", *part), 2)
    said = failure(run("--product", "s2_l2a", *others, "-o", tmp_path / "x.png"), 2)
    assert "is no measurement; with --product name one of the product" in said


def test_measurements_as_masks_by_others(run: Run, cube: Cube, tmp_path: Path) -> None:
    area = ["--crs", "EPSG:32633", "--resolution", 60, "--bbox", "13.66,47.8,13.72,47.84", "--time", "2024-06"]  # fmt: skip
    said = run(
        "--product", "s2_l2a", *area, "-C", cube.folder / "datacube.conf",
        "--other", "again=scl:scl", "-o", tmp_path / "cube.html", "--json",
    )  # fmt: skip
    (numbers,) = map(json.loads, good(said).splitlines())
    assert numbers["others"]["again"] == numbers["agreement"]


def test_wrong_usage(run: Run, cube: Cube, tmp_path: Path) -> None:
    out = ["-o", tmp_path / "x.png"]
    assert "give SOURCE, or --product" in failure(run(*out), 2)
    assert "give SOURCE, or --product" in failure(run("a", "--product", "b", *out), 2)
    assert "--time is for --product" in failure(run("a", "--time", "2024", *out), 2)
    assert "--ucl is for SOURCE" in failure(run("--product", "a", "--ucl", "b", *out), 2)
    assert "--out" in failure(run("a"), 2)
    assert "*.html" in failure(run("a", "-o", "x.tif"))
    (tmp_path / "mine.png").write_bytes(b"mine")
    said = failure(run("a", "-o", tmp_path / "mine.png"))
    assert "mine.png is there already and is no comparison" in said
    assert "or --overwrite to replace it" in said
    (tmp_path / "mine.png").unlink()
    assert "there is no" in failure(run(tmp_path / "x.json", *out))
    mask = cube.masks["june"].local_path.parent
    assert "is a mask" in failure(run(mask, "--offset", "0", *out), 2)
    label = ["--label", cube.folder / "june" / "truth.tif", "--label-mapping", "shadow-label"]
    assert "cannot answer --agreement cloud" in failure(run(mask, *label, "--agreement", "cloud", *out), 2)  # fmt: skip
    scl = ["--label", cube.folder / "june" / "SCL.tif"]
    assert "no codes of a UCL" in failure(run(mask, *scl, *out))
    assert not list(tmp_path.iterdir())
    with rasterio.open(cube.folder / "june/SCL.tif") as file:
        values, profile = file.read(1), file.profile
    with rasterio.open(tmp_path / "shadow.tif", "w", **profile) as file:
        file.write((values == 3).astype("uint8"), 1)
    label = (cube.folder / "june", "--label", tmp_path / "shadow.tif", "-o", tmp_path / "x.png")
    assert "--label-mapping shadow-label" in failure(run(*label), 2)
    good(run(*label, "--label-mapping", "0=clear,1=shadow"))


def test_calgary_with_its_label(shared: Path, run: Run, tmp_path: Path) -> None:
    folder = shared / "calgary" / "2020-06-15"
    path = tmp_path / "calgary.png"
    label = ["--label", folder / "shadow_label.tif", "--label-mapping", "shadow-label"]
    result = run(folder, *label, "--agreement", "shadow", "-o", path, "--json")
    (numbers,) = map(json.loads, good(result).splitlines())
    with rasterio.open(folder / "shadow_label.tif") as file:
        share = 100 * np.mean(file.read(1) == 1)
    assert numbers["percent"]["label"]["cloud shadow"] == pytest.approx(share, abs=0.01)
    found = numbers["percent"]["agreement-label"]
    assert found["both"] / (found["both"] + found["only label"]) > 0.8
    assert imread(path).shape[1] > 1500
