"""`cleansat review`, and what other commands make of verdicts."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import rasterio
from calling import Run
from click.testing import CliRunner
from conftest import Cube

from odc_cleansat.batch import Request, plan
from odc_cleansat.cli.main import main
from odc_cleansat.cube.embedded import CONFIG_NAME
from odc_cleansat.errors import CubeError
from odc_cleansat.products.verdict_files import (
    accept,
    reject,
    verdicts,
)
from odc_cleansat.storage.eo3 import MASK_PRODUCT
from unit.review.helpers import page_data
from unit.reviewed import DAYS, Place


def test_run_only_what_was_accepted(place: Place, run: Run) -> None:
    config = ("-C", place.folder / CONFIG_NAME)
    options = (
        "run",
        "-o",
        place.root,
        "--only-accepted",
        "--failures",
        place.folder / "f",
        *config,
    )
    nothing = run(*options)
    assert nothing.exit_code == 0, nothing.output
    assert "0 accepted and to index, 0 rejected, 3 not reviewed or not written" in nothing.output
    accept(place.folders[0], by="me")
    reject(place.folders[1], by="me")
    dry = run(*options, "--dry-run")
    assert f"would index: {DAYS[0]}" in dry.output
    assert not place.dc.find_datasets(product=MASK_PRODUCT)
    done = run(*options, "--json")
    assert done.exit_code == 0, done.output
    summary = json.loads(done.stdout)
    assert {k: summary[k] for k in ("to_mask", "masked", "rejected", "unreviewed", "left")} == {
        "to_mask": 1, "masked": 1, "rejected": 1, "unreviewed": 1, "left": 0,
    }  # fmt: skip
    (indexed,) = place.dc.find_datasets(product=MASK_PRODUCT)
    assert indexed.id == place.jobs[0].id
    assert "1 indexed already, 0 accepted" in run(*options).output
    assert run(*options, "--workers", 2).exit_code == 2
    assert run(*options, "--no-index").exit_code == 2
    with pytest.raises(CubeError, match="only_accepted is about what is indexed"):
        plan(place.dc, Request("s2_l2a", place.root, index=False, only_accepted=True))


def test_status_counts_verdicts(place: Place, run: Run) -> None:
    place.index(0, 1)
    reject(place.folders[0], by="me")
    status = run("status", "-C", place.folder / CONFIG_NAME, "--failures", place.folder / "none", "--json")  # fmt: skip
    counts = json.loads(status.stdout)
    assert {k: counts[k] for k in ("masked", "missing", "accepted", "rejected", "unreviewed")} == {
        "masked": 2, "missing": 1, "accepted": 0, "rejected": 1, "unreviewed": 1,
    }  # fmt: skip


def test_export_only_what_was_accepted(place: Place, run: Run, tmp_path: Path) -> None:
    place.index(0, 1, 2)
    accept(place.folders[1], by="me")
    reject(place.folders[2], by="me")
    extent = place.scenes[0].extent.to_crs("EPSG:4326").boundingbox
    box = ",".join(str(round(each, 4)) for each in extent.bbox)
    options = ("--product", "s2_l2a", "--bbox", box, "--crs", "EPSG:32633", "--resolution", "60", "--bands", "red")  # fmt: skip
    for more, expected in (((), 2), (("--only-accepted",), 1)):
        out = tmp_path / str(expected)
        done = run("export", *options, *more, "-o", out, "-C", place.folder / CONFIG_NAME)
        assert done.exit_code == 0, done.output
        with rasterio.open(out / "observation_count.tif") as file:
            assert file.read(1).max() == expected
        assert f"median of {expected} observation(s)" in done.output


def test_commands_by_id_and_by_path(place: Place, run: Run) -> None:
    place.index(0, 1)
    config = ("-C", place.folder / CONFIG_NAME)
    short = str(place.jobs[0].id)[:8]
    said = run(
        "review", "reject", short, place.folders[1], "--note", "smoke", "--by", "me", *config
    )
    assert said.exit_code == 0, said.output
    assert said.stdout.splitlines() == [f"{place.jobs[i].id} rejected by me" for i in (0, 1)]
    shown = run("review", "show", place.folders[0])
    assert shown.stdout.splitlines()[0].endswith(": rejected")
    assert "reject by me: smoke" in shown.stdout
    as_json = run("review", "accept", place.folders[0], "--by", "you", "--json")
    assert json.loads(as_json.stdout)["verdict"] == "accept"
    listed = run("review", "show", short, "--json", *config)
    assert [json.loads(line)["by"] for line in listed.stdout.splitlines()] == ["me", "you"]
    assert run("review", "flag", place.folders[0], "--note", "?", "--by", "me").exit_code == 0
    table = run("review", "list", place.root).stdout.splitlines()
    assert [line.split()[0] for line in table[:3]] == ["accepted", "rejected", "unreviewed"]
    assert "(1 remark)" in table[0]
    assert table[3] == "1 accepted, 1 rejected, 1 unreviewed"
    known = run("review", "list", "--state", "rejected", "--json", *config)
    (document,) = map(json.loads, known.stdout.splitlines())
    assert document["id"] == str(place.jobs[1].id)
    assert document["verdict"]["note"] == "smoke"


def test_withdraw_a_verdict(place: Place, run: Run) -> None:
    assert run("review", "reject", place.folders[0], "--by", "me").exit_code == 0
    said = run("review", "withdraw", place.folders[0], "--by", "me", "--note", "a slip")
    assert said.stdout == f"{place.jobs[0].id} as before: verdict withdrawn by me\n"
    shown = run("review", "show", place.folders[0]).stdout.splitlines()
    assert shown[0].endswith(": unreviewed")
    assert "reject by me" in shown[1]
    assert "withdraw by me: a slip" in shown[2]
    nothing = run("review", "withdraw", place.folders[0], "--by", "me")
    assert nothing.exit_code == 1
    assert "there is no verdict by 'me' on" in nothing.stderr


def test_nothing_is_said_if_one_of_the_masks_is_unknown(place: Place, run: Run) -> None:
    place.index(0)
    wrong = run("review", "accept", place.jobs[0].id, "zebra", "-C", place.folder / CONFIG_NAME)
    assert wrong.exit_code == 1
    assert "no mask 'zebra'" in wrong.stderr
    assert verdicts(place.folders[0]) == []


def test_wrong_usage(place: Place, run: Run) -> None:
    assert run("review", "accept").exit_code == 2
    remark = run("review", "flag", place.folders[0], "--note", " ")
    assert remark.exit_code == 2
    assert "say what with --note" in remark.stderr
    several = run("review", "accept", place.root)
    assert several.exit_code == 1
    assert f"such as {place.root}/s2_l2a_ucl/" in several.stderr
    nowhere = run("review", "accept", "0d52f7c9", "-C", place.root / "no.conf")
    assert nowhere.exit_code == 1
    assert "named by its folder too" in nowhere.stderr
    assert run("review", "list", place.root, "--time", "2024").exit_code == 2
    place.index(0)
    nothing = run("review", "list", "--time", "1999", "-C", place.folder / CONFIG_NAME)
    assert nothing.exit_code == 1
    assert "no mask of s2_l2a_ucl matches --time 1999" in nothing.stderr


def test_a_path_that_is_not_there_is_no_question_for_a_datacube(tmp_path: Path) -> None:
    said = CliRunner().invoke(main, ["review", "accept", str(tmp_path / "nowhere")])
    assert said.exit_code == 1
    assert f"no mask product in {tmp_path / 'nowhere'}; give the folder" in said.output


def test_a_page_over_a_datacube(cube: Cube, run: Run, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    config = cube.folder / CONFIG_NAME
    done = run("review", "page", "--time", "2024-06", "-o", out, "--title", "A & B", "-C", config)
    assert done.exit_code == 0, done.output
    assert re.search(r"page.html: \d\.\d MB", done.output)
    data = page_data(out)
    (row,) = data["rows"]
    assert row["id"] == row["target"] == str(cube.masks["june"].id)
    assert row["scl"] is not None
    assert data["command"] == f"cleansat review VERDICT -C {config}"
    assert "<h1>A &amp; B</h1>" in out.read_text()
    wrong = run("review", "page", cube.folder, "--time", "2024")
    assert wrong.exit_code == 2


def test_a_page_over_a_folder(cube: Cube, run: Run, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    done = run("review", "page", cube.folder / "products", "-o", out)
    assert done.exit_code == 0, done.output
    assert len(page_data(out)["rows"]) == 2


def test_a_page_with_masks_by_others(cube: Cube, run: Run, tmp_path: Path) -> None:
    """Measurements of the scene, as a datacube knows them."""
    out = tmp_path / "page.html"
    asked = ("review", "page", "--time", "2024-06", "-o", out, "-C", cube.folder / CONFIG_NAME)
    done = run(*asked, "--other", "theirs=scl:scl")
    assert done.exit_code == 0, done.output
    (row,) = page_data(out)["rows"]
    (theirs,) = row["others"]
    assert (theirs["name"], theirs["agreement"]) == ("theirs", row["agreement"])
    wrong = run(*asked, "--other", "theirs=scl:slc")
    assert wrong.exit_code == 2
    assert "no mapping 'slc'" in wrong.output


def test_scenes_elsewhere_are_gaps_of_a_page(cube: Cube, run: Run, tmp_path: Path) -> None:
    written = cube.masks["june"].local_path.parent
    copy = shutil.copytree(written, tmp_path / "a" / "b" / written.name)
    out = tmp_path / "page.html"
    assert run("review", "page", copy, "-o", out).exit_code == 0
    (row,) = page_data(out)["rows"]
    (gap,) = row["gaps"]
    assert "is not opened: the mask names it" in gap
    assert gap.endswith("If you trust the mask, pass --fetch-scenes")
    assert row["scl"] is None
    assert run("review", "page", copy, "-o", out, "--fetch-scenes").exit_code == 0
    (row,) = page_data(out)["rows"]
    assert row["gaps"] == []
    assert row["scl"] is not None
