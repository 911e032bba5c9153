"""What the pages and routes of the application ask: one for the process, used from many threads."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from uuid import UUID

from cachetools import LRUCache, TTLCache

from ..batch.jobs import Job
from ..batch.queue import MaskQueue
from ..cube.embedded import make_folder
from ..cube.scene_list import MaskRow, SceneRow, list_scenes, mask_states, percent_of
from ..errors import CleansatError, CubeError, OutputError
from ..products.product import MaskProduct
from ..products.verdict_files import Verdict, accept, flag, reject, verdicts
from ..review.collection import Collection, collect
from ..review.tiles import SceneTiles
from ..scenes.files import SceneFiles
from ..storage.eo3 import MASK_PRODUCT, REFINED_PRODUCT
from ..storage.folder import Folder
from .door import Door
from .indexing import index_made, open_cube
from .refining import best_mask, refined_by_dates
from .review_desks import ReviewDesks
from .settings import AppSettings
from .stac_scenes import StacScenes
from .states import ReviewStates

if TYPE_CHECKING:
    from datacube import Datacube
    from datacube.model import Dataset
    from odc.geo.geom import Geometry


OPEN_SCENES = 256
"""Scenes whose files are remembered."""


NAMED = 5
"""Most scenes that a message names."""

STORE_SECONDS = 20
"""How long a look whether the store can be written counts."""

TURNS = 1
"""Results to download that are made at a time."""


class Service:
    """The datacube, the queue of masks, the door and the tiles of an application.

    The datacube is connected when it is needed first, and the queue started. So a page can say what is wrong with them,
    and works again when they do.

    Parameters
    ----------
    settings
        How the application was started.
    """

    def __init__(self, settings: AppSettings) -> None:
        self.settings = settings
        self.door = Door(user_header=settings.user_header)
        self.states = ReviewStates()
        self.stac = StacScenes(settings.stac, settings.stac_collection) if settings.stac else None
        self.desks = ReviewDesks(self.door, self._collect, settings.others)
        self.turns = threading.Semaphore(TURNS)
        self.changes = 0
        """How many masks were put into the datacube here; after each one lists of scenes are others."""
        self._lock = threading.RLock()
        self._parts: TemporaryDirectory[str] | None = None
        self._dc: Datacube | None = None
        self._queue: MaskQueue | None = None
        self._fault: TTLCache[str, str] = TTLCache(1, STORE_SECONDS)
        self._tiles: LRUCache[tuple[UUID, UUID | None], SceneTiles] = LRUCache(OPEN_SCENES)

    @property
    def dc(self) -> Datacube:
        """The datacube.

        Raises
        ------
        CubeError
            If there is none, or it cannot be reached.
        """
        with self._lock:
            if self._dc is None:
                self._dc = open_cube(self.settings)
            return self._dc

    @property
    def queue(self) -> MaskQueue:
        """The queue of masks, which indexes those that are whole."""
        with self._lock:
            if self._queue is None:
                # Workers of a scheduler may have other disks.
                if self.settings.scheduler is None:
                    self._parts = TemporaryDirectory(prefix="cleansat-parts-")
                self._queue = MaskQueue(
                    self.settings.store,
                    workers=self.settings.workers,
                    scheduler=self.settings.scheduler,
                    index=self._index if self.settings.with_datacube else None,
                    most_per_person=self.settings.limits.jobs,
                    run_id=self.settings.run_id,
                )
            return self._queue

    def start(self) -> None:
        """Check the store, and let the workers come up, so that the first mask need not wait for them.

        Raises
        ------
        OutputError
            If the store cannot be used.
        """
        store = Folder(self.settings.store)
        store.check_usable()
        if store.path is not None:
            make_folder(store.path)
        self.queue.start()

    def close(self) -> None:
        """Stop the workers and leave the datacube."""
        self.desks.close()
        with self._lock:
            if self._queue is not None:
                self._queue.close()
            if self._dc is not None:
                self._dc.close()
            if self._parts is not None:
                self._parts.cleanup()

    # Scenes

    def find(
        self,
        area: Geometry | None,
        time: str | None,
        *,
        stac: bool = False,
        limit: int | None = None,
    ) -> Sequence[SceneRow]:
        """Return the scenes of an area and time, with what is known of their masks, the latest first.

        Parameters
        ----------
        area
            In degrees; None for everywhere.
        time
            ISO 8601, or two times with a slash between; None for all.
        stac
            Whether to search the STAC API and not the datacube.
        limit
            Most scenes; by default as many as the settings allow.

        Raises
        ------
        CleansatError
            If the datacube or the API cannot be reached, or the query cannot be understood.
        """
        if stac:
            if self.stac is None:
                raise CleansatError(
                    "this application knows no STAC API; start it by `cleansat app --stac ADDRESS`."
                )
            rows = self.stac.search(area, time, self.dc if self.settings.with_datacube else None)
            return [self._with_new_mask(row) for row in rows]
        return list_scenes(
            self.dc,
            self.settings.product,
            time=time or None,
            area=area,
            limit=limit or self.settings.limits.scenes,
        )

    def dataset(self, id_: UUID) -> Dataset:
        """Return a dataset of the datacube.

        Raises
        ------
        CubeError
            If there is none, or the datacube cannot be reached.
        """
        found = self.dc.index.datasets.get(id_)
        if found is None:
            raise CubeError(f"the datacube has no dataset {id_}; it may have been removed.")
        return found

    def scene(self, id_: UUID) -> Dataset:
        """Return a scene of the datacube, or one that was found in the STAC API; errors as :meth:`dataset`.

        Raises
        ------
        CubeError
            If it is none of the product that is shown here.
        """
        if found := self.stac and self.stac.get(id_):
            return found.dataset
        dataset = self.dataset(id_)
        if dataset.product.name != self.settings.product:
            raise CubeError(
                f"the dataset {id_} is no scene of {self.settings.product}; choose one on the page Scenes."
            )
        return dataset

    def masks_of(self, scene: Dataset) -> tuple[MaskRow, ...]:
        """Return the masks that the datacube has of a scene, by several models perhaps, and refined in several ways."""
        if not self.settings.with_datacube or (self.stac and self.stac.get(scene.id)):
            return ()
        second = datetime.timedelta(seconds=1)
        span = (scene.center_time - second, scene.center_time + second)
        return tuple(
            mask
            for product in (MASK_PRODUCT, REFINED_PRODUCT)
            for row in list_scenes(self.dc, scene.product.name, time=span, masks_product=product)
            if row.id == scene.id
            for mask in row.masks
        )

    def scene_files(self, scene: UUID) -> SceneFiles:
        """Return the files of a scene; errors as :meth:`scene`."""
        if found := self.stac and self.stac.get(scene):
            return found.files
        return SceneFiles.of_dataset(self.scene(scene))

    def mask(self, mask: UUID) -> MaskProduct:
        """Return a mask that was made here, whole or in part, or one of the datacube; errors as :meth:`dataset`."""
        if (job := self.queue.job(mask)) and job.document:
            return MaskProduct(job.document)
        if (job := self.job_of_part(mask)) and job.part:
            return MaskProduct(job.document or job.part)
        return MaskProduct.of_dataset(self.dataset(mask))

    def job_of_part(self, part: UUID) -> Job | None:
        """Return the job that made a part of a mask first; None if there was none."""
        return next((job for job in self.queue.jobs() if job.part and job.part_id == part), None)

    def tiles(self, scene: UUID, mask: UUID | None) -> SceneTiles:
        """Return the tiles of a scene and its mask.

        Raises
        ------
        CubeError
            If there is no such scene or mask, or the datacube cannot be reached.
        """
        with self._lock:
            found = self._tiles.get((scene, mask))
        if found is None:
            product = None if mask is None else self.mask(mask)
            found = SceneTiles(self.scene_files(scene), product, self.settings.others)
            with self._lock:
                self._tiles[scene, mask] = found
        return found

    # Masks

    def store_fault(self) -> str:
        """Return why no mask can be written, in words; empty if masks can be."""
        if (known := self._fault.get("store")) is None:
            try:
                Folder(self.settings.store).check_writable()
                known = ""
            except OutputError as error:
                known = str(error)
            self._fault["store"] = known
        return known

    def ask(
        self,
        scenes: Iterable[UUID],
        person: str,
        area: Geometry | None = None,
        *,
        light: bool = True,
    ) -> list[Job]:
        """Have scenes masked in the background; what is masked already is found.

        Parameters
        ----------
        scenes
            Their ids.
        person
            Who asks.
        area
            What is masked first of a large scene, to be looked at.
        light
            Whether light refines the masks.

        Raises
        ------
        CleansatError
            If a scene cannot be masked, or the queue is full.
        """
        found = [(self.stac and self.stac.get(id_)) or self.scene(id_) for id_ in scenes]
        masks = self.queue
        parts = None if self._parts is None else Path(self._parts.name)
        return [
            masks.ask(each, person=person, refine=light, first=area, parts=parts) for each in found
        ]

    def refine(self, scene: UUID, person: str, *, hindsight: bool, model: str | None = None) -> Job:
        """Have the stored mask of a scene refined by other dates in the background; what is refined already is found.

        Parameters
        ----------
        scene
            Its id.
        person
            Who asks.
        hindsight
            Whether later dates count too.
        model
            Whose mask is refined; None for the default.

        Raises
        ------
        CleansatError
            If it has no mask, or no other date has one, or the queue is full.
        """
        wanted = refined_by_dates(
            self.dc, self.dataset(scene), self.settings.store, hindsight=hindsight, model=model
        )
        return self.queue.ask_refined(wanted, person=person)

    def _index(self, document: Path | str) -> None:
        index_made(self.settings, self.dc, document, self.stac)
        self.changes += 1

    def _with_new_mask(self, row: SceneRow) -> SceneRow:
        """Return a scene with the mask that was made of it here, if no datacube has told of one."""
        if row.masks:
            return row
        for job in self.queue.jobs():
            if job.scene == row.id and job.document is not None:
                product = MaskProduct(job.document)
                cover = percent_of(product.properties, "eo:cloud_cover")
                mask = MaskRow(job.mask, product.model, cover, str(job.document), job.light)
                return replace(row, masks=(mask,))
        return row

    def review_states(self, rows: Sequence[SceneRow]) -> dict[UUID, str]:
        """Return the state of scenes for people, by the id of the scene; verdicts may still be on their way."""
        masks = {row.id: chosen_mask(row) for row in rows}
        known = self.states.get([mask for mask in masks.values() if mask is not None])
        return {
            scene: "not masked"
            if mask is None
            else known.get(mask.id, "masked").replace("unreviewed", "masked")
            for scene, mask in masks.items()
        }

    # Verdicts

    def verdicts(self, mask: UUID) -> list[Verdict]:
        """Return what was said of a mask, the latest last.

        Raises
        ------
        CleansatError
            If the mask or its verdicts cannot be read.
        """
        return verdicts(self._place(mask))

    def gaps(self, area: Geometry | None, time: str | None) -> list[str]:
        """Return what masks cannot be recalled, in words: rejected ones, and ones whose files are not whole.

        Raises
        ------
        CleansatError
            If the datacube cannot be reached.
        """
        masks = {mask: row.label for row in self.find(area, time) for mask in row.masks}
        states, unread = mask_states(masks)
        rejected = [label for mask, label in masks.items() if states.get(mask.id) == "rejected"]
        broken = [
            label
            for mask, label in masks.items()
            if states.get(mask.id) != "rejected"
            and mask.uri is not None
            and not MaskProduct(mask.uri).is_intact()
        ]
        found = []
        for labels, words in (
            (rejected, "left out, because reviewers have rejected the mask"),
            (broken, "without data, because the files of the mask are not whole; mask again"),
        ):
            if labels:
                more = f" and {len(labels) - NAMED} more" if len(labels) > NAMED else ""
                found.append(f"{', '.join(labels[:NAMED])}{more}: {words}.")
        if unread:
            found.append(f"The verdicts on {len(unread)} masks cannot be read, and count as none.")
        return found

    def judge(self, kind: str, mask: UUID, note: str, person: str) -> None:
        """Accept, reject or flag a mask.

        Raises
        ------
        CleansatError
            If there is no such mask, or the store cannot be written.
        """
        give = {"accept": accept, "reject": reject, "flag": flag}[kind]
        give(self._place(mask), note, person)
        self.states.forget(mask)

    def _place(self, mask: UUID) -> str:
        """Return path or URL of the document of a mask."""
        return str(self.mask(mask).document_file)

    def _collect(self, masks: tuple[UUID, ...]) -> Collection:
        if not self.settings.with_datacube:
            return collect([self._place(mask) for mask in masks], None)
        return collect([self.dataset(mask) for mask in masks], self.dc)


def chosen_mask(row: SceneRow) -> MaskRow | None:
    """Return the mask of a scene that is shown; see :func:`~odc_cleansat.app.refining.best_mask`."""
    return best_mask(row.masks)


_service: Service | None = None


def set_service(service: Service | None) -> None:
    """Let pages use a service; Streamlit runs them without arguments."""
    global _service
    _service = service


def get_service() -> Service:
    """Return the service of this process.

    Raises
    ------
    RuntimeError
        If the pages run without it.
    """
    if _service is None:
        raise RuntimeError("start the application with: cleansat app")
    return _service
