"""What runs on a worker: the mask of one scene is made, or found, without a database.

A client that follows a mask names its work by a *ticket*. Workers tell under the ticket how far they are. When they
are told that nobody wants it any more, they break the network off in the midst of a window.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar
from uuid import UUID

from ..errors import (
    CleansatError,
    LightWarning,
    ModelError,
    OutputError,
    ReflectanceWarning,
    SceneError,
)
from ..masks.tasks import Progress
from ..models.engines import get_engine
from ..models.openvino_engine import release_memory
from ..models.registry import get_model
from ..products.verdict_files import folder_of, read_many, review_state
from ..settings import adopt, setting
from .cluster import THREADS_VARIABLE
from .records import Failure
from .tasks import BatchTask, RefineTask, SceneTask, Task

if TYPE_CHECKING:
    from datacube.model import Dataset
    from distributed import Client

_LONGEST_PAUSE = 60.0
"""Seconds."""

_TELL_EVERY = 0.2
"""Seconds between two messages of progress."""

_WITHDRAWN: set[str] = set()
"""Tickets of this worker that nobody wants any more."""

T = TypeVar("T")


class WithdrawnError(CleansatError):
    """A mask that is not made, because nobody wants it any more."""


class WrittenMask(NamedTuple):
    """A mask that is written."""

    document: str | Path
    """Its EO3 document."""

    warnings: tuple[str, ...] = ()
    """What was said of reflectance while it was made."""

    rejected: bool = False
    """Whether reviewers have rejected it; then it was there before."""

    found: bool = False
    """Whether it was there already, whole."""

    scene: Dataset | None = None
    """The scene, if whoever handed out the task knew no more than its row in a list."""


def make_mask(task: BatchTask) -> WrittenMask | Failure:
    """Make the mask of one scene, or find that it is written already; runs on a worker."""
    _begin(task)
    return with_retries(lambda: _make(task), task, "mask", ModelError)


def _make(task: Task | BatchTask, progress: Progress | None = None) -> WrittenMask:
    with collected_warnings() as foreseen:
        mask, there, run, scene = task.making()
    with collected_warnings() as texts:
        document = there or run(progress)
    if progress is not None:  # else a plan has told them
        texts = foreseen + texts
    rejected = is_rejected(mask, document)
    return WrittenMask(document, tuple(texts), rejected, there is not None, scene)


def make_followed_mask(task: Task, ticket: str, topic: str) -> WrittenMask | Failure:
    """Make the mask of one scene as :func:`make_mask` does, while a client looks on; runs on a worker.

    When work begins, and from then on some times a second, the worker logs an event under the topic: a dictionary
    with ``ticket``, ``worker`` (its address), ``done`` and ``total`` (windows; 0 while the total is not known).
    Once the part of the task is there, an event has ``ticket`` and ``part``, the path of its document.

    Parameters
    ----------
    task
        The scene.
    ticket
        Name of this work, for :func:`withdraw_ticket`. Work that is withdrawn ends as the failure
        :class:`WithdrawnError`, unless all its windows were done; then it is finished.
    topic
        Where events are logged.
    """
    from distributed import get_worker

    worker = get_worker()
    told = float("-inf")

    def check(*_: object) -> None:
        if ticket in _WITHDRAWN:
            raise WithdrawnError("nobody wants the mask any more.")

    def progress(done: int, total: int) -> None:
        nonlocal told
        check()
        if done == total or time.monotonic() - told >= _TELL_EVERY:
            told = time.monotonic()
            event = {"ticket": ticket, "worker": worker.address, "done": done, "total": total}
            worker.log_event(topic, event)

    def make() -> WrittenMask:
        progress(0, 0)
        if document := _make_part(task, check):
            worker.log_event(topic, {"ticket": ticket, "part": str(document)})
        return _make(task, progress)

    _begin(task)
    try:
        return with_retries(make, task, "mask", (ModelError, WithdrawnError))
    finally:
        _WITHDRAWN.discard(ticket)
        _give_memory_back()


def _give_memory_back() -> None:
    """Let the system have what is free, for the next mask may be long in coming: after a whole tile over 1 GB."""
    release_memory()
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # another C library than GNU's
        ctypes.CDLL(None).malloc_trim(0)


def _make_part(task: Task, progress: Progress) -> Path | str | None:
    """Make the part of a mask that is wanted first; what goes wrong is told when the whole is made."""
    if isinstance(task, RefineTask) or task.part is None:
        return None
    with collected_warnings(), contextlib.suppress(SceneError, OutputError):
        job = task.job()
        if job.document is None:
            return job.run_part(task.part.grid, task.part.root, progress)
    return None


def withdraw_ticket(ticket: str) -> None:
    """Let the work under a ticket be broken off; runs on the worker that has it."""
    _WITHDRAWN.add(ticket)


def stop_ticket(client: Client, ticket: str, worker: str) -> None:
    """Tell a worker to break work off; in a thread, for one that has died answers after half a minute, if at all."""

    def tell() -> None:
        with contextlib.suppress(Exception):
            client.run(withdraw_ticket, ticket, workers=[worker], on_error="ignore")

    threading.Thread(target=tell, name="cleansat-withdraw", daemon=True).start()


def warm_up() -> None:
    """Load the default model and all that masking needs, so that the first mask is as fast as others."""
    _limit_threads()
    with contextlib.suppress(CleansatError):  # whoever makes the first mask is told
        get_engine(get_model(None))
    # The 0.7 s of a processor that these take, the first mask would take longer.
    for name in (
        "antimeridian",
        "astral.sun",
        "datacube",
        "eodatasets3",
        "pystac",
        "scipy.ndimage",
    ):
        import_module(name)


def find_mask(task: SceneTask) -> WrittenMask | Failure:
    """Find the mask of one scene, which should be written already."""
    return with_retries(lambda: _find(task), task._replace(retries=0), "mask", ModelError)


def _find(task: SceneTask) -> WrittenMask:
    with collected_warnings():
        document = task.job().document
    if document is None:
        raise OutputError("the mask is not whole; without only_accepted=True it is made again.")
    return WrittenMask(document, rejected=is_rejected(task.mask, document))


def is_rejected(mask: UUID, document: str | Path) -> bool:
    """Return whether reviewers have rejected a mask that is written.

    Raises
    ------
    OutputError
        If the verdicts cannot be read.
    """
    said, unread = read_many({mask: folder_of(document)})
    if unread:
        raise OutputError(unread[mask])
    return review_state(said[mask]) == "rejected"


def with_retries(
    act: Callable[[], T],
    task: Task | BatchTask,
    stage: str,
    final: type[Exception] | tuple[type[Exception], ...],
) -> T | Failure:
    """Try until it succeeds, with pauses of one second, two, four and so on.

    Parameters
    ----------
    act
        What is tried.
    task
        Says how often it is tried again, and for which scene.
    stage
        Of a failure: ``mask`` or ``index``.
    final
        Errors after which it is not tried again.

    Returns
    -------
    object
        What `act` returned, or a :class:`Failure`.
    """
    attempt = 1
    while True:
        try:
            return act()
        except Exception as error:
            if attempt > task.retries or isinstance(error, final):
                return Failure.of(task.dataset, task.mask, stage, error, attempt)
        time.sleep(min(2.0 ** (attempt - 1), _LONGEST_PAUSE))
        attempt += 1


@contextlib.contextmanager
def collected_warnings() -> Iterator[list[str]]:
    """Silence all warnings in a block; the list has at its end those about reflectance and light, each text once."""
    texts: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield texts
    told = (ReflectanceWarning, LightWarning)
    texts.extend(dict.fromkeys(str(w.message) for w in caught if w.category in told))


def _begin(task: Task | BatchTask) -> None:
    """Let the settings of the run count on this worker."""
    adopt(task.settings)
    _limit_threads()


def _limit_threads() -> None:
    """Let the network use as many processors as the worker has threads, unless something else is set."""
    from distributed import get_worker

    with contextlib.suppress(ValueError):  # not on a worker
        if setting("threads") is None:
            os.environ.setdefault(THREADS_VARIABLE, str(get_worker().state.nthreads))
