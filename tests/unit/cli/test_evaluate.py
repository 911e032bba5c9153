"""`cleansat evaluate`, called as from the shell."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import click
import numpy as np
import pytest
from calling import Run, failure, good

from odc_cleansat.cli.evaluate import command
from odc_cleansat.evaluate.mappings import MAPPINGS
from odc_cleansat.evaluate.pairing import LAYOUTS
from unit.evaluate.helpers import GRID, blobs, save


@pytest.fixture
def run(run: Run) -> Run:
    return partial(run, "evaluate")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three scenes: label, a mask with its own codes, and another grid's."""
    folder = tmp_path_factory.mktemp("scenes")
    for i, name in enumerate("abc"):
        label = blobs(i, values="1123")
        save(folder / name / "label.tif", label)
        noisy = label.copy()
        noisy[np.random.default_rng(i).random(label.shape) < 0.1] = 1
        save(folder / name / "SCL.tif", np.array([0, 4, 9, 3, 11, 6, 10], "uint8")[noisy])
        save(folder / "masks" / f"{name}.tif", label[::2, ::2], GRID.zoom_out(2))
        save(folder / "shadow" / f"{name}.tif", (label == 3).astype("uint8"))
    return folder


def test_one_scene(run: Run, scenes: Path) -> None:
    said = good(run("--label", scenes / "a/label.tif", "--pred", f"SCL={scenes}/a/SCL.tif:scl"))
    assert "1 scene, " in said
    assert "no intervals" in said
    for title in (
        "cloud: all pixels",
        "shadow: all pixels",
        "contaminated",
        "clear",
        "shadow: edges",
    ):
        assert title in said
    assert max(map(len, said.splitlines())) <= 100
    assert "nan" not in said.lower()


def test_many_scenes_and_predictors(run: Run, scenes: Path, tmp_path: Path) -> None:
    arguments = [
        "--label", f"{scenes}/{{scene}}/label.tif",
        "--pred", f"UCL={scenes}/masks", "--pred", f"SCL={scenes}/{{scene}}/SCL.tif:scl",
    ]  # fmt: skip
    said = good(run(*arguments, "-o", tmp_path / "out"))
    assert "3 scenes" in said
    assert "median of the scenes" in said
    assert "so few that they are rough" in said
    for suffix in ("md", "json", "csv", "png"):
        path = tmp_path / "out" / f"evaluation.{suffix}"
        assert path.stat().st_size > 500
        assert str(path) in said
    found = json.loads(good(run(*arguments, "--json")))
    assert found == json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert found["scenes"] == ["a", "b", "c"]
    assert set(found["predictors"]) == {"UCL", "SCL"}
    other = json.loads(good(run(*arguments, "--json", "--seed", 1, "--draws", 200)))
    assert other["protocol"]["bootstrap"] == {"draws": 200, "seed": 1}
    for mine, theirs in zip(found["results"], other["results"], strict=True):
        assert mine["value"] == theirs["value"]
    assert found["results"] != other["results"]


def test_a_label_that_knows_only_shadow(run: Run, scenes: Path) -> None:
    arguments = ["--label", scenes / "shadow", "--pred", f"UCL={scenes}/masks", "--json"]
    for mapping in ("shadow-label", "0=clear,1=shadow"):
        found = json.loads(good(run(*arguments, "--label-mapping", mapping)))
        assert {r["question"] for r in found["results"]} == {"shadow"}
    said = good(run(*arguments[:-1], "--label-mapping", "shadow-label"))
    assert "Not asked, as label or predictions do not know it: cloud, contaminated, clear." in said


def test_the_same_mapping_for_all(run: Run, scenes: Path, tmp_path: Path) -> None:
    (tmp_path / "scl.yaml").write_text("4: clear\n9: cloud\n3: shadow\n")
    label = ["--label", scenes / "a/label.tif", "--json"]
    by_name = run(*label, "--pred", f"SCL={scenes}/a/SCL.tif:scl")
    for mapping in ("scl", "4=clear,9=cloud,3=shadow", tmp_path / "scl.yaml"):
        found = run(*label, "--pred", f"SCL={scenes}/a/SCL.tif", "--mapping", mapping)
        assert json.loads(good(found))["results"] == json.loads(good(by_name))["results"]
    inline = run(*label, "--pred", f"SCL={scenes}/a/SCL.tif:4=clear,9=cloud,3=shadow")
    assert json.loads(good(inline))["results"] == json.loads(good(by_name))["results"]


