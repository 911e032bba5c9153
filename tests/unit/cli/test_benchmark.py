"""`cleansat benchmark`."""

from __future__ import annotations

import json
from pathlib import Path

from benchmark_data import a_scene, write_taco
from calling import Run, failure, good


def test_scores_beside_published_ones(tmp_path: Path, run: Run) -> None:
    write_taco(tmp_path / "cloudsen12-l2a.taco", [a_scene(7), a_scene(8)])
    arguments = ("benchmark", "cloudsen12", tmp_path, "--model", "unet-mobilenetv2-l2a")
    text = good(run(*arguments))
    assert "unet-mobilenetv2-l2a (here)" in text
    assert "Fmask 4" in text
    found = json.loads(good(run(*arguments, "--json")))
    assert {row["question"] for row in found["rows"]} == {
        "cloud",
        "shadow",
        "contaminated",
        "clear",
    }
    assert found["published"][0]["maker"] == "UNetMobV2"
    assert found["mean_iou"] is None, "the model has three classes"


def test_data_that_are_not_there(tmp_path: Path, run: Run) -> None:
    arguments = ("benchmark", "pixbox", tmp_path, "--model", "unet-efficientnetb4-l1c-6b")
    assert "PixBox-S2-CMIX.zip" in failure(run(*arguments))
    assert "cloudsen12" in failure(run("benchmark", "cloudsn12", tmp_path, "--model", "x"), 2)
