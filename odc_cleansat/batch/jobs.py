"""The list of a queue: which masks people have asked for, and how far each is."""

from __future__ import annotations

import datetime
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

from ..errors import CleansatError
from .metrics import Figure, watch
from .records import dataset_id, dataset_label
from .tasks import RefineTask, Task

STATES = ("waiting", "running", "indexing", "done", "found", "failed", "withdrawn")
"""The states of a job. The last four are final."""

KEPT = 200
"""How many jobs that are over are remembered, the latest ones."""


class QueueFullError(CleansatError):
    """A queue that takes no more masks, of a person or at all."""


@dataclass(frozen=True)
class Job:
    """A mask that was asked for, as it is at one moment."""

    mask: UUID
    """Id of the mask, which follows from all that it is made of."""

    scene: UUID
    """Id of the scene's dataset."""

    label: str
    """Name of the scene for people."""

    persons: tuple[str, ...]
    """Who wants it, in the order of asking. A running job that nobody wants is about to stop."""

    state: str
    """One of :data:`STATES`."""

    asked: datetime.datetime
    """When it was asked for first, UTC."""

    begun: datetime.datetime | None = None
    """When a worker began it, UTC."""

    ended: datetime.datetime | None = None
    """When it was over, UTC."""

    done: int = 0
    """Windows done; of a mask that is refined by other dates, steps."""

    total: int = 0
    """Windows or steps there are; 0 as long as that is not known."""

    place: int | None = None
    """Place among those that wait: 1 comes next."""

    reason: str = ""
    """Why it failed, in words."""

    warnings: tuple[str, ...] = ()
    """What people should know of the mask, in words."""

    document: Path | str | None = None
    """Path or URL of the mask's EO3 document, once it is written."""

    light: bool = True
    """Whether light refines it."""

    dates: str = ""
    """By which other dates it is refined: ``hindsight``, ``earlier`` alone, or none."""

    part: str | None = None
    """Path of the EO3 document of a part of the mask, to be looked at while the whole is being made."""

    @property
    def part_id(self) -> UUID:
        """The id under which the part is known, which is not the mask's."""
        return uuid5(self.mask, "part")

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in STATES[3:]


@dataclass
class _Entry:
    """A job that is not over."""

    job: Job
    task: Task
    taken: bool = False
    """Whether it was handed to the cluster."""

    former: tuple[str, ...] = ()
    """Who does not want it any more."""


