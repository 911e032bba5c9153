"""Each notebook runs from its first cell to its last."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from conftest import Copy
from nbclient import NotebookClient

from odc_cleansat.cube.embedded import stop_cube
from odc_cleansat.synthetic.scene import SimulatedScene

NOTEBOOKS = sorted((Path(__file__).parents[2] / "docs" / "tutorials").glob("*.ipynb"))

DAYS = {
    "year": [f"2024-{month:02d}-15" for month in range(1, 13)],
    "many": [f"2024-{month:02d}-{day:02d}" for month in (6, 7) for day in (5, 15, 25)],
}
"""Dates of the scenes of a notebook, whose datacube is in a folder of its name."""


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_kept_without_outputs(path: Path) -> None:
    cells = nbformat.read(path, as_version=4).cells
    assert not [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(
    path: Path,
    example: Copy,
    initialised: Copy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("MPLBACKEND", raising=False)  # which Streamlit sets, and a kernel keeps
    cube = tmp_path / f"cleansat-{path.stem if path.stem in DAYS else 'cube'}"
    if path.stem in DAYS:
        initialised(cube)
        for day in DAYS[path.stem]:  # smaller than the notebook would make them
            scene = SimulatedScene(shape=(480, 480), seed=5, datetime=f"{day}T10:10:31Z")
            scene.write(cube / "simulated" / day)
    elif path.stem == "unclouded":
        example(cube)
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}},
        # By default outputs that take more than four seconds to arrive are dropped.
        iopub_timeout=120, raise_on_iopub_timeout=True,
    )  # fmt: skip
    try:
        client.execute()
        if not cube.exists():
            client.execute()  # run again, it finds what it made
    finally:
        stop_cube(cube)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) >= 3
    nbformat.write(notebook, tmp_path / "executed.ipynb")
    assert not [output.text for output in outputs if output.get("name") == "stderr"]
