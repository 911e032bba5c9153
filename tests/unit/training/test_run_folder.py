"""The folder of a run, and files that are written whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from odc_cleansat.errors import ModelError
from odc_cleansat.training.export import export_model
from odc_cleansat.training.recipe import Recipe
from odc_cleansat.training.run_folder import replacing
from odc_cleansat.training.summary import SUMMARY
from unit.training.helpers import run

pytestmark = pytest.mark.usefixtures("no_curves")


@pytest.mark.parametrize(
    ("error", "raised"),
    [(OSError(28, "No space left on device"), ModelError), (ValueError("spoilt"), ValueError)],
)
def test_what_cannot_be_written_whole_replaces_nothing(
    error: Exception, raised: type[Exception], tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")

    def half() -> None:
        with replacing(path) as file:
            file.write(b"half")
            raise error

    with pytest.raises(raised, match=r"No space|spoilt"):
        half()
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
    assert path.read_bytes() == b"before"


def test_files_of_others_stay(tmp_path: Path) -> None:
    (tmp_path / "model.part").write_text("mine")
    with replacing(tmp_path / "model") as file:
        file.write(b"new")
    assert (tmp_path / "model.part").read_text() == "mine"
    assert (tmp_path / "model").read_bytes() == b"new"


def test_folders_that_cannot_be_used(tmp_path: Path, begun: Path, recipe: Recipe) -> None:
    from filelock import FileLock

    with FileLock(begun / ".lock"), pytest.raises(ModelError, match="another command is training"):
        run(recipe, begun)
    (begun / SUMMARY).write_text('{"name": "ti')
    with pytest.raises(ModelError, match=f"{SUMMARY} is spoilt"):
        export_model(recipe, begun)
    (begun / SUMMARY).unlink()
    checkpoint = begun / "checkpoint.pt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:10_000])
    with pytest.raises(ModelError, match="delete it to begin anew"):
        run(recipe, begun)
    checkpoint.unlink()
    checkpoint.mkdir()
    with pytest.raises(ModelError, match=r"cannot read .*directory") as caught:
        run(recipe, begun)
    assert "delete" not in str(caught.value)
