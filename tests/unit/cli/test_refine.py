"""`cleansat refine`: masks of their own, made once."""

from __future__ import annotations

from pathlib import Path

import pytest
from calling import Run, failure, good
from conftest import Cube

from odc_cleansat.batch.stop import Stop
from odc_cleansat.cube.refining import index_refined


def test_masks_are_refined_once(run: Run, cube: Cube, tmp_path: Path) -> None:
    config = ("-o", tmp_path, "-C", cube.folder / "datacube.conf")
    given = ("refine", "--time", "2024-07", "--no-index", *config)
    first = good(run(*given))
    assert "by 1 other dates" in first
    assert first.strip().endswith("1 refined.")
    assert good(run(*given)).strip() == "1 there already."
    assert len(list(tmp_path.rglob("*_ucl.tif"))) == 1
    [document] = tmp_path.rglob("*.odc-metadata.yaml")
    dataset, _ = index_refined(cube.dc, document)
    try:
        indexed = ("verify", "--indexed", "--no-pixels", "-C", cube.folder / "datacube.conf")
        assert good(run(*indexed)).strip() == "3 product(s): 3 right, 0 wrong"
    finally:
        cube.dc.index.datasets.archive([dataset.id])


def test_many_are_refined_together_and_a_stopped_run_goes_on(
    run: Run, cube: Cube, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ("refine", "--no-index", "-o", tmp_path, "-C", cube.folder / "datacube.conf")
    monkeypatch.setattr("odc_cleansat.cube.dates_together.TOGETHER", 1)
    with monkeypatch.context() as patched:
        asked: list[None] = []
        patched.setattr(Stop, "__call__", lambda stop: bool(asked) or bool(asked.append(None)))
        stopped = run(*given)
    assert stopped.exit_code == 130
    assert "Refining 2 masks, from" in stopped.stdout
    assert stopped.stdout.splitlines()[-2:] == [
        "1 refined.",
        "Stopped with 1 left; the same command goes on from here.",
    ]
    assert good(run(*given)).strip().endswith("1 refined, 1 there already.")
    assert len(list(tmp_path.rglob("*_ucl.tif"))) == 2


def test_without_another_date_nothing_is_made(run: Run, cube: Cube, tmp_path: Path) -> None:
    config = ("-o", tmp_path, "-C", cube.folder / "datacube.conf")
    said = good(run("refine", "--time", "2024-06", "--earlier", *config))
    assert said.strip() == "1 without another date."
    said = good(run("refine", "--model", "unet-mobilenetv2-l2a", *config))
    assert "No scene has a mask to refine" in said
    assert "no dataset of s2_l2a matches" in failure(run("refine", "--time", "1999", *config))
    assert not list(tmp_path.rglob("*.tif"))