def test_layouts(run: Run, tmp_path: Path) -> None:
    values = blobs(0, values="1236")
    sen = np.array([9, 0, 1, 3, 9, 9, 2], "uint8")[values]
    for roi in ("ROI_0001", "ROI_0002"):
        save(tmp_path / "high" / roi / "S2_ID" / "labels" / "manual_hq.tif", sen)
        save(tmp_path / "masks" / f"{roi}_S2_ID.tif", values)
    found = json.loads(
        good(run("--label", tmp_path / "high", "--layout", "cloudsen12", "--pred", f"UCL={tmp_path}/masks", "--json"))
    )  # fmt: skip
    assert found["scenes"] == ["ROI_0001/S2_ID", "ROI_0002/S2_ID"]
    assert found["label"]["mapping"] == "cloudsen12"
    assert {
        r["value"]
        for r in found["results"]
        if (r["metric"], r["protocol"], r["ignored_px"]) == ("f1", "pooled", 0)
    } == {1.0}

    save(tmp_path / "train_labels" / "abcd.tif", np.isin(values, (2, 6)).astype("uint8"), None)
    save(tmp_path / "chips" / "abcd.tif", values, None)
    found = json.loads(
        good(run("--label", tmp_path, "--layout", "on-cloud-n", "--pred", f"UCL={tmp_path}/chips", "--json"))
    )  # fmt: skip
    assert found["scenes"] == ["abcd"]
    assert {r["question"] for r in found["results"]} == {"cloud"}


def test_points(run: Run, scenes: Path, tmp_path: Path) -> None:
    (tmp_path / "points.csv").write_text(
        "scene,row,column,class\n"
        + "".join(f"a,{i},{i},cloud\nb,{i},{i},shadow\n" for i in range(150))
    )
    arguments = [
        "--points",
        tmp_path / "points.csv",
        "--pred",
        f"SCL={scenes}/{{scene}}/SCL.tif:scl",
    ]
    said = good(run(*arguments))
    assert "2 scenes, 300 points with a label" in said
    single = [*arguments[:2], "--pred", f"SCL={scenes}/a/SCL.tif:scl"]
    assert "2 scenes with labels and one file" in failure(run(*single))
    found = json.loads(good(run(*arguments, "--json")))
    assert found["unit"] == "point"
    (support,) = [
        r["value"] for r in found["results"]
        if (r["question"], r["protocol"], r["metric"]) == ("shadow", "pooled", "support")
    ]  # fmt: skip
    inside = blobs(1, values="1123")[np.arange(150), np.arange(150)] > 0
    assert support == inside.sum()


def test_what_goes_wrong(run: Run, scenes: Path, tmp_path: Path) -> None:
    label = ["--label", scenes / "a/label.tif"]
    pred = ["--pred", f"UCL={scenes}/masks/a.tif"]
    assert "give --label or --points" in failure(run(*pred), 2)
    assert "give --label or --points" in failure(run(*label, "--points", "x.csv", *pred), 2)
    assert "NAME=PATH" in failure(run(*label, "--pred", "ucl.tif"), 2)
    assert "given twice" in failure(run(*label, *pred, *pred), 2)
    assert "no mapping 'slc'" in failure(run(*label, "--pred", f"SCL={scenes}/a/SCL.tif:slc"), 2)
    assert "not a list of pixels" in failure(run(*label, *pred, "--ignore", "a"), 2)
    assert "no mapping 'x'" in failure(run(*label, *pred, "--label-mapping", "x"))
    assert "no file matches" in failure(
        run("--label", scenes / "shadow", "--pred", f"UCL={scenes}/a")
    )
    assert "no codes of a UCL" in failure(run(*label, "--pred", f"SCL={scenes}/a/SCL.tif"))
    assert "cannot read" in failure(run(*label, "--pred", f"UCL={tmp_path}/nowhere.tif"))
    assert "cannot read the points" in failure(run("--points", tmp_path / "no.csv", *pred))
    (tmp_path / "file").touch()
    assert "cannot write to" in failure(run(*label, *pred, "-o", tmp_path / "file" / "out"))
    no = save(scenes / "yes-no.tif", np.isin(blobs(0, values="1236"), (2, 6)).astype("uint8"))
    assert "--label-mapping shadow-label" in failure(run("--label", no, *pred), 2)
    good(run("--label", no, "--label-mapping", "0=clear,1=cloud", *pred))


def test_help_names_all_mappings_and_layouts() -> None:
    text = command.get_help(click.Context(command)) + (command.epilog or "")
    for name in MAPPINGS:
        assert name in text
    (layout,) = [p for p in command.params if p.name == "layout"]
    assert isinstance(layout.type, click.Choice)
    assert set(layout.type.choices) == set(LAYOUTS)
