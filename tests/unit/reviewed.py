"""A datacube of three scenes with masks, for tests of verdicts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from odc_cleansat.cube.index import add_dataset
from odc_cleansat.products.job import MaskJob
from odc_cleansat.products.verdict_files import (
    SUFFIX,
)

if TYPE_CHECKING:
    from datacube import Datacube
    from datacube.model import Dataset


GRID = {"output_crs": "EPSG:32633", "resolution": 60}


DAYS = ("2024-06-01", "2024-06-11", "2024-06-21")


class Place:
    """Three scenes in a datacube and their masks on disk, with no verdicts at the beginning of a test."""

    def __init__(self, dc: Datacube, folder: Path) -> None:
        self.dc = dc
        self.folder = folder
        self.root = folder / "masks"
        self.scenes: list[Dataset] = []
        self.jobs: list[MaskJob] = []

    @property
    def folders(self) -> list[Path]:
        return [Path(str(job.folder)) for job in self.jobs]

    def index(self, *which: int) -> list[Dataset]:
        return [add_dataset(self.dc, self.jobs[i].document) for i in which]

    def files(self, i: int) -> list[Path]:
        return sorted(self.folders[i].glob(f"*{SUFFIX}"))

    def clean(self) -> None:
        for path in self.root.rglob(f"*{SUFFIX}"):
            path.unlink()
        self.dc.index.datasets.archive([job.id for job in self.jobs if self.dc.index.datasets.has(job.id)])  # fmt: skip
