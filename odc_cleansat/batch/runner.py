"""Carry out a plan: mask each scene on a dask cluster, index the masks, and list the failures."""

from __future__ import annotations

import random
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..cube.catalog import open_catalog
from ..cube.index import add_dataset
from ..cube.stac_list import StacRow
from ..errors import CubeError, OutputError, ReflectanceWarning
from ..progress import SILENT, Count, Reporter, count_nothing
from ..settings import shared
from ..storage.folder import Folder
from .cluster import ClusterError, dashboard, dask_client, describe, explained, work_through
from .listed import survey_list
from .metrics import Figure, watch
from .planning import plan
from .records import Failure, FailureLog, Plan, Report, Request, dataset_label
from .stop import Stop
from .survey import SurveyedScene, survey
from .tasks import BatchTask, ListedTask, SceneTask
from .worker import WrittenMask, find_mask, make_mask, with_retries

if TYPE_CHECKING:
    from datacube import Datacube


UNWRITTEN = 5
"""Masks that cannot be written, one after the other, after which no more are made."""

RETRIES = 2
"""How often a scene is tried again."""


def run(
    dc: Datacube | None,
    request: Request,
    *,
    workers: int | None = None,
    scheduler: Any = None,
    retries: int = RETRIES,
    failures: Path | None = None,
    reporter: Reporter = SILENT,
    run_id: str | None = None,
) -> Report:
    """Mask all scenes of a request that have no mask yet: :func:`plan` and :func:`execute`.

    See these two for parameters and errors.

    Examples
    --------
    >>> june = Request("s2_l2a", root="masks", query={"time": "2024-06"})
    >>> report = run(dc, june, workers=4)  # doctest: +SKIP
    """
    return execute(
        dc,
        plan(dc, request, reporter=reporter),
        workers=workers,
        scheduler=scheduler,
        retries=retries,
        failures=failures,
        reporter=reporter,
        run_id=run_id,
    )


def execute(
    dc: Datacube | None,
    plan: Plan,
    *,
    workers: int | None = None,
    scheduler: Any = None,
    retries: int = RETRIES,
    failures: Path | None = None,
    reporter: Reporter = SILENT,
    run_id: str | None = None,
) -> Report:
    """Make the masks that a plan misses, on a dask cluster, and index each when it is written.

    A mask that was written before and that reviewers have rejected is not indexed. A plan with
    `only_accepted` needs no cluster: its masks are written.

    After five masks in a row that cannot be written, no more are made: a disk is full, or a store does not answer.

    On the first Ctrl-C, or SIGTERM, no more scenes are begun and those under way are finished. On the
    second, everything stops at once. Either way nothing half-made can be seen.

    Parameters
    ----------
    dc
        The datacube of the plan; None for a list of items.
    plan
        What there is to do.
    workers
        Processes on this machine; by default as many as it has processors and memory for.
    scheduler
        Address of a dask scheduler, for instance ``tcp://host:8786``, or a cluster of dask, in place of processes
        here. Its workers need this package, the scenes' files and, under the same name, the root.
    retries
        How often a scene is tried again, after pauses that double from one second.
    failures
        File in which failures are listed as they come; see :func:`~odc_cleansat.batch.read_failures`.
    reporter
        Is told how it goes on.
    run_id
        Id of the run, which stands in each mask that it makes; by default a new one.

    Returns
    -------
    Report
        What was made and what failed. Errors of single scenes are in there and are not raised.

    Raises
    ------
    OutputError
        If the root is in a bucket that is not there or not ours.
    ClusterError
        If the cluster cannot be started or reached, is lost, or has no `odc_cleansat`.
    """
    Folder(plan.request.root).check_usable()
    begun = time.monotonic()
    with FailureLog(failures) as log, Stop(reporter.say) as stop:
        job = BatchJob(dc, plan, retries, log, reporter, run_id or uuid.uuid4().hex[:12])
        watch(job)
        if plan.request.only_accepted:
            job.index_accepted(stop)
        elif plan.missing:
            job.make_masks(stop, workers, scheduler)
    interrupted = stop() and job.left > 0
    return Report(
        plan,
        job.masked,
        job.meanwhile,
        tuple(job.failures),
        interrupted,
        time.monotonic() - begun,
        job.rejected,
        job.run_id,
    )


