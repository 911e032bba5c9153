"""The mask of one dataset as a product, read from the dataset's own files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from odc.geo.geobox import GeoBox

from ..masks.classify import classify
from ..models.engines import get_engine
from ..models.model import Model
from ..models.registry import get_model
from ..scenes.files import SceneFiles, reading
from ..scenes.offset import Offset
from ..scenes.scene import Scene
from ..storage.eo3 import native_grids, read_document
from ..storage.folder import Folder
from .identity import mask_folder, mask_id
from .product import document_in
from .write import Provenance, write_mask

if TYPE_CHECKING:
    from datacube.model import Dataset


MASK_RESOLUTION = 20.0
"""Pixel size of a mask in metres where there is no SCL whose grid it could take."""


class MaskJob:
    """What mask a dataset would get, and where; nothing is read or computed yet.

    Parameters
    ----------
    dataset
        A scene.
    root
        Folder under which products are kept: a path, or a URL such as ``s3://bucket/prefix``.
    model
        A model or its name; by default the best for the scene's bands.
    offset
        Radiometric offset in digital numbers; by default the metadata decide.

    Raises
    ------
    SceneError
        If the scene lacks a band that the model needs.
    ModelError
        If there is no such model.
    """

    def __init__(
        self,
        dataset: Dataset,
        root: Folder | Path | str,
        model: str | Model | None = None,
        offset: float | None = None,
    ) -> None:
        self.dataset = dataset
        self.root = Folder(root)
        self.files: SceneFiles = SceneFiles.of_dataset(dataset)
        self.model: Model = get_model(model, bands=self.files.files)
        self.bands = self.files.wanted(self.model.bands)
        self.files.check_level(self.model.name, self.model.level)
        self.offset: Offset = self.files.offset(offset)
        self.source = read_document(dataset.metadata_doc)
        self.grid: GeoBox = mask_grid(dataset)
        pixel = abs(self.grid.resolution.x)
        self.id = mask_id(dataset.id, self.model, pixel, self.offset.value)
        self.folder: Folder = self.root / mask_folder(self.id, self.source)

    @classmethod
    def of_scene(
        cls,
        scene: Scene,
        root: Folder | Path | str,
        model: str | Model | None = None,
        offset: float | None = None,
    ) -> MaskJob:
        """The job for a scene that no datacube knows; parameters and errors as of the class."""
        found = scene.files.offset(offset)
        job = cls(scene.dataset, root, model, found.value)
        job.offset = found  # the same number, with what decided it
        return job

    @property
    def document(self) -> Path | str | None:
        """The document of the mask, path or URL, if it is there and whole; see :func:`is_intact`."""
        return document_in(self.folder)

    def run(self, progress: Callable[[int, int], None] | None = None) -> Path | str:
        """Make the mask and write it, complete or not at all.

        Each band is read on its native grid, window by window, so that memory does not grow with
        the scene.

        Parameters
        ----------
        progress
            Called with the number of windows done and the number there are.

        Returns
        -------
        Path or str
            The EO3 document.

        Raises
        ------
        SceneError
            If a file cannot be read, or no pixel has data.
        OutputError
            If the mask cannot be written.
        """
        self.root.check_name()
        engine = get_engine(self.model)
        with reading(self.files.label):
            mask = classify(
                {name: file.open().data for name, file in self.bands.items()},
                model=self.model,
                geobox=self.grid,
                confidence=True,
                offset=self.offset.value,
                progress=progress,
            )
        provenance = Provenance(
            self.offset, engine.name, engine.precision, self.bands, self.files.scl
        )
        return write_mask(mask, self.source, self.model, provenance, self.id, self.root)


def mask_grid(dataset: Dataset) -> GeoBox:
    """The grid for a scene's mask: the SCL's, or the finest at 20 m, but no finer than the scene."""
    grids = native_grids(dataset.metadata_doc)
    if scl := dataset.metadata_doc["measurements"].get("scl"):
        return grids[scl.get("grid", "default")]
    finest = min(grids.values(), key=lambda grid: abs(grid.resolution.x))
    if finest.crs.geographic or abs(finest.resolution.x) >= MASK_RESOLUTION:
        return finest
    return GeoBox.from_bbox(finest.boundingbox, finest.crs, resolution=MASK_RESOLUTION, tight=True)
