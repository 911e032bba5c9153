"""`cleansat verify`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from calling import Run
from conftest import Cube
from datacube.model import Dataset

from odc_cleansat.cube.embedded import CONFIG_NAME
from odc_cleansat.cube.index import add_dataset
from odc_cleansat.errors import OutputError
from odc_cleansat.products import verification
from unit.products.helpers import one


def test_the_command(cube: Cube, run: Run, tmp_path: Path) -> None:
    written = cube.masks["june"].local_path.parent
    product = Path(shutil.copytree(written, tmp_path / "root" / written.name))
    good = run("verify", written.parent)
    assert good.exit_code == 0, good.output
    assert "  pixels     right       100.0000 %" in good.output
    assert "1 product(s): 1 right, 0 wrong" in good.output
    one(product, "*_thumbnail.png").unlink()
    bad = run("verify", "--no-pixels", product)
    assert bad.exit_code == 1
    assert "files      WRONG       missing: " in bad.output
    assert "pixels     not checked not asked for" in bad.output
    several = run("verify", "--no-pixels", product.parent, written)
    assert several.exit_code == 1
    line, count = several.output.splitlines()
    assert line.startswith(f"WRONG  {product}  files: missing: {written.name}_thumbnail.png")
    assert count == "2 product(s): 1 right, 1 wrong"
    quiet = run("verify", "--no-pixels", "--quiet", product.parent, written)
    assert (quiet.exit_code, quiet.output.splitlines()) == (1, [line])
    assert run("verify", "--no-pixels", "--quiet", written).output == ""
    as_json = run("verify", "--no-pixels", "--json", product, written).output.splitlines()
    reports = [json.loads(each) for each in as_json]
    assert [each["right"] for each in reports] == [False, True]
    assert "files" in [each["name"] for each in reports[0]["checks"] if each["right"] is False]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nowhere"], 1, "there is no mask product"),
        ([], 2, "give PATH, or --indexed"),
        (["x", "--indexed"], 2, "give PATH, or --indexed"),
        (["x", "--time", "2024"], 2, "--time and --bbox go with --indexed"),
    ],
)
def test_wrong_usage(
    run: Run, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    found = run("verify", *(tmp_path / a if a == "nowhere" else a for a in arguments))
    assert found.exit_code == code
    assert message in found.output


def test_what_could_not_be_checked_has_an_exit_code_of_its_own(
    cube: Cube, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(_: object) -> str:
        raise OutputError("the store does not answer")

    monkeypatch.setitem(verification._CHECKS, "files", unreachable)
    folders = [mask.local_path.parent for mask in cube.masks.values()]
    found = run("verify", "--no-pixels", *folders)
    assert found.exit_code == 3
    assert f"not checked  {folders[0]}  files: the store does not answer" in found.output
    assert "2 product(s): 0 right, 0 wrong, 2 not checked" in found.output


def test_the_masks_of_a_datacube(cube: Cube, run: Run) -> None:
    command = ("verify", "--no-pixels", "--indexed", "-C", cube.folder / CONFIG_NAME)
    assert run(*command).output == "2 product(s): 2 right, 0 wrong\n"
    june = run(*command, "--time", "2024-06")
    assert june.exit_code == 0
    assert str(cube.masks["june"].local_path.parent) in june.output
    assert run(*command, "--time", "2020").exit_code == 1
    document = cube.masks["june"].local_path
    text = document.read_text()
    try:
        document.write_text(text.replace("eo:gsd: 2.", "eo:gsd: 3."))
        found = run(*command, "--time", "2024-06")
        assert "properties.eo:gsd is 30.0 in EO3, 20.0 in the index" in found.output
    finally:
        document.write_text(text)
    assert add_dataset(cube.dc, document).id == cube.masks["june"].id


def test_scenes_elsewhere_are_opened_only_if_they_may_be(
    cube: Cube, run: Run, tmp_path: Path, fast_network: None
) -> None:
    """The scene is not near the copy of the mask, and the datacube knows it."""
    written = cube.masks["june"].local_path.parent
    copy = shutil.copytree(written, tmp_path / "a" / "b" / written.name)
    found = run("verify", copy)
    assert found.exit_code == 3, found.output
    assert "pixels     not checked the mask cannot be made again here: " in found.output
    assert (
        "is not opened: the mask names it, and it lies neither near the mask nor on its host"
        in found.output
    )
    assert "If you trust the mask, pass --fetch-scenes" in found.output
    assert "of the pixels are equal" in run("verify", "--fetch-scenes", copy).output
    indexed = run("verify", "--indexed", "--time", "2024-06", "-C", cube.folder / CONFIG_NAME)
    assert "of the pixels are equal" in indexed.output


def test_masks_without_a_location_are_passed_by(
    cube: Cube, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = Dataset(cube.masks["july"].product, cube.masks["july"].metadata_doc)
    monkeypatch.setattr("odc_cleansat.cube.query.find_masks", lambda *_: [lost, cube.masks["june"]])
    found = run("verify", "--no-pixels", "--indexed", "-C", cube.folder / CONFIG_NAME)
    assert found.exit_code == 3, found.output
    line, count = found.output.splitlines()
    assert line.startswith(f"not checked  {lost.id}  files: the dataset {lost.id} has no location")
    assert count == "2 product(s): 1 right, 0 wrong, 1 not checked"
