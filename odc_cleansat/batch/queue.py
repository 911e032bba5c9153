"""A queue of masks for people who wait for them: one of a process, asked from many threads.

Scenes are masked one after the other on a dask cluster. A thread of the queue hands them out, listens to the workers, and
lets masks be indexed. Whoever asks gets an answer at once and looks at :meth:`MaskQueue.jobs` from time to time.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID, uuid4

from ..errors import LOG, CleansatError
from ..models.model import Model
from ..products.product import MaskProduct
from ..scenes.scene import Scene
from ..settings import shared
from ..storage.folder import Folder
from .cluster import ClusterError, Workers, dask_client, explained, outcome
from .indexing import Index, Indexer, told
from .jobs import Job, Jobs, new_job, now
from .records import Failure
from .tasks import PartTask, RefineTask, SceneTask, Task, mask_job, small_dataset
from .worker import (
    WithdrawnError,
    WrittenMask,
    is_rejected,
    make_followed_mask,
    stop_ticket,
    warm_up,
)

if TYPE_CHECKING:
    from datacube.model import Dataset
    from distributed import Client, Future
    from odc.geo.geom import Geometry

    from ..cube.refining import RefinedMask

CLOSING = 5.0
"""Seconds that a queue has to close."""

_LOOK_AGAIN = 0.2
"""Seconds between two looks at the cluster."""

_LOST = (
    "the connection to the dask scheduler was lost. Masks that are written stay; ask again for the others, and the "
    "cluster is started or sought anew."
)


class MaskQueue:
    """Masks that people have asked for, made one after the other; any thread may call any method.

    With workers on this machine, the process must have its main module guarded by ``if __name__ == "__main__":``,
    for each worker is a new process that imports it.

    Parameters
    ----------
    root
        Folder, or ``s3://bucket/prefix``, under which masks are kept.
    workers
        Processes on this machine. Each masks one scene at a time.
    scheduler
        Address of a dask scheduler in place of processes here; see :func:`~odc_cleansat.batch.execute`.
    index
        Called with the EO3 document of each mask that is whole and not rejected, never twice at a time.
    most_waiting
        How many masks may wait.
    most_per_person
        How many masks that are not over one person may want at a time.
    retries
        How often a scene is tried again.
    run_id
        Stands in each mask that is made; by default a new one.

    Examples
    --------
    >>> with MaskQueue("masks", index=lambda document: add_dataset(dc, document)) as masks:  # doctest: +SKIP
    ...     job = masks.ask(dataset, person="ada")
    ...     print(masks.job(job.mask).state)
    waiting
    """

    def __init__(
        self,
        root: Path | str,
        *,
        workers: int = 1,
        scheduler: str | None = None,
        index: Index | None = None,
        most_waiting: int = 50,
        most_per_person: int = 10,
        retries: int = 1,
        run_id: str | None = None,
    ) -> None:
        self._run = run_id or uuid4().hex[:12]
        self._root = root
        self._cluster = workers, scheduler
        self._retries = retries
        self._indexer = Indexer(index)
        self._jobs = Jobs(most_waiting, most_per_person)
        self._lock = threading.Lock()
        self._dispatcher: _Dispatcher | None = None
        self._closed = False

    def start(self) -> None:
        """Start the cluster, or connect to it, in a thread of its own. The first mask that waits does it, too.

        Raises
        ------
        ClusterError
            If the queue is closed.
        """
        with self._lock:
            if self._closed:
                raise ClusterError("the queue of masks is closed; start the application again.")
            if self._dispatcher is None or not self._dispatcher.is_serving():
                self._dispatcher = _Dispatcher(self._jobs, self._indexer, *self._cluster)
                self._dispatcher.start()

    def close(self) -> None:
        """Stop all work, in a few seconds. What waits or runs is withdrawn; masks that are written stay."""
        with self._lock:
            self._closed, dispatcher = True, self._dispatcher
        if dispatcher is not None:
            dispatcher.close()
        self._jobs.end_all("withdrawn", "")
        self._indexer.close()

    def __enter__(self) -> MaskQueue:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(
        self,
        scene: Dataset | Scene,
        *,
        person: str,
        model: str | Model | None = None,
        offset: float | None = None,
        refine: bool = True,
        first: Geometry | None = None,
        parts: Path | None = None,
    ) -> Job:
        """Ask for the mask of a scene.

        A mask that is written and whole is found, and indexed if need be, before this returns. One that others wait
        for is computed once for all.

        Parameters
        ----------
        scene
            A dataset of a datacube, or a scene that no datacube knows.
        person
            Who asks.
        model
            A model or its name; by default the best for the scene's bands.
        offset
            Radiometric offset, digital numbers; by default the metadata decide.
        refine
            Whether light refines the mask.
        first
            An area that is masked before the rest of a large scene, to be looked at; see :attr:`Job.part`.
        parts
            Folder for that, on a disk of this process and the workers. Without one no area is masked first.

        Raises
        ------
        QueueFullError
            If too many masks wait, or the person wants as many as one may.
        ClusterError
            If the queue is closed.
        SceneError
            If the scene lacks a band that the model needs.
        ModelError
            If there is no such model.
        OutputError
            If the place of the masks cannot be reached or used, or written, where a mask is to be made.

        Warns
        -----
        ReflectanceWarning
            If the offset is a guess; the job tells that too, once it is made.
        """
        asked = mask_job(scene, self._root, model, offset, refine)
        if joined := self._jobs.join(asked.id, person):
            return joined
        if not isinstance(scene, Scene):
            scene = small_dataset(scene)
        task = SceneTask(
            scene, asked.id, self._root, model, offset, self._retries, shared(), self._run,
            refine=refine,
        )  # fmt: skip
        if first and parts and (grid := asked.part(first)):
            task = task._replace(part=PartTask(grid, parts))
        return self._add(task, asked.folder, person)

    def ask_refined(self, wanted: RefinedMask, *, person: str) -> Job:
        """Ask for a mask that other dates refine. Workers need no datacube for it.

        Parameters
        ----------
        wanted
            The mask and the other dates.
        person
            Who asks.

        Raises
        ------
        SceneError
            If there is no other date to compare with.
        CleansatError
            As of :meth:`ask`.
        """
        wanted.check()
        if joined := self._jobs.join(wanted.how.id, person):
            return joined
        task = RefineTask.of(wanted, self._root, self._retries)
        return self._add(task, Folder(self._root) / wanted.how.folder, person)

    def _add(self, task: Task, folder: Folder, person: str) -> Job:
        """Find a mask that is written in its folder, or let it wait for its turn."""
        store = Folder(self._root)
        store.check_usable()
        if document := MaskProduct(folder).intact_document():
            return self._found(task, document, person)
        store.check_writable()
        self.start()
        job = self._jobs.add(task, person)
        self.start()  # the cluster may have been lost between the two
        self._wake()
        return job

    def _found(self, task: Task, document: Path | str, person: str) -> Job:
        mask = WrittenMask(document, (), is_rejected(task.mask, document), found=True)
        indexed = self._indexer.index(task._replace(retries=0), mask)
        job = replace(new_job(task, person, "found"), ended=now(), **told(mask, indexed))
        self._jobs.add_over(job)
        return job

    def withdraw(self, mask: UUID, person: str) -> None:
        """Take a person's wish back. What nobody wants is dropped, or broken off within a second or two.

        A mask whose windows are all done is finished. To withdraw what is over, or was never asked for, does nothing.

        Parameters
        ----------
        mask
            Id of the mask.
        person
            Who does not want it any more.
        """
        if self._jobs.withdraw(mask, person) and self._dispatcher is not None:
            self._dispatcher.tell(_Withdrawn(mask))

    def jobs(self) -> list[Job]:
        """Return all jobs: those not over in the order of asking, then the latest of the others, newest first."""
        return self._jobs.all()

    def job(self, mask: UUID) -> Job | None:
        """Return the job of a mask; None if nobody has asked for it, or that was long ago."""
        return self._jobs.get(mask)

    def _wake(self) -> None:
        if self._dispatcher is not None:
            self._dispatcher.tell(None)


class _Withdrawn(NamedTuple):
    """Nobody wants a mask any more that the cluster has."""

    mask: UUID


class _Running(NamedTuple):
    """A task that the cluster has."""

    task: Task
    future: Future
    worker: str = ""
    """Address of the worker, once it has begun."""


class _Dispatcher:
    """Hands out tasks in a thread of its own, as long as there is a cluster."""

    def __init__(self, jobs: Jobs, indexer: Indexer, workers: int, scheduler: str | None) -> None:
        # It has a thread and is none, for each release of Python may give threads more names.
        self._thread = threading.Thread(target=self._run, name="cleansat-queue", daemon=True)
        self._jobs = jobs
        self._indexer = indexer
        self._cluster = workers, scheduler
        self._topic = f"cleansat-{uuid4().hex}"
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._running: dict[str, _Running] = {}
        """By ticket."""
        self._closing = threading.Event()
        self._ended = False

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def is_serving(self) -> bool:
        """Whether tasks are handed out, or will be when the cluster is there."""
        return not self._ended

    def tell(self, message: object) -> None:
        """Let the thread know of something."""
        self._inbox.put(message)

    def close(self) -> None:
        """Stop, and wait a few seconds for that."""
        self._closing.set()
        self.tell(None)
        self._thread.join(CLOSING)

    def _run(self) -> None:
        """Serve until the queue is closed or the cluster is lost."""
        try:
            with dask_client(*self._cluster) as client:
                self._serve(client)
        except Exception as error:
            self._give_up(error)
        finally:
            self._ended = True

    def _serve(self, client: Client) -> None:
        try:
            self._workers = Workers(client)
            self._warm_up(client)
            client.subscribe_topic(self._topic, lambda event: self.tell(event[1]))
            while not self._closing.is_set():
                self._fill(client)
                with contextlib.suppress(queue.Empty):
                    self._handle(client, self._inbox.get(timeout=_LOOK_AGAIN))
                if client.status != "running":
                    raise ClusterError(_LOST)
            for key, each in self._running.items():
                if each.worker:
                    stop_ticket(client, key, each.worker)
        except Exception as error:
            self._give_up(error)  # before the client is closed, which may take its time

    def _give_up(self, error: Exception) -> None:
        if self._ended or self._closing.is_set():
            return
        if not isinstance(error, CleansatError | OSError):
            LOG.exception("the queue of masks has stopped")
        self._ended = True
        self._jobs.end_all("failed", str(error) if isinstance(error, CleansatError) else _LOST)

    def _warm_up(self, client: Client) -> None:
        # Without the futures, dask would leave the work undone.
        self._warming = {
            address: client.submit(warm_up, workers=[address], pure=False)
            for address in client.nthreads()
        }

    def _fill(self, client: Client) -> None:
        """Hand out as many tasks as workers have threads, so that the order of the rest can change."""
        # dask would give a worker that has warmed up a second mask, though the first may take minutes.
        warming = [worker for worker, future in self._warming.items() if not future.done()]
        room = max(1, self._workers.threads(but=warming))
        while self._jobs.has_next() and len(self._running) < room:
            task = self._jobs.take()
            if task is None:  # withdrawn meanwhile
                continue
            key = f"mask-{uuid4().hex}"
            future = client.submit(make_followed_mask, task, key, self._topic, key=key, pure=False)
            self._running[key] = _Running(task, future)
            future.add_done_callback(self.tell)

    def _handle(self, client: Client, message: Any) -> None:
        if isinstance(message, _Withdrawn):
            self._withdraw(client, message.mask)
        elif isinstance(message, dict):
            self._note(client, message)
        elif message is not None:
            self._settle(message)

    def _withdraw(self, client: Client, mask: UUID) -> None:
        """Cancel a task that has not begun, and let one stop that has, unless it is wanted again."""
        if self._jobs.is_wanted(mask):
            return
        for key, each in list(self._running.items()):
            if each.task.mask != mask:
                continue
            if each.worker:
                stop_ticket(client, key, each.worker)
            else:
                del self._running[key]
                each.future.cancel()
                self._jobs.end(mask, "withdrawn")

    def _note(self, client: Client, event: Mapping[str, Any]) -> None:
        """Note what a worker tells."""
        key, begins = event["ticket"], event.get("total") == 0
        found = self._running.get(key)
        if part := event.get("part"):
            if found is not None:
                self._jobs.update(found.task.mask, part=part)
            return
        if found is None:  # it began just as it was cancelled
            if begins:
                stop_ticket(client, key, event["worker"])
            return
        mask = found.task.mask
        if begins:
            self._running[key] = found._replace(worker=event["worker"])
            self._jobs.update(mask, state="running", begun=now())
            if not self._jobs.is_wanted(mask):  # a worker that was told so has died
                stop_ticket(client, key, event["worker"])
        self._jobs.update(mask, done=event["done"], total=event["total"])

    def _settle(self, future: Future) -> None:
        """Take the result of a task."""
        if future.key not in self._running:
            return
        if future.status == "lost":
            # Its worker died before the result was fetched; the scheduler has it made again.
            threading.Timer(_LOOK_AGAIN, self.tell, [future]).start()
            return
        if future.cancelled():
            raise ClusterError(_LOST)
        task, result = self._running.pop(future.key).task, outcome(future)
        if isinstance(result, BaseException):
            result = Failure.of(task.dataset, task.mask, "mask", explained(result))
        if isinstance(result, WrittenMask):
            self._jobs.update(task.mask, state="indexing", document=result.document)
            self._indexer.later(partial(self._index, task, result))
        elif result.error != WithdrawnError.__name__:
            self._jobs.end(task.mask, "failed", reason=result.reason)
        elif self._jobs.is_wanted(task.mask):
            self._jobs.put_back(task.mask)
        else:
            self._jobs.end(task.mask, "withdrawn")

    def _index(self, task: Task, mask: WrittenMask) -> None:
        self._jobs.end(task.mask, **told(mask, self._indexer.index(task, mask)))
