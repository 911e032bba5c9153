"""What runs on a worker: the mask of one scene is made, or found, without a database."""

from __future__ import annotations

import contextlib
import os
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar
from uuid import UUID

from ..errors import ModelError, OutputError, ReflectanceWarning
from ..models.model import Model
from ..products.job import MaskJob
from ..products.verdict_files import folder_of, read_many, review_state
from .cluster import THREADS_VARIABLE
from .records import Failure

if TYPE_CHECKING:
    from datacube.model import Dataset


_LONGEST_PAUSE = 60.0
"""Seconds."""

T = TypeVar("T")


class SceneTask(NamedTuple):
    """One scene to mask: all that a worker needs to know, and small."""

    scene: Dataset
    """Without what only an index needs."""

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

    @property
    def key(self) -> str:
        """Name of the task for dask, which takes what is between hyphens for words unless it is all one number."""
        return f"mask-{self.mask.hex}"

    def job(self) -> MaskJob:
        """Return the job of making the mask."""
        return MaskJob(self.scene, self.root, self.model, self.offset)


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


def make_mask(task: SceneTask) -> WrittenMask | Failure:
    """Make the mask of one scene, or find that it is written already; runs on a worker."""
    _limit_threads()
    return with_retries(lambda: _make(task), task, "mask", ModelError)


def _make(task: SceneTask) -> WrittenMask:
    with collected_warnings():  # the plan has told them
        job = task.job()
    with collected_warnings() as texts:
        there = job.document
        document = there or job.run()
    return WrittenMask(document, tuple(texts), _is_rejected(task, document), there is not None)


def find_mask(task: SceneTask) -> WrittenMask | Failure:
    """Find the mask of one scene, which should be written already."""
    return with_retries(lambda: _find(task), task._replace(retries=0), "mask", ModelError)


def _find(task: SceneTask) -> WrittenMask:
    with collected_warnings():
        document = task.job().document
    if document is None:
        raise OutputError("the mask is not whole; without only_accepted=True it is made again.")
    return WrittenMask(document, rejected=_is_rejected(task, document))


def _is_rejected(task: SceneTask, document: str | Path) -> bool:
    said, unread = read_many({task.mask: folder_of(document)})
    if unread:
        raise OutputError(unread[task.mask])
    return review_state(said[task.mask]) == "rejected"


def with_retries(
    act: Callable[[], T], task: SceneTask, stage: str, final: type[Exception]
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
        An error after which it is not tried again.

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
                return Failure.of(task.scene, task.mask, stage, error, attempt)
        time.sleep(min(2.0 ** (attempt - 1), _LONGEST_PAUSE))
        attempt += 1


@contextlib.contextmanager
def collected_warnings() -> Iterator[list[str]]:
    """Silence all warnings in a block; the list has at its end those about reflectance, each text once."""
    texts: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield texts
    of_reflectance = (str(w.message) for w in caught if w.category is ReflectanceWarning)
    texts.extend(dict.fromkeys(of_reflectance))


def _limit_threads() -> None:
    """Let the network use as many processors as the worker has threads, unless something else is set."""
    from distributed import get_worker

    with contextlib.suppress(ValueError):  # not on a worker
        os.environ.setdefault(THREADS_VARIABLE, str(get_worker().state.nthreads))
