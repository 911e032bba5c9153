"""`cleansat mask`: searches, folders, what is indexed, and what fails."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import rasterio
import yaml
from calling import Run, failure, good
from conftest import Cube
from datacube import Datacube
from environments import database
from stac_server import StacServer, serving

import odc_cleansat
from odc_cleansat.cube.embedded import _forget_other_databases
from odc_cleansat.cube.index import add_product
from odc_cleansat.storage.eo3 import product_definition
from odc_cleansat.synthetic.scene import SimulatedScene


@pytest.fixture(scope="module")
def bands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return SimulatedScene(shape=(240, 300), seed=1, offset=0).write(
        tmp_path_factory.mktemp("s") / "b"
    )


@pytest.fixture
def api(
    bands: Path, shared: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[StacServer]:
    """Three good items of June 2023."""
    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "1")
    monkeypatch.setenv("GDAL_HTTP_RETRY_DELAY", "0.01")
    with serving(StacServer()) as server:
        server.folders["b"] = bands
        for name in ("S2A_39QTA_20230628", "S2A_39QUA_20230628", "S2B_39QTA_20230623"):
            server.add(shared / "metadata" / "eodm" / f"{name}_0_L2A.json", "b")
        yield server


def june(api: StacServer, out: Path) -> list[Any]:
    return [
        "mask",
        "--stac-api",
        api.url,
        "--bbox",
        "-180,-90,180,90",
        "--time",
        "2023-06",
        "-o",
        out,
    ]


def documents(folder: Path) -> list[Path]:
    return sorted(folder.glob("s2_l2a_ucl/**/*.odc-metadata.yaml"))


def test_masks_of_a_search(run: Run, api: StacServer, tmp_path: Path) -> None:
    said = good(run(*june(api, tmp_path)))
    assert "Found 3 scenes: 3 of sentinel-2-l2a." in said
    assert "Masking S2A_39QUA_20230628_0_L2A (2 of 3)" in said
    assert "3 masked, 0 there already, 0 failed." in said
    found = documents(tmp_path)
    assert len(found) == 3
    for path in found:
        assert str(path) in said
        assert {p.name.rpartition("_")[2] for p in path.parent.glob("*.tif")} == {
            "ucl.tif",
            "confidence.tif",
        }
        assert len(list(path.parent.glob("*.stac-item.json"))) == 1
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    said = good(run(*june(api, tmp_path)))
    assert said.count("the mask is there already, nothing is computed") == 3
    assert "0 masked, 3 there already, 0 failed." in said
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_json(run: Run, api: StacServer, tmp_path: Path) -> None:
    api.items[1]["assets"] = {}
    result = run(*june(api, tmp_path), "--json")
    assert result.exit_code == 3
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["scene"] for line in lines] == [item["id"] for item in api.items]
    assert [line["status"] for line in lines] == ["masked", "failed", "masked"]
    assert "no bands" in lines[1]["reason"]
    (first,) = [path for path in documents(tmp_path) if str(path) == lines[0]["document"]]
    document = yaml.safe_load(first.read_text(encoding="utf-8"))
    assert document["id"] == lines[0]["mask_id"]
    assert document["lineage"]["level2"] == [lines[0]["scene_id"]]
    assert sum(lines[0]["percent"].values()) == pytest.approx(100, abs=0.02)
    assert lines[0]["offset_source"] == "earthsearch:boa_offset_applied is true"
    assert "Masking" in result.stderr


def test_one_scene_that_fails_does_not_stop_the_others(
    run: Run, api: StacServer, bands: Path, shared: Path, tmp_path: Path
) -> None:
    """Each kind of fault, in one search with good scenes around it."""
    template = shared / "metadata" / "eodm" / "S2A_39QTA_20230628_0_L2A.json"
    content = (bands / "B04.tif").read_bytes()
    cut = tmp_path / "cut"
    cut.mkdir()
    for path in bands.glob("*.tif"):
        (cut / path.name).symlink_to(path)
    (cut / "B04.tif").unlink()
    (cut / "B04.tif").write_bytes(content[: len(content) // 2])
    api.folders["cut"] = cut
    api.folders |= {"error": bands, "gone": bands}
    api.broken |= {"/error/B03.tif": 500, "/gone/B08.tif": 404}
    api.add(template, "error", id="S2A_39QTA_ERROR")
    api.add(template, "gone", id="S2A_39QTA_GONE")
    api.add(template, "cut", id="S2A_39QTA_CUT")
    api.add(template, "b", id="S2A_39QTA_BARE")["assets"] = {}
    api.add(template, "b", id="S2A_39QTA_20230628_0_L1C")
    api.flaky["/b/B02.tif"] = 1  # no fault: tried again
    result = run(*june(api, tmp_path / "out"))
    assert result.exit_code == 3, result.output
    lines = [line for line in result.stderr.splitlines() if line.startswith("Error:")]
    reasons = {
        "S2A_39QTA_ERROR": r"cannot read .*/error/B03.tif.*500",
        "S2A_39QTA_GONE": r"cannot read .*/gone/B08.tif.*404",
        "S2A_39QTA_CUT": r"cannot read",
        "S2A_39QTA_BARE": r"has no bands of Sentinel-2",
        "S2A_39QTA_20230628_0_L1C": r"level 1C",
    }
    assert len(lines) == len(reasons)
    for line, (name, reason) in zip(lines, reasons.items(), strict=True):
        assert re.search(f"Error: .*{name}.* {reason}", line), line
    assert "3 masked, 0 there already, 5 failed." in result.stdout
    assert len(documents(tmp_path / "out")) == 3
    assert not list((tmp_path / "out").rglob(".*"))


def test_nothing_succeeds(run: Run, api: StacServer, tmp_path: Path) -> None:
    api.broken["/b/"] = 404
    assert run(*june(api, tmp_path)).exit_code == 1
    assert not documents(tmp_path)
    api.items.clear()
    assert "has no item of sentinel-2-c1-l2a or sentinel-2-l2a" in failure(
        run(*june(api, tmp_path))
    )


def test_an_api_that_cannot_be_reached(run: Run, tmp_path: Path) -> None:
    nowhere = StacServer()
    nowhere.url = "http://127.0.0.1:9"
    line = failure(run(*june(nowhere, tmp_path)))
    assert re.search(r"http://127.0.0.1:9 cannot be reached: .*refused", line)
    assert len(line) < 200


def test_a_folder_and_its_index(run: Run, cube: Cube, tmp_path: Path) -> None:
    """One scene; the mask is that which other ways make of it."""
    config = cube.folder / "datacube.conf"
    said = good(
        run("mask", cube.folder / "june", "-o", cube.folder / "products", "--index", "-C", config)
    )
    assert "the mask is there already" in said
    assert str(cube.masks["june"].local_path) in said


def test_a_folder_that_does_not_tell_its_date(run: Run, cube: Cube, tmp_path: Path) -> None:
    scene = tmp_path / "somewhere"
    shutil.copytree(cube.folder / "june", scene, ignore=shutil.ignore_patterns("scene.json"))
    dated = good(run("mask", scene, "-o", tmp_path, "--datetime", "2024-06-15T10:10:31Z"))
    undated = good(run("mask", scene, "-o", tmp_path))
    assert "its date is not known and stands as 1970-01-01; --datetime says it" in undated
    assert "1970" not in dated


def test_an_indexed_mask_stays_where_it_is(run: Run, cube: Cube, tmp_path: Path) -> None:
    """While its files are whole, a copy made elsewhere does not take its place."""
    mask, config = cube.masks["june"], cube.folder / "datacube.conf"
    said = good(
        run("mask", cube.folder / "june", "-o", tmp_path, "--index", "-C", config, "--json")
    )
    found = json.loads(said)
    assert (found["status"], found["document"]) == ("found", str(mask.local_path))
    assert not list(tmp_path.iterdir())
    assert cube.dc.index.datasets.get(mask.id).uri == mask.uri


def test_index_a_mask_whose_scene_is_not_indexed(
    run: Run, cube: Cube, api: StacServer, tmp_path: Path
) -> None:
    config = database(cube, "commands_index", tmp_path)
    out = tmp_path / "out"
    with contextlib.closing(Datacube(config=str(config), validate_connection=False)) as dc:
        _forget_other_databases()
        dc.index.init_db()
        command = [
            "mask",
            f"{api.url}/items/{api.items[0]['id']}",
            "-o",
            out,
            "--index",
            "-C",
            config,
        ]
        assert "cleansat product add" in failure(run(*command))
        assert not (out / "s2_l2a_ucl").exists()
        add_product(dc, product_definition("s2_l2a_ucl"))
        for _ in range(2):
            good(run(*command))
            (mask,) = dc.find_datasets(product="s2_l2a_ucl")
            assert [mask.local_path] == documents(out)
        dc.index.datasets.archive([mask.id])
        moved = out.rename(tmp_path / "moved")
        good(run(*command[:2], "-o", moved, *command[4:]))
        (mask,) = dc.find_datasets(product="s2_l2a_ucl")
        assert [mask.local_path] == documents(moved)
        recalled = odc_cleansat.recall(dc, resolution=20)
        assert (recalled.ucl.values != 0).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "x"], "give SCENE, or --bbox and --time"),
        (["--bbox", "1,2,3,4", "-o", "x"], "give SCENE, or --bbox and --time"),
        (["scene", "--time", "2024", "-o", "x"], "not both"),
        (
            ["--bbox", "13.8,47.7,13.6,47.9", "--time", "2024", "-o", "x"],
            "west, south, east and north",
        ),
        (["--bbox", "1,2,3", "--time", "2024", "-o", "x"], "write west,south,east,north"),
        (["--bbox", "1,2,3,4", "--time", "2024", "--limit", "0", "-o", "x"], "--limit"),
        (
            ["--bbox", "1,2,3,4", "--time", "2024", "--datetime", "2024-01-01", "-o", "x"],
            "--datetime",
        ),
        (["scene"], "--out"),
    ],
)
def test_wrong_usage_of_mask(run: Run, arguments: list[str], message: str) -> None:
    assert message in failure(run("mask", *arguments), code=2)


def test_a_scene_that_is_not_there_and_no_model(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert "there is no" in failure(run("mask", tmp_path / "x.json", "-o", out))
    assert "unet-efficientnetb4" in failure(run("mask", tmp_path, "--model", "x", "-o", out))
    assert "no band files" in failure(run("mask", tmp_path, "-o", out))
    (tmp_path / "x.tif").write_bytes(b"II*\0\xd0\xff")
    assert "is no text" in failure(run("mask", tmp_path / "x.tif", "-o", out))
    (tmp_path / "file").write_text("in the way")
    assert "cannot make the folder" in failure(run("mask", tmp_path, "-o", tmp_path / "file" / "x"))


def test_as_a_program(cube: Cube, tmp_path: Path) -> None:
    """As users start it: nothing but its own lines, though libraries warn."""
    result = subprocess.run(
        [Path(sys.executable).parent / "cleansat", "mask", cube.folder / "west", "-o", tmp_path],
        capture_output=True, text=True, check=False, env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "Warning" not in result.stderr
    assert len(documents(tmp_path)) == 1


def test_the_network_s_own_answer(run: Run, bands: Path, tmp_path: Path) -> None:
    """It is a mask of its own, and says nothing of light."""
    how = ["mask", bands, "--offset", 0, "-o", tmp_path, "--json"]
    refined, plain = (json.loads(run(*how, *more).stdout) for more in ([], ["--plain"]))
    assert refined["mask_id"] != plain["mask_id"]
    assert refined["light"] == "eo:sun_azimuth, eo:sun_elevation"
    assert plain["light"] is None
    assert len(documents(tmp_path)) == 2


def test_angles_that_cannot_be_right_are_said(run: Run, bands: Path, tmp_path: Path) -> None:
    scene = tmp_path / "scene"
    shutil.copytree(bands, scene)
    recorded = json.loads((scene / "scene.json").read_text())
    (scene / "scene.json").write_text(json.dumps({**recorded, "sun_elevation": -20}))
    done = run("mask", scene, "--offset", 0, "-o", tmp_path / "masks")
    assert done.exit_code == 0, done.output
    assert "Warning: shadow is left as the network gave it" in done.stderr
    assert "below the horizon" in done.stderr


def test_errors_are_objects_for_programs(run: Run, tmp_path: Path) -> None:
    result = run("--log-format", "json", "mask", "nowhere", "-o", tmp_path / "out")
    assert result.exit_code == 1
    told = json.loads(result.stderr)
    assert (told["level"], told["command"]) == ("error", "mask")
    assert told["message"].startswith("there is no nowhere")


@pytest.mark.usefixtures("fast_network")
def test_a_doubt_about_reflectance_is_shown_each_time(run: Run, tmp_path: Path) -> None:
    folder = SimulatedScene(shape=(600, 600), seed=1).write(tmp_path / "dim")
    with rasterio.open(folder / "B12.tif", "r+") as file:
        file.write(1000 + (file.read(1) - 1000) // 10, 1)
    first = run("mask", folder, "-o", tmp_path / "out")
    assert "in doubt:" not in good(first)
    assert "swir22 is less than a fifth" in first.stderr
    said = good(run("mask", folder, "-o", tmp_path / "out"))
    assert "in doubt: the values look wrong: swir22 is less than a fifth" in said
    line = json.loads(run("mask", folder, "-o", tmp_path / "out", "--json").stdout)
    assert line["status"] == "found"
    assert line["doubt"].startswith("the values look wrong: swir22")
