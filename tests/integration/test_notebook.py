"""The notebook runs from its first cell to its last."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from conftest import Copy
from nbclient import NotebookClient

from odc_cleansat.cube.embedded import stop_cube

NOTEBOOKS = sorted((Path(__file__).parents[2] / "docs" / "tutorials").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(path: Path, example: Copy, tmp_path: Path) -> None:
    example(tmp_path / "cleansat-cube")
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    )
    try:
        client.execute()
    finally:
        stop_cube(tmp_path / "cleansat-cube")
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) >= 5
    nbformat.write(notebook, tmp_path / "executed.ipynb")
    assert not [output.text for output in outputs if output.get("name") == "stderr"]
