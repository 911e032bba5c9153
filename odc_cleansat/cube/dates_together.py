"""Masks of several dates of one place, refined together: what they are compared with is read once for all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ..errors import CleansatError
from ..grids.cells import parts
from ..products.refined import write_refined
from .over_time import PART
from .refining import Progress, RefineJob, refined_masks, scenes_of

TOGETHER = 16
"""Most masks that are refined together. As many dates again and a few more are read for their sake."""

PIXELS = 500_000_000
"""Most pixels of such masks, each of two bytes."""


def batches(jobs: Sequence[RefineJob]) -> list[list[RefineJob]]:
    """Return jobs in groups that are done together, with the same result as one by one.

    Parameters
    ----------
    jobs
        In the order of time.

    Returns
    -------
    list of list
        Each of one grid, and of times that all differ: of several scenes of one time a pixel has the first alone.
    """
    found: dict[object, list[list[RefineJob]]] = {}
    for job in jobs:
        grid = job.grid
        most = max(1, min(TOGETHER, PIXELS // (grid.shape[0] * grid.shape[1])))
        same = found.setdefault((grid, job.options, job.hindsight), [])
        if same and len(same[-1]) < most and _apart([*same[-1], job]):
            same[-1].append(job)
        else:
            same.append([job])
    return [batch for same in found.values() for batch in same]


def _apart(jobs: Sequence[RefineJob]) -> bool:
    """Whether all scenes of some jobs are of different times."""
    times = [each.scene.center_time for each in scenes_of(jobs)]
    return len({*times}) == len(times)


def parts_of(batch: Sequence[RefineJob]) -> int:
    """Return into how many parts the grid of a batch is cut."""
    return sum(1 for _ in parts(batch[0].grid, PART))


def run_batch(
    batch: Sequence[RefineJob], progress: Progress | None = None
) -> Iterator[tuple[RefineJob, Path | str | CleansatError]]:
    """Refine the masks of a batch and write them, each complete or not at all.

    Parameters
    ----------
    batch
        One of :func:`batches`.
    progress
        Called with the number of steps done and of all steps.

    Yields
    ------
    job : RefineJob
        Each of the batch.
    made : Path or str or CleansatError
        Path or URL of the EO3 document, or why there is none. What fails together is tried one by one.
    """
    try:
        masks = refined_masks(batch, progress)
    except CleansatError as error:
        if len(batch) == 1:
            yield batch[0], error
            return
        for job in batch:
            yield from run_batch([job], progress)
        return
    for job, mask in zip(batch, masks, strict=True):
        try:
            job.root.check_name()
            yield job, write_refined(mask, job.how, job.root)
        except CleansatError as error:
            yield job, error
