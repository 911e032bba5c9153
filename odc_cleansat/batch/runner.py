"""Execute a plan: mask each scene on a dask cluster, index the masks, and list the failures."""

from __future__ import annotations

import contextlib
import os
import random
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from uuid import UUID

from ..cube.index import add_dataset
from ..errors import CubeError, ModelError, OutputError, ReflectanceWarning
from ..models.model import Model
from ..products.job import MaskJob
from ..products.verdicts import folder_of, read_many, state
from ..storage.folder import Folder
from .cluster import THREADS_VARIABLE, ClusterError, Stop, dask_client, describe, work_through
from .records import Failure, Plan, Report, _failure, _label
from .survey import _heard, _survey, plan

if TYPE_CHECKING:
    from datacube import Datacube
    from datacube.model import Dataset


UNWRITTEN = 5
"""Masks that cannot be written, one after the other, after which no more are made."""

RETRIES = 2
"""How often a scene is tried again."""
_LONGEST_PAUSE = 60.0


class Watcher(Protocol):
    """Is told how a run goes on."""

    def say(self, text: str) -> None:
        """Take note of something that a person should know."""

    def scene(self, done: int, total: int, failure: Failure | None) -> None:
        """Take note that one more scene is over, well or not."""


def run(
    dc: Datacube,
    product: str,
    *,
    root: str | Path,
    model: str | Model | None = None,
    offset: float | None = None,
    index: bool = True,
    only_accepted: bool = False,
    limit: int | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    retries: int = RETRIES,
    watcher: Watcher | None = None,
    **query: Any,
) -> Report:
    """Mask all scenes of a query that have no mask yet: :func:`plan` and :func:`execute`.

    See these two for parameters and errors.

    Examples
    --------
    >>> report = run(dc, "s2_l2a", root="masks", time="2024-06", workers=4)  # doctest: +SKIP
    """
    found = plan(
        dc,
        product,
        root=root,
        model=model,
        offset=offset,
        index=index,
        only_accepted=only_accepted,
        limit=limit,
        **query,
    )
    return execute(
        dc, found, workers=workers, scheduler=scheduler, retries=retries, watcher=watcher
    )


# --- doing it -------------------------------------------------------------------------


