"""A datacube of small scenes for the tests of batch runs and of their commands."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING

import rasterio

from odc_cleansat.batch import Request
from odc_cleansat.cube.embedded import CONFIG_NAME
from odc_cleansat.cube.index import add_dataset
from odc_cleansat.models.former import FORMER
from odc_cleansat.products.job import MaskJob
from odc_cleansat.products.product import MaskProduct
from odc_cleansat.scenes.band_folder import open_scene, write_scene_document
from odc_cleansat.scenes.files import local_path
from odc_cleansat.storage.eo3 import MASK_PRODUCT
from odc_cleansat.synthetic.scene import SimulatedScene

if TYPE_CHECKING:
    from datacube import Datacube
    from datacube.model import Dataset

CLEANSAT = Path(sys.executable).parent / "cleansat"
PATIENCE = 180
"""Seconds that processes have to come up and do their first; a busy machine has taken more than a minute."""


def request(month: str, root: Path | str = "", **settings: object) -> Request:
    """A request for the masks of a month."""
    return Request("s2_l2a", root, query={"time": month}, **settings)  # type: ignore[arg-type]


def written(root: Path) -> int:
    """The number of masks under a folder."""
    # Not by `rglob`, which fails where a folder goes while it looks.
    files = (name for _, _, names in os.walk(root) for name in names)
    return sum(name.endswith(".odc-metadata.yaml") for name in files)


def await_mask(root: Path, process: subprocess.Popen[str]) -> None:
    """Wait until one more mask is written, or the process has ended; that costs less than asking the datacube."""
    before, until = written(root), monotonic() + PATIENCE
    while written(root) == before and process.poll() is None:
        assert monotonic() < until
        sleep(0.02)


@contextmanager
def masked_before(dc: Datacube, scene: Dataset, folder: Path) -> Iterator[Dataset]:
    """A mask of a scene in the index as long as this lasts, by the model that was once the default."""
    mask = add_dataset(dc, MaskJob(scene, folder, FORMER[0]).run())
    try:
        yield mask
    finally:
        dc.index.datasets.purge([mask.id], allow_delete_active=True)


@dataclass
class Archive:
    """A datacube of small scenes, of which each test makes some for itself."""

    dc: Datacube
    folder: Path
    _months: Iterator[int] = field(default_factory=lambda: iter(range(36)))

    def scenes(self, count: int, size: int = 120) -> tuple[str, list[Dataset]]:
        """New scenes in a month of their own, and that month."""
        years, month_of_year = divmod(next(self._months), 12)
        month = f"{2024 + years}-{month_of_year + 1:02d}"
        found = []
        for day in range(1, count + 1):
            scene = SimulatedScene(
                shape=(size, size + 60),
                seed=day,
                datetime=f"{month}-{day:02d}T10:10:31Z",
                origin=(399960.0 + 6000 * day, 5300040.0),
            )
            folder = scene.write(self.folder / "scenes" / f"{month}-{day:02d}")
            document = write_scene_document(open_scene(folder), self.folder / "documents")
            found.append(add_dataset(self.dc, document))
        return month, found

    def masks(self, time: str) -> list[Dataset]:
        """The indexed masks of a time."""
        found: list[Dataset] = self.dc.find_datasets(product=MASK_PRODUCT, time=time)
        return found

    def check(self, time: str, count: int, root: Path, unindexed: int = 0) -> None:
        """So many masks, each once, indexed and on disk, whole and open; on disk perhaps some that are not indexed yet."""
        masks = self.masks(time)
        scenes = {mask.metadata_doc["properties"]["cleansat:scene"] for mask in masks}
        assert len(masks) == len(scenes) == count
        for mask in masks:
            path = Path(local_path(mask.uri))
            assert MaskProduct(path.parent).is_intact()
            with rasterio.open(path.parent / mask.measurements["ucl"]["path"]) as file:
                assert file.read(1).any()
        assert count <= written(root) <= count + unindexed

    def call(self, *arguments: object, **options: object) -> subprocess.Popen[str]:
        """Start the command line, in a process group of its own."""
        return subprocess.Popen(
            [CLEANSAT, *map(str, arguments), "-C", str(self.folder / CONFIG_NAME)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
            # Whoever runs the tests in the background may have them ignore it, which is inherited.
            cwd=self.folder, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler), **options,
        )  # fmt: skip
