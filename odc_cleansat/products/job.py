"""A job: which mask a dataset gets, where it is kept, and how it is made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from odc.geo.geobox import GeoBox

from ..errors import SceneError
from ..masks.classify import classify
from ..models.engines import get_engine
from ..models.model import Model
from ..models.registry import get_model
from ..scenes.files import SceneFiles, open_bands, reading
from ..scenes.offset import Offset
from ..scenes.scene import Scene
from ..scenes.settle import settle_offset
from ..storage.eo3 import native_grids, read_document
from ..storage.folder import Folder
from ..storage.reader import strange_values
from .identity import mask_folder, mask_id
from .product import MaskProduct
from .provenance import Provenance
from .write import write_mask

if TYPE_CHECKING:
    from datacube.model import Dataset


MASK_RESOLUTION = 20.0
"""Smallest pixel size, in metres, of a mask whose scene has no SCL."""


class MaskJob:
    """The mask that a dataset gets: its id, its model and its folder. `run` makes it.

    No pixel is read before `run`.

    Parameters
    ----------
    dataset
        A scene.
    root
        Folder for products: a path, or a URL such as ``s3://bucket/prefix``.
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
        self.files.warn_of_level(self.model.name, self.model.level)
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
        """Return the job for a scene that no datacube knows; parameters and errors as of the class."""
        known = scene.files.offset(offset)
        job = cls(scene.dataset, root, model, known.value)
        job.offset = known  # the same number, with what decided it
        job.bands = scene.files.wanted(
            job.model.bands
        )  # the same files, with what the item says of their values
        return job

    @property
    def document(self) -> Path | str | None:
        """Path or URL of the mask's document, if the mask is there and whole.

        See :meth:`MaskProduct.is_intact`.
        """
        return MaskProduct(self.folder).intact_document()

    def run(
        self, progress: Callable[[int, int], None] | None = None, run_id: str | None = None
    ) -> Path | str:
        """Make the mask and write it, complete or not at all.

        Bands are read window by window, so that memory does not grow with the scene.

        Parameters
        ----------
        progress
            Called with the number of windows done and the number of all windows. An error that it raises ends the work.
        run_id
            Id of the run that it belongs to, which its document names.

        Returns
        -------
        Path or str
            Path or URL of the EO3 document.

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
            offset = settle_offset(self.bands, self.offset, self.files.label)
            mask = classify(
                open_bands(self.bands),
                model=self.model,
                geobox=self.grid,
                confidence=True,
                offset=offset.value,
                progress=progress,
            )
        provenance = Provenance(
            source=self.source,
            model=self.model,
            offset=offset,
            engine=engine.name,
            precision=engine.precision,
            bands=self.bands,
            scl=self.files.scl,
            run=run_id,
        )
        return write_mask(mask, provenance, self.id, self.root)


@strange_values("the document of the scene", SceneError)
def mask_grid(dataset: Dataset) -> GeoBox:
    """Return the grid for a scene's mask.

    It is the grid of the SCL. Without SCL it is the scene's finest grid, with pixels of at least
    :data:`MASK_RESOLUTION`.

    Raises
    ------
    SceneError
        If the document of the scene has no grid that can be used.
    """
    grids = native_grids(dataset.metadata_doc)
    if scl := dataset.metadata_doc["measurements"].get("scl"):
        return grids[scl.get("grid", "default")]
    finest = min(grids.values(), key=lambda grid: abs(grid.resolution.x))
    if finest.crs.geographic or abs(finest.resolution.x) >= MASK_RESOLUTION:
        return finest
    return GeoBox.from_bbox(finest.boundingbox, finest.crs, resolution=MASK_RESOLUTION, tight=True)