def execute(
    dc: Datacube,
    found: Plan,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    retries: int = RETRIES,
    watcher: Watcher | None = None,
) -> Report:
    """Make the masks that a plan misses, on a dask cluster, and index each when it is written.

    If five masks one after the other cannot be written, no more are made: a disk is full, or a store does not answer.
    A mask that was written before and that reviewers have rejected is not indexed. A plan with
    `only_accepted` needs no cluster: its masks are written.

    On the first Ctrl-C, or SIGTERM, no more scenes are begun and those under way are finished; on the
    second, everything stops at once. Either way nothing half-made can be seen.

    Parameters
    ----------
    dc
        The datacube of the plan.
    found
        From :func:`plan`.
    workers
        Processes on this machine; by default as many as it has processors and memory for.
    scheduler
        Address of a dask scheduler, for instance ``tcp://host:8786``, in place of processes here. Its
        workers need this package, the scenes' files and, under the same name, the root.
    retries
        How often a scene is tried again, after pauses that double from one second.
    watcher
        Is told how it goes on.

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
    Folder(found.request.root).check()
    begun = time.monotonic()
    tally = _Tally(dc, found, retries, watcher)
    if found.request.only_accepted:
        with Stop(tally.say) as stop:
            for unit in tally.units():
                tally.finish(unit, find_mask(unit))
                if stop():
                    break
            tally.interrupted = stop() and tally.left > 0
    elif found.missing:
        with Stop(tally.say) as stop:
            try:
                with dask_client(workers, scheduler, len(found.missing)) as client:
                    tally.say(f"{len(found.missing)} scenes to mask on {describe(client)}.")
                    units = work_through(
                        client, make_mask, tally.units(), lambda: stop() or tally.stuck
                    )
                    for unit, outcome in units:
                        tally.finish(unit, outcome)
            except ClusterError:
                if not stop():  # else it was stopped while it came up, or went down
                    raise
            tally.interrupted = stop() and tally.left > 0
        if tally.left and tally.stuck:
            tally.say(
                f"The last {tally.unwritten} masks could not be written, so no more are made: "
                f"{tally.failures[-1].reason} When that is mended, the same command goes on; {tally.left} are left."
            )
    seconds = time.monotonic() - begun
    return Report(
        found,
        tally.masked,
        tally.meanwhile,
        tuple(tally.failures),
        tally.interrupted,
        seconds,
        tally.rejected,
    )


class Unit(NamedTuple):
    """One scene to mask: all that a worker needs to know, and small."""

    scene: Dataset
    mask: UUID
    root: str | Path
    model: str | Model | None
    offset: float | None
    retries: int

    @property
    def key(self) -> str:
        """Of its task. Dask takes what is between hyphens for words unless it is all one number."""
        return f"mask-{self.mask.hex}"


class Made(NamedTuple):
    """A mask that is written."""

    document: str | Path
    warnings: tuple[str, ...] = ()
    rejected: bool = False
    """Whether reviewers have rejected it; then it was there before."""

    found: bool = False
    """Whether it was there already, whole."""


def make_mask(unit: Unit) -> Made | Failure:
    """Make the mask of one scene, or find that it is written already; runs on a worker.

    An error comes back as a :class:`Failure`, in words: those of some libraries cannot be pickled.
    """
    _limit_threads()
    attempt = 0
    while True:
        attempt += 1
        try:
            with _heard():  # the plan has said it
                job = MaskJob(unit.scene, unit.root, unit.model, unit.offset)
            with _heard() as said:
                there = job.document
                document = there or job.run()
            rejected = _is_rejected(unit.mask, document)
        except Exception as error:
            if attempt > unit.retries or isinstance(error, ModelError):
                return _failure(unit.scene, unit.mask, "mask", error, attempt)
        else:
            return Made(document, tuple(said), rejected, there is not None)
        _pause(attempt)


def find_mask(unit: Unit) -> Made | Failure:
    """Find the mask of one scene, which should be written already."""
    try:
        with _heard():
            document = MaskJob(unit.scene, unit.root, unit.model, unit.offset).document
        if document is None:
            raise OutputError(
                "the mask is not whole; run without --only-accepted to make it again."
            )
        return Made(document, rejected=_is_rejected(unit.mask, document))
    except Exception as error:
        return _failure(unit.scene, unit.mask, "mask", error)


def _is_rejected(mask: UUID, document: str | Path) -> bool:
    said, unread = read_many({mask: folder_of(document)})
    if unread:
        raise OutputError(unread[mask])
    return state(said[mask]) == "rejected"


def _pause(attempt: int) -> None:
    """Before the next attempt: one second, two, four, and so on."""
    time.sleep(min(2.0 ** (attempt - 1), _LONGEST_PAUSE))


def _limit_threads() -> None:
    """Let the network use as many processors as the worker has threads, unless something else is set."""
    from distributed import get_worker

    with contextlib.suppress(ValueError):  # not on a worker
        os.environ.setdefault(THREADS_VARIABLE, str(get_worker().state.nthreads))


class _Tally:
    """Counts what is done, indexes it, and passes it on."""

    def __init__(self, dc: Datacube, found: Plan, retries: int, watcher: Watcher | None) -> None:
        self.dc = dc
        self.plan = found
        self.retries = retries
        self.watcher = watcher
        self.masked = self.meanwhile = self.rejected = 0
        self.unwritten = 0  # one after the other
        self.failures = list(found.failures)
        self.interrupted = False

    @property
    def done(self) -> int:
        done = self.masked + self.meanwhile + self.rejected
        return done + len(self.failures) - len(self.plan.failures)

    @property
    def left(self) -> int:
        return len(self.plan.missing) - self.done

    @property
    def stuck(self) -> bool:
        return self.unwritten >= UNWRITTEN

    def say(self, text: str) -> None:
        if self.watcher:
            self.watcher.say(text)

    def units(self) -> Iterator[Unit]:
        """Units of work, made as they are taken; scenes that were masked since the plan are passed over."""
        request = self.plan.request
        # So that two runners that began together do not do the same side by side.
        order = random.sample(self.plan.missing, len(self.plan.missing))
        for seen in _survey(self.dc, request, order, None):
            if seen.failure or seen.mask is None:
                self._count(seen.failure)
            elif seen.done:
                self.meanwhile += 1
                self._count(None)
            elif seen.state not in (None, "accepted"):
                self.rejected += 1
                self._count(None)
            else:
                yield Unit(
                    seen.scene,
                    seen.mask,
                    request.root,
                    request.model,
                    request.offset,
                    self.retries,
                )

    def finish(self, unit: Unit, outcome: Made | Failure | BaseException) -> None:
        """Index a mask that was made, or note why there is none."""
        failure: Failure | None = None
        if isinstance(outcome, Made) and outcome.rejected and self.plan.request.index:
            self.rejected += 1
            self._count(None)
            return
        if isinstance(outcome, Made):
            failure = self._index(unit, outcome) if self.plan.request.index else None
            for text in outcome.warnings:
                warnings.warn(f"{_label(unit.scene)}: {text}", ReflectanceWarning, stacklevel=2)
        elif isinstance(outcome, Failure):
            failure = outcome
        else:
            failure = _failure(unit.scene, unit.mask, "mask", _explained(outcome))
        if isinstance(outcome, Made) and outcome.found and failure is None:
            self.meanwhile += 1
        else:
            self.masked += failure is None
        full = failure is not None and failure.error == OutputError.__name__
        self.unwritten = self.unwritten + 1 if full else 0
        self._count(failure)

    def _index(self, unit: Unit, made: Made) -> Failure | None:
        attempt = 0
        while True:
            attempt += 1
            try:
                add_dataset(self.dc, made.document)
            except Exception as error:
                if attempt > self.retries or isinstance(error, CubeError):
                    return _failure(unit.scene, unit.mask, "index", error, attempt)
            else:
                return None
            _pause(attempt)

    def _count(self, failure: Failure | None) -> None:
        if failure:
            self.failures.append(failure)
        if self.watcher:
            self.watcher.scene(self.done, len(self.plan.missing), failure)


def _explained(error: BaseException) -> BaseException:
    """Say of dask's own errors what they mean."""
    from distributed.scheduler import KilledWorker

    if isinstance(error, KilledWorker):
        return ClusterError(
            f"{error.allowed_failures + 1} workers died at it, most likely for want of memory: a whole "
            "tile takes 3 GB. Use fewer workers on a machine, or give them more memory."
        )
    return error
