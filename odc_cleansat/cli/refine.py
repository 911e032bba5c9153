"""`cleansat refine`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import CleansatError
from .console import Console, describe_error
from .main import SOME_FAILED
from .options import connected, datacube_options, model_option, query_options, search_terms

if TYPE_CHECKING:
    from datacube import Datacube

    from ..cube.refining import RefineJob


@click.command(
    "refine",
    epilog="""\b
Examples:
  cleansat refine --product s2_l2a --time 2024-06 -o masks
  cleansat refine --time 2024-06-15 --earlier -o s3://bucket/masks
  cleansat recall --product s2_l2a_ucl_time --time 2024-06-15 -o refined.tif

\b
Exit codes: 0 done, 1 failed (the message says why), 2 wrong usage, 3 some masks failed.
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
    before is archived.
    """
    from ..cube.embedded import make_folder
    from ..cube.refining import refine_jobs

    root = out if "://" in out else Path(out).absolute()
    if isinstance(root, Path):
        make_folder(root)
    console = Console()
    counts = {"refined": 0, "there already": 0, "without another date": 0, "failed": 0}
    with connected(config, env) as dc:
        terms = search_terms(time, bbox)
        jobs = [*refine_jobs(dc, product, root, model=model, hindsight=not earlier, terms=terms)]
        for job in jobs:
            counts[_refine(dc, job, index, console)] += 1
    if not jobs:
        console.say("No scene has a mask to refine; `cleansat run` makes masks.")
        return
    console.say(", ".join(f"{count} {what}" for what, count in counts.items() if count) + ".")
    if counts["failed"]:
        context.exit(SOME_FAILED if counts["failed"] < len(jobs) else 1)


def _refine(dc: Datacube, job: RefineJob, index: bool, console: Console) -> str:
    """Make the mask of one job and index it; return what became of it."""
    from ..cube.refining import index_refined

    if not job.around:
        return "without another date"
    try:
        document, made = job.document, "there already"
        if document is None:
            with console.step(f"Refining {job.label} by {len(job.around)} other dates"):
                document, made = job.run(), "refined"
        if index:
            _, old = index_refined(dc, document)
            for each in old:
                console.say(f"  archived {each.id}, which was made from other dates")
    except CleansatError as error:
        console.say(f"  {job.label}: {describe_error(error)}")
        return "failed"
    return made
