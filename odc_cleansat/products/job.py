"""A job: which mask a dataset gets, where it is kept, and how it is made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from odc.geo.geobox import GeoBox

from ..errors import SceneError
from ..grids.grid import overlap
from ..masks.classify import DOUBT, classify
from ..masks.light import Light
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
from .provenance import Provenance, scene_light
from .write import write_mask

if TYPE_CHECKING:
    import xarray as xr
    from datacube.model import Dataset
    from odc.geo.geom import Geometry


LARGE = 2**22
"""Pixels of a mask of which a part is made sooner than the whole, by seconds."""

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
    refine
        Whether light refines the mask; else it is the network's own answer.

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
        refine: bool = True,
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
        self.light: Light | None = None
        if refine:
            self.light = scene_light(self.source.properties, self.grid)
        self.id = mask_id(dataset.id, self.model, pixel, self.offset.value, refine=refine)
        self.folder: Folder = self.root / mask_folder(self.id, self.source)

    @classmethod
    def of_scene(
        cls,
        scene: Scene,
        root: Folder | Path | str,
        model: str | Model | None = None,
        offset: float | None = None,
        refine: bool = True,
    ) -> MaskJob:
        """Return the job for a scene that no datacube knows; parameters and errors as of the class."""
        known = scene.files.offset(offset)
        job = cls(scene.dataset, root, model, known.value, refine)
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

        Warns
        -----
        LightWarning
            If the angles of the scene cannot be right, so that its shadow is left as the network gave it.
        """
        self.root.check_name()
        mask, provenance = self._classified(self.grid, progress, run_id)
        return write_mask(mask, provenance, self.id, self.root)

    def part(self, area: Geometry) -> GeoBox | None:
        """Return the part of the mask's grid around an area.

        None if the area is elsewhere, or has no part that is made much sooner than the whole mask.
        """
        wanted = GeoBox.from_bbox(
            area.to_crs(self.grid.crs).boundingbox,
            self.grid.crs,
            resolution=self.grid.resolution,
            tight=True,
        )
        roi = overlap(self.grid, wanted)
        if roi is None or self.grid.shape[0] * self.grid.shape[1] < LARGE:
            return None
        found = self.grid[roi]
        small = 4 * found.shape[0] * found.shape[1] < self.grid.shape[0] * self.grid.shape[1]
        return found if small else None

    def run_part(
        self, part: GeoBox, root: Path, progress: Callable[[int, int], None] | None = None
    ) -> Path | str:
        """Make a part of the mask to look at, while the whole is on its way; its pixels are those of the whole.

        Parameters
        ----------
        part
            From :meth:`part`.
        root
            Where it is written as a product of its own. Never where masks are kept: it has the id of the whole.
        progress
            As of :meth:`run`; errors as there.
        """
        mask, provenance = self._classified(part, progress)
        return write_mask(mask, provenance, self.id, root)

    def _classified(
        self,
        geobox: GeoBox,
        progress: Callable[[int, int], None] | None,
        run_id: str | None = None,
    ) -> tuple[xr.Dataset, Provenance]:
        """Return the mask on a grid, lazily, and how it is made."""
        engine = get_engine(self.model)
        with reading(self.files.label):
            offset = settle_offset(self.bands, self.offset, self.files.label)
            mask = classify(
                open_bands(self.bands),
                model=self.model,
                geobox=geobox,
                confidence=True,
                offset=offset.value,
                refine=self.light or False,
                progress=progress,
            )
        return mask, Provenance(
            source=self.source,
            model=self.model,
            offset=offset,
            engine=engine.name,
            precision=engine.precision,
            bands=self.bands,
            scl=self.files.scl,
            run=run_id,
            light=self.light,
            complaint=mask.ucl.attrs.get(DOUBT),
        )


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
