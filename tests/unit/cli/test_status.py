"""`cleansat status`: counts for people and for programs."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

from calling import Run, failure, good

import odc_cleansat
from odc_cleansat.batch import Failure
from odc_cleansat.cube.index import add_dataset
from odc_cleansat.models.former import FORMER
from odc_cleansat.products import accept
from odc_cleansat.products.job import MaskJob
from odc_cleansat.scenes.stac import item_scene, parse_item
from unit.archive import Archive
from unit.item_lists import scene_items, write_list


def test_counts_of_a_month(archive: Archive, invoke: Run, tmp_path: Path) -> None:
    month, scenes = archive.scenes(3)
    mask = add_dataset(archive.dc, MaskJob(scenes[0], tmp_path).run())
    listed = tmp_path / "failures.jsonl"
    failures = [
        Failure(scenes[1].id, "the second", None, "mask", "SceneError", "cannot read it"),
        Failure(scenes[0].id, "masked since", None, "mask", "SceneError", "cannot read it"),
        Failure(uuid.uuid4(), "of another month", None, "mask", "SceneError", "cannot read it"),
    ]
    listed.write_text("".join(f"{each.to_json()}\n" for each in failures))
    command = ("status", "--time", month, "--failures", listed)
    said = good(invoke(*command)).splitlines()
    assert [line.split() for line in said[:7]] == [
        ["scenes", "3"], ["masked", "1"], ["missing", "2"], ["failed", "1"],
        ["accepted", "0"], ["rejected", "0"], ["unreviewed", "1"],
    ]  # fmt: skip
    assert said[7:] == ["  failed: the second: cannot read it"]
    accept(mask, by="me")
    counts = json.loads(good(invoke(*command, "--json")))
    assert counts["product"] == "s2_l2a"
    assert (counts["masked"], counts["accepted"], counts["unreviewed"]) == (1, 1, 0)


def test_masks_by_the_former_default_are_told_of(
    archive: Archive, invoke: Run, tmp_path: Path
) -> None:
    month, scenes = archive.scenes(2)
    add_dataset(archive.dc, MaskJob(scenes[0], tmp_path, FORMER[0]).run())
    command = ("status", "--time", month, "--failures", tmp_path / "none")
    status = invoke(*command)
    assert "missing          2" in status.stdout
    says = f"1 of the scenes without a mask by the default model have one by another. The default model was once {FORMER[0]}"
    assert says in status.stderr
    assert f"Pass --model {FORMER[0]} to go on" in status.stderr
    counts = json.loads(good(invoke(*command, "--json")))
    assert counts["by_former_default"] == {FORMER[0]: 1}
    going_on = invoke(*command, "--model", FORMER[0])
    assert "masked           1" in going_on.stdout
    assert not going_on.stderr
    dry = good(invoke("run", "--time", month, "-o", tmp_path, "--dry-run"))
    assert "0 masked already, 2 to mask" in dry
    assert says in dry
    summary = json.loads(
        invoke("run", "--time", month, "-o", tmp_path, "--dry-run", "--json").stdout
    )
    assert summary["by_former_default"] == {FORMER[0]: 1}


def test_the_scenes_without_a_mask_are_listed(
    archive: Archive, invoke: Run, tmp_path: Path
) -> None:
    month, scenes = archive.scenes(3)
    listed = tmp_path / "failures.jsonl"
    second = Failure(scenes[1].id, "the second", None, "mask", "SceneError", "cannot read it")
    listed.write_text(f"{second.to_json()}\n")
    command = ("status", "--time", month, "--failures", listed, "--missing")
    said = good(invoke(*command)).splitlines()
    assert said[2].split() == ["missing", "3"]
    assert said[7] == "  failed: the second: cannot read it"
    assert [line.split(": ")[-1] for line in said[8:]] == [str(scenes[0].id), str(scenes[2].id)]
    assert good(invoke(*command, "--quiet")).splitlines() == said[7:]
    counts, *each = (json.loads(line) for line in good(invoke(*command, "--json")).splitlines())
    assert counts["missing"] == 3
    assert [(one["state"], one["scene"]) for one in each] == [
        ("failed", str(scenes[1].id)), ("missing", str(scenes[0].id)), ("missing", str(scenes[2].id)),
    ]  # fmt: skip


def test_a_list_is_counted_in_the_catalogue_of_its_masks(run: Run, tmp_path: Path) -> None:
    documents = scene_items(tmp_path, 4)
    bare = documents[3] | {"assets": {"B02": documents[3]["assets"]["B02"]}}
    path = write_list(tmp_path / "items.parquet", [*documents[:3], bare])
    store = tmp_path / "masks"
    command = ("status", "--items", path, "--catalog", store, "--failures", tmp_path / "none")
    assert "there is no catalogue" in failure(run(*command), code=1)
    scenes = [item_scene(parse_item(each, "")) for each in documents[:3]]
    made = [MaskJob.of_scene(each, store).run() for each in scenes[:2]]
    for document, scene in zip(made, scenes, strict=False):
        odc_cleansat.open_catalog(store).add(document, scene.dataset)
    accept(made[0], by="me")
    said = good(run(*command)).splitlines()
    assert [line.split() for line in said[:7]] == [
        ["scenes", "4"], ["masked", "2"], ["missing", "2"], ["failed", "1"],
        ["accepted", "1"], ["rejected", "0"], ["unreviewed", "1"],
    ]  # fmt: skip
    assert said[7].startswith("  failed: scene-4: ")
    third = good(run(*command, "--time", "2024-06-03", "--missing", "--json")).splitlines()
    counts, missing = (json.loads(line) for line in third)
    assert (counts["product"], counts["items"], counts["missing"]) == (None, str(path), 1)
    assert missing == {"state": "missing", "scene": str(scenes[2].dataset.id), "label": "scene-3"}


def test_a_list_says_where_its_masks_are(run: Run, tmp_path: Path) -> None:
    command = ("status", "--items", tmp_path / "x.parquet")
    assert "--items needs --catalog STORE" in failure(run(*command), code=2)
    both = (*command, "--catalog", tmp_path, "--product", "s2_l2a")
    assert "in place of --product" in failure(run(*both), code=2)
