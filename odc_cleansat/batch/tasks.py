"""What is handed to workers: small, and enough to make a mask without a database."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID, uuid5

from cachetools import LRUCache, cached

from ..cube.choose import mask_property
from ..cube.lookup import MaskOptions
from ..cube.refining import RefinedMask, RefineJob, masked_scenes
from ..cube.stac_list import StacRow
from ..masks.tasks import Progress
from ..models.model import Model
from ..products.job import MaskJob
from ..products.refined import refined_by
from ..scenes.scene import Scene
from ..settings import shared
from ..storage.folder import Folder

if TYPE_CHECKING:
    from datacube.model import Dataset, Product
    from odc.geo.geobox import GeoBox


class PartTask(NamedTuple):
    """A part of a mask that is made before the whole, to be looked at."""

    grid: GeoBox
    """From :meth:`MaskJob.part`."""

    root: Path
    """Where it is written, on a disk of the worker and of whoever looks at it."""


class Making(NamedTuple):
    """A mask that a task is about."""

    mask: UUID
    """Its id."""

    document: Path | str | None
    """Its document, if it is written and whole."""

    run: Callable[[Progress | None], Path | str]
    """Makes it; returns its document."""

    scene: Dataset | None = None
    """The scene, if the task knew no more than its row in a list."""


class SceneTask(NamedTuple):
    """One scene to mask: all that a worker needs to know, and small."""

    scene: Dataset | Scene
    """A dataset without what only an index needs, or a scene that no datacube knows."""

    mask: UUID
    """Id of its mask."""

    root: str | Path
    """Folder or address under which masks are kept."""

    model: str | Model | None
    """A model or its name; None for the best for the scene's bands."""

    offset: float | None
    """Radiometric offset, digital numbers; None if the scene's metadata decide."""

    retries: int
    """How often it is tried again."""

    settings: Mapping[str, Any]
    """What :func:`~odc_cleansat.settings.shared` tells in the process that hands it out."""

    run: str
    """Id of the run, for the provenance."""

    part: PartTask | None = None
    """A part that is made first."""

    refine: bool = True
    """Whether light refines the mask."""

    @property
    def key(self) -> str:
        """Name of the task for dask, which takes what is between hyphens for words unless it is all one number."""
        return f"mask-{self.mask.hex}"

    @property
    def dataset(self) -> Dataset:
        """The dataset of the scene."""
        return self.scene.dataset if isinstance(self.scene, Scene) else self.scene

    def job(self) -> MaskJob:
        """Return the job of making the mask."""
        return mask_job(self.scene, self.root, self.model, self.offset, self.refine)

    def making(self) -> Making:
        """Return how the mask is made; errors as of :class:`MaskJob`."""
        job = self.job()
        return Making(job.id, job.document, lambda progress: job.run(progress, self.run))


class ListedTask(NamedTuple):
    """One scene of a list to mask. Its files are opened by the worker, and decide which mask it gets."""

    dataset: StacRow
    """Its row in the list."""

    root: str | Path
    """Folder or address under which masks are kept."""

    model: str | Model | None
    """A model or its name; None for the best for the scene's bands."""

    offset: float | None
    """Radiometric offset, digital numbers; None if the item decides."""

    retries: int
    """How often it is tried again."""

    settings: Mapping[str, Any]
    """What :func:`~odc_cleansat.settings.shared` tells in the process that hands it out."""

    run: str
    """Id of the run, for the provenance."""

    refine: bool = True
    """Whether light refines the mask."""

    @property
    def mask(self) -> None:
        """The id of its mask, which is not known yet."""

    @property
    def key(self) -> str:
        """Name of the task for dask; see :attr:`SceneTask.key`."""
        how = f"{self.root} {self.model} {self.offset} {self.refine}"
        return f"mask-{uuid5(self.dataset.id, how).hex}"

    def making(self) -> Making:
        """Return how the mask is made.

        Raises
        ------
        SceneError
            If the item is no scene, or its files cannot be read.
        ModelError
            If there is no such model.
        """
        scene = self.dataset.scene()
        job = mask_job(scene, self.root, self.model, self.offset, self.refine)
        return Making(
            job.id, job.document, lambda progress: job.run(progress, self.run), scene.dataset
        )


class RefineTask(NamedTuple):
    """One stored mask to refine by other dates: all that a worker without a datacube needs to know."""

    pairs: Sequence[tuple[Dataset, Dataset]]
    """The scene and its mask, then those of the other dates."""

    mask: UUID
    """Id of the refined mask."""

    root: str | Path
    """Folder or address under which masks are kept."""

    model: str | None
    """Name of the model of the masks."""

    hindsight: bool
    """Whether later dates count too."""

    retries: int
    """How often it is tried again."""

    settings: Mapping[str, Any]
    """What :func:`~odc_cleansat.settings.shared` tells in the process that hands it out."""

    @classmethod
    def of(cls, wanted: RefinedMask, root: str | Path, retries: int) -> RefineTask:
        """Return the task of a mask that a datacube has told of."""
        pairs = [
            (small_dataset(each.scene), small_dataset(each.mask))
            for each in (wanted.asked, *wanted.around)
            if each.mask is not None
        ]
        model, hindsight = wanted.options.model, wanted.hindsight
        return cls(pairs, wanted.how.id, root, model, hindsight, retries, shared())

    @property
    def dataset(self) -> Dataset:
        """The dataset of the scene."""
        return self.pairs[0][0]

    @property
    def dates(self) -> str:
        """By which other dates the mask is refined, as its property ``cleansat:refined`` says."""
        return refined_by(self.hindsight)

    @property
    def refine(self) -> bool:
        """Whether light refined the mask."""
        return bool(mask_property(self.pairs[0][1], "light"))

    def job(self) -> RefineJob:
        """Return the job of refining the mask."""
        from datacube import Datacube

        options = MaskOptions("indexed", self.model)
        asked, *around = masked_scenes(self.pairs, options)
        # Datacube reads by an index of nothing, as nothing is searched for.
        nothing = Datacube(raw_config={"default": {"index_driver": "null"}})
        return RefineJob(nothing, asked, around, options, self.hindsight, Folder(self.root))

    def making(self) -> Making:
        """Return how the mask is refined.

        Raises
        ------
        SceneError
            If a scene lacks what its mask is made of.
        """
        job = self.job()
        return Making(self.mask, job.document, job.run)


Task = SceneTask | RefineTask
"""What a worker gets to do for a queue."""

BatchTask = SceneTask | ListedTask
"""What a worker gets to do for a run."""


def mask_job(
    scene: Dataset | Scene,
    root: str | Path,
    model: str | Model | None,
    offset: float | None,
    refine: bool = True,
) -> MaskJob:
    """Return the job of a scene, known to a datacube or not; parameters and errors as of :class:`MaskJob`."""
    make = MaskJob.of_scene if isinstance(scene, Scene) else MaskJob
    return make(scene, root, model, offset, refine)


def small_dataset(scene: Dataset) -> Dataset:
    """Return a dataset of an index without the index's search fields, which other machines cannot read."""
    from datacube.model import Dataset as DatasetClass

    return DatasetClass(_small_product(scene.product), scene.metadata_doc, uri=scene.uri)


@cached(LRUCache(64), key=lambda product: (product.name, product.id, len(product.measurements)))
def _small_product(product: Product) -> Product:
    from datacube.model import MetadataType, Product

    return Product(MetadataType(product.metadata_type.definition), product.definition)