class BatchJob:
    """A plan that is being carried out: hands out its scenes, indexes their masks, and counts.

    Parameters
    ----------
    dc
        The datacube of the plan; None for a list of items.
    plan
        What there is to do.
    retries
        How often a scene is tried again.
    log
        Where failures are listed, first those of the plan.
    reporter
        Is told how it goes on.
    run_id
        Id of the run.
    """

    def __init__(
        self,
        dc: Datacube | None,
        plan: Plan,
        retries: int,
        log: FailureLog,
        reporter: Reporter = SILENT,
        run_id: str = "",
    ) -> None:
        self._dc = dc
        self._plan = plan
        self._retries = retries
        self._log = log
        self._reporter = reporter
        self.run_id = run_id
        self._settings = shared()
        self._catalog = open_catalog(plan.request.root)
        self._moved = time.time()
        """When the last scene was over, or it began; seconds since 1970."""
        self._count: Count = count_nothing
        """Of the step under way."""
        self.masked = self.meanwhile = self.rejected = 0
        self.failures: list[Failure] = []
        self._unwritten = 0
        """Masks that could not be written, the last ones in a row."""
        for failure in plan.failures:
            self._list(failure)

    @property
    def done(self) -> int:
        """Scenes of the plan that are over, well or not."""
        failed = len(self.failures) - len(self._plan.failures)
        return self.masked + self.meanwhile + self.rejected + failed

    @property
    def left(self) -> int:
        """Scenes of the plan that are not over."""
        return len(self._plan.missing) - self.done

    def figures(self) -> Iterator[Figure]:
        """Yield what is counted, for Prometheus."""
        states = {
            "masked": self.masked,
            "masked_by_others": self.meanwhile,
            "rejected": self.rejected,
            "failed": len(self.failures),
            "left": self.left,
        }
        yield Figure("cleansat_run_scenes", "Scenes of the run, by state", "state", states)
        text = "When the last scene was over, or the run began, seconds since 1970"
        moved = {self.run_id: self._moved}
        yield Figure("cleansat_run_last_scene_timestamp_seconds", text, "run", moved)

    def index_accepted(self, stop: Callable[[], bool]) -> None:
        """Index the masks that are written and that reviewers have accepted."""
        text = f"Indexing {len(self._plan.missing)} masks"
        with self._reporter.step(text, "mask") as self._count:
            for task in self.tasks():
                assert isinstance(task, SceneTask)  # a list has no datacube to index in
                self.finish(task, find_mask(task))
                if stop():
                    break

    def make_masks(self, stop: Callable[[], bool], workers: int | None, scheduler: Any) -> None:
        """Make and index the masks on a cluster; see :func:`execute`."""
        scenes = len(self._plan.missing)
        try:
            with dask_client(workers, scheduler, scenes) as client:
                if page := dashboard(client):
                    self._reporter.say(f"The dashboard of dask is at {page}")
                text = f"Masking {scenes} scenes on {describe(client)}"
                together = sum(client.nthreads().values())
                with self._reporter.step(text, "scene", together) as self._count:
                    for task, outcome in work_through(
                        client, make_mask, self.tasks(), lambda: stop() or self._is_stuck()
                    ):
                        self.finish(task, outcome)
        except ClusterError:
            if not stop():  # else it was stopped while it came up, or went down
                raise
        if self.left and self._is_stuck():
            self._reporter.say(
                f"The last {self._unwritten} masks could not be written, so no more are made: "
                f"{self.failures[-1].reason} When that is mended, the same command goes on; {self.left} are left."
            )

    def tasks(self) -> Iterator[BatchTask]:
        """Yield tasks as they are taken; scenes that were masked since the plan are passed over."""
        for found in self._surveyed():
            if found.failure:
                self._over(found.failure)
            elif found.masked:
                self.meanwhile += 1
                self._over()
            elif found.state not in (None, "accepted"):
                self.rejected += 1
                self._over()
            else:
                yield self._task(found)

    def _task(self, found: SurveyedScene) -> BatchTask:
        request = self._plan.request
        how = request.root, request.model, request.offset, self._retries, self._settings
        if isinstance(found.scene, StacRow):
            return ListedTask(found.scene, *how, self.run_id, refine=request.refine)
        assert found.mask is not None
        return SceneTask(found.scene, found.mask, *how, self.run_id, refine=request.refine)

    def _surveyed(self) -> Iterator[SurveyedScene]:
        """Look the missing scenes up again, as they are handed out."""
        missing, request = self._plan.missing, self._plan.request
        if self._plan.items is not None:
            return survey_list(self._plan.items, request, self._catalog, among=set(missing))
        assert self._dc is not None
        # In random order, so that two runs that began together do not do the same side by side.
        return survey(self._dc, request, random.sample(missing, len(missing)))

    def finish(self, task: BatchTask, outcome: WrittenMask | Failure | BaseException) -> None:
        """Index a mask that is written, or note why there is none."""
        if isinstance(outcome, BaseException):
            outcome = Failure.of(task.dataset, task.mask, "mask", explained(outcome))
        if isinstance(outcome, WrittenMask):
            if outcome.rejected and self._plan.request.index:
                self.rejected += 1
                self._over()
                return
            outcome = self._keep(task, outcome)
        if isinstance(outcome, Failure):
            written = outcome.error != OutputError.__name__
            self._unwritten = 0 if written else self._unwritten + 1
            self._over(outcome)
            return
        self._unwritten = 0
        if outcome.found:
            self.meanwhile += 1
        else:
            self.masked += 1
        self._over()

    def _keep(self, task: BatchTask, mask: WrittenMask) -> WrittenMask | Failure:
        """Index a mask, where masks are indexed, and pass on the warnings of its worker."""

        def index() -> None:
            if self._dc is not None and self._plan.request.index:
                add_dataset(self._dc, mask.document)
            else:
                scene = mask.scene or task.dataset
                assert not isinstance(scene, StacRow)
                self._catalog.add(mask.document, scene)

        indexed: Failure | None = with_retries(index, task, "index", CubeError)
        for text in mask.warnings:
            warnings.warn(
                f"{dataset_label(task.dataset)}: {text}", ReflectanceWarning, stacklevel=2
            )
        return indexed if isinstance(indexed, Failure) else mask

    def _is_stuck(self) -> bool:
        return self._unwritten >= UNWRITTEN

    def _over(self, failure: Failure | None = None) -> None:
        """Count one more scene."""
        if failure:
            self._list(failure)
            self._reporter.say(f"  failed: {failure.label}: {failure.reason}", level="error")
        self._moved = time.time()
        note = f"{len(self.failures)} failed" if self.failures else ""
        self._count(self.done, len(self._plan.missing), note)

    def _list(self, failure: Failure) -> None:
        self.failures.append(failure)
        self._log.write(failure)
