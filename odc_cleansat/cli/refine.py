"""`cleansat refine`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import CleansatError
from .console import Console, describe_error
from .main import INTERRUPTED, SOME_FAILED
from .options import connected, datacube_options, model_option, query_options, search_terms

if TYPE_CHECKING:
    from datacube import Datacube

    from ..cube.refining import RefineJob
    from ..progress import Count


@click.command(
    "refine",
    epilog="""\b
Examples:
  cleansat refine --product s2_l2a --time 2024-06 -o masks
  cleansat refine --time 2024-06-15 --earlier -o s3://bucket/masks
  cleansat recall --product s2_l2a_ucl_time --time 2024-06-15 -o refined.tif

\b
Exit codes: 0 done, 1 failed (the message says why), 2 wrong usage,
3 some masks failed, 130 stopped by Ctrl-C.
After 1, 3 and 130 the same command goes on where it stopped.
""",
)
@click.option(
    "--product", metavar="NAME", default="s2_l2a", show_default=True, help="Product of scenes."
)
@query_options
@model_option
@click.option(
    "--earlier",
    is_flag=True,
    help="Compare with earlier dates alone, as they are all that is known in near real time.",
)
@click.option(
    "-o",
    "--out",
    required=True,
    metavar="DIR",
    help="Where the masks are kept: a folder, or s3://BUCKET/PREFIX.",
)
@click.option(
    "--index/--no-index",
    default=True,
    show_default=True,
    help="Put the masks in the datacube, as the product s2_l2a_ucl_time.",
)
@datacube_options
@click.pass_context
def command(
    context: click.Context,
    product: str,
    time: str | None,
    bbox: tuple[float, float, float, float] | None,
    model: str | None,
    earlier: bool,
    out: str,
    index: bool,
    config: tuple[str, ...],
    env: str | None,
) -> None:
    """Improve indexed masks by the other dates of the same place.

    Each mask is compared with the masks and scenes within 45 days. Shadow must be darker than the ground was, cloud
    must not look like it, and an even blue excess is a thin veil. What is masked on most dates alone, such as a roof,
    is clear. The result is a mask of its own, with lineage to all dates that were used; the mask of before stays.

    Run again, it makes only what is missing. Where more dates have masks by now, a mask is made anew, and the one of
    before is archived. Masks of one grid are made together, up to 16 at a time. Ctrl-C lets those be finished.
    """
    from ..batch.stop import Stop
    from ..cube.embedded import make_folder
    from ..cube.refining import refine_jobs

    root = out if "://" in out else Path(out).absolute()
    if isinstance(root, Path):
        make_folder(root)
    console = Console()
    counts = {"refined": 0, "there already": 0, "without another date": 0, "failed": 0}
    with connected(config, env) as dc, Stop(console.say) as stop:
        terms = search_terms(time, bbox)
        jobs = [*refine_jobs(dc, product, root, model=model, hindsight=not earlier, terms=terms)]
        missing = [job for job in jobs if _is_missing(dc, job, index, console, counts)]
        _refine(dc, missing, index, console, counts, stop)
    if not jobs:
        console.say("No scene has a mask to refine; `cleansat run` makes masks.")
        return
    console.say(", ".join(f"{count} {what}" for what, count in counts.items() if count) + ".")
    if left := len(jobs) - sum(counts.values()):
        console.say(f"Stopped with {left} left; the same command goes on from here.")
        context.exit(INTERRUPTED)
    if counts["failed"]:
        context.exit(SOME_FAILED if counts["failed"] < len(jobs) else 1)


def _is_missing(
    dc: Datacube, job: RefineJob, index: bool, console: Console, counts: dict[str, int]
) -> bool:
    """Count a job whose mask is there or cannot be made; return whether it is to do."""
    if not job.around:
        counts["without another date"] += 1
        return False
    if (document := job.document) is None:
        return True
    counts[_indexed(dc, job, document, index, console, "there already")] += 1
    return False


def _refine(
    dc: Datacube,
    jobs: Sequence[RefineJob],
    index: bool,
    console: Console,
    counts: dict[str, int],
    stop: Callable[[], bool],
) -> None:
    """Make masks, those of one grid together, and index them, until it is to stop."""
    from ..cube.dates_together import batches, parts_of, run_batch

    together = batches(jobs)
    if not together:
        return
    sizes = [parts_of(batch) * len(batch) for batch in together]
    with console.step(_what(jobs), "part") as count:
        for i, (batch, size) in enumerate(zip(together, sizes, strict=True)):
            if stop():
                break
            note = f"{counts['refined']} of {len(jobs)} refined"
            progress = partial(_count, count, sum(sizes[:i]), size, sum(sizes), note)
            for job, made in run_batch(batch, progress):
                counts[_indexed(dc, job, made, index, console, "refined")] += 1


def _count(
    count: Count, before: int, size: int, total: int, note: str, done: int, steps: int
) -> None:
    """Tell how far all masks are, from the steps of those that are made together."""
    count(before + size * done // steps, total, note)


def _what(jobs: Sequence[RefineJob]) -> str:
    """Return what is done, for a person."""
    if len(jobs) == 1:
        return f"Refining {jobs[0].label} by {len(jobs[0].around)} other dates"
    return f"Refining {len(jobs)} masks, from {jobs[0].label} to {jobs[-1].label}"


def _indexed(
    dc: Datacube,
    job: RefineJob,
    made: Path | str | CleansatError,
    index: bool,
    console: Console,
    what: str,
) -> str:
    """Index the mask of a job; return what became of it."""
    from ..cube.refining import index_refined

    try:
        if isinstance(made, CleansatError):
            raise made
        if index:
            _, old = index_refined(dc, made)
            for each in old:
                console.say(f"  archived {each.id}, which was made from other dates")
    except CleansatError as error:
        console.say(f"  {job.label}: {describe_error(error)}")
        return "failed"
    return what