class Jobs:
    """The jobs of a queue. Any thread may call any method.

    Parameters
    ----------
    most_waiting
        How many may wait at a time.
    most_per_person
        How many that are not over one person may want at a time.
    """

    def __init__(self, most_waiting: int, most_per_person: int) -> None:
        self._most_waiting = most_waiting
        self._most_per_person = most_per_person
        self._lock = threading.RLock()
        self._active: dict[UUID, _Entry] = {}
        """In the order of asking."""
        self._over: dict[UUID, Job] = {}
        """In the order in which they ended."""
        watch(self)

    def figures(self) -> Iterator[Figure]:
        """Yield how many jobs there are in each state, for Prometheus; of those over, the latest."""
        states = dict.fromkeys(STATES, 0.0) | Counter(job.state for job in self.all())
        yield Figure(
            "cleansat_queue_jobs", "Masks that people asked for, by state", "state", states
        )

    def all(self) -> list[Job]:
        """Return all jobs: those not over in the order of asking, then the others, the latest first."""
        with self._lock:
            active, place = [], 0
            for entry in self._active.values():
                waits = entry.job.state == "waiting"
                place += waits
                active.append(replace(entry.job, place=place if waits else None))
            return active + list(self._over.values())[::-1]

    def get(self, mask: UUID) -> Job | None:
        """Return the job of a mask; None if nobody has asked for it, or that was long ago."""
        return next((job for job in self.all() if job.mask == mask), None)

    def join(self, mask: UUID, person: str) -> Job | None:
        """Note one more person for a job that is not over; return the job, or None if there is none.

        Raises
        ------
        QueueFullError
            If the person wants as many as one may.
        """
        with self._lock:
            if (entry := self._active.get(mask)) is None:
                return None
            if person not in entry.job.persons:
                self._check_person(person)
                entry.job = replace(entry.job, persons=(*entry.job.persons, person))
            return self.get(mask)

    def add(self, task: Task, person: str) -> Job:
        """Let a mask wait for its turn, or join the job that there is.

        Raises
        ------
        QueueFullError
            If too many wait, or the person wants as many as one may.
        """
        with self._lock:
            if joined := self.join(task.mask, person):
                return joined
            self._check_person(person)
            waiting = sum(entry.job.state == "waiting" for entry in self._active.values())
            if waiting >= self._most_waiting:
                raise QueueFullError(
                    f"{_masks(waiting)} already in the queue, as many as may wait; ask again when some are done."
                )
            self._over.pop(task.mask, None)
            self._active[task.mask] = _Entry(new_job(task, person, "waiting"), task)
            return self.all()[len(self._active) - 1]  # the last of them

    def _check_person(self, person: str) -> None:
        wanted = sum(person in entry.job.persons for entry in self._active.values())
        if wanted >= self._most_per_person:
            raise QueueFullError(
                f"{person} waits for {_masks(wanted)} already, as many as one person may; withdraw one, or ask "
                "again when one is done."
            )

    def add_over(self, job: Job) -> None:
        """List a job that was over when it was asked for."""
        with self._lock:
            self._list(job)

    def has_next(self) -> bool:
        """Return whether a task has not been handed to the cluster."""
        with self._lock:
            return any(not entry.taken for entry in self._active.values())

    def take(self) -> Task | None:
        """Return the next task that has not been handed to the cluster, if there is one; it is now."""
        with self._lock:
            entry = next((e for e in self._active.values() if not e.taken), None)
            if entry is None:
                return None
            entry.taken = True
            return entry.task

    def put_back(self, mask: UUID) -> None:
        """Let a job wait again, at the end."""
        with self._lock:
            entry = self._active.pop(mask)
            waiting = replace(entry.job, state="waiting", begun=None, done=0, total=0)
            self._active[mask] = _Entry(waiting, entry.task)

    def withdraw(self, mask: UUID, person: str) -> bool:
        """Note that a person does not want a mask any more.

        Returns
        -------
        bool
            Whether the cluster has it and has to be told, because nobody wants it now.
        """
        with self._lock:
            entry = self._active.get(mask)
            if entry is None or person not in entry.job.persons:
                return False
            left = tuple(each for each in entry.job.persons if each != person)
            entry.job = replace(entry.job, persons=left)
            entry.former += (person,)
            if left or entry.job.state == "indexing":
                return False
            if not entry.taken:
                self.end(mask, "withdrawn")
            return entry.taken

    def is_wanted(self, mask: UUID) -> bool:
        """Return whether anybody wants a mask that is not over."""
        with self._lock:
            entry = self._active.get(mask)
            return entry is not None and bool(entry.job.persons)

    def update(self, mask: UUID, **changes: Any) -> None:
        """Change fields of a job that is not over."""
        with self._lock:
            if entry := self._active.get(mask):
                entry.job = replace(entry.job, **changes)

    def end(self, mask: UUID, state: str, **changes: Any) -> None:
        """Let a job be over, in one of the final states."""
        with self._lock:
            if entry := self._active.pop(mask, None):
                persons = entry.job.persons or entry.former
                job = replace(entry.job, state=state, ended=now(), persons=persons, **changes)
                self._list(job)

    def end_all(self, state: str, reason: str) -> None:
        """Let all jobs be over, but for those whose masks are written."""
        with self._lock:
            for mask, entry in list(self._active.items()):
                if entry.job.state != "indexing":
                    self.end(mask, state, reason=reason)

    def _list(self, job: Job) -> None:
        self._over.pop(job.mask, None)
        self._over[job.mask] = job
        while len(self._over) > KEPT:
            del self._over[next(iter(self._over))]


def _masks(count: int) -> str:
    return "1 mask" if count == 1 else f"{count} masks"


def new_job(task: Task, person: str, state: str) -> Job:
    """Return a job that a person asks for now."""
    label = dataset_label(task.dataset)
    scene = dataset_id(task.dataset)
    dates = task.dates if isinstance(task, RefineTask) else ""
    return Job(task.mask, scene, label, (person,), state, now(), light=task.refine, dates=dates)


def now() -> datetime.datetime:
    """Return the time, UTC."""
    return datetime.datetime.now(datetime.UTC)
