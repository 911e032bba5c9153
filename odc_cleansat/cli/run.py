"""`cleansat run`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..progress import duration
from .console import Console, describe_error
from .journal import journal, keep, run_id, tell
from .main import INTERRUPTED, SOME_FAILED
from .options import (
    connected,
    datacube_options,
    given_catalog,
    is_typed,
    json_option,
    metrics_options,
    plain_option,
    scene_options,
    search_terms,
)
from .wording import in_options

if TYPE_CHECKING:
    from datacube import Datacube

    from ..batch import Plan, Report, Request


FAILURES = Path("cleansat-failures.jsonl")
"""Where failures are listed by default."""

NONE_DONE = 4
"""Exit code where scenes failed and no scene has its mask."""

_SHOWN = 10
"""Scenes that a dry run names."""


def parse_part(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> tuple[int, int] | None:
    """Return K and N of ``K/N``.

    Raises
    ------
    click.BadParameter
        If there is no such part.
    """
    if value is None:
        return None
    found = re.fullmatch(r"(\d+)/(\d+)", value.strip())
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise click.BadParameter(
            f"{value!r} is no part; write K/N with K from 1 to N, like 3/100.", ctx, param
        )
    return int(found[1]), int(found[2])


@click.command(
    "run",
    epilog="""\b
Examples:
  cleansat product add
  cleansat run --product s2_l2a --time 2024-06 --dry-run -o masks
  cleansat run --time 2024-06 --bbox 13.6,47.7,13.8,47.9 -o masks
  cleansat run --time 2024 -o s3://bucket/masks --scheduler tcp://10.0.0.5:8786
  cleansat run --time 2024 -o masks --no-index
  cleansat run --time 2024 -o masks --only-accepted
  cleansat run --time 2024 -o masks --no-index --part 3/100
  cleansat run --items scenes.parquet --time 2024-06 --max-cloud 80 -o masks
  cleansat run --time 2024 -o masks --log-file run.log >/dev/null 2>&1

\b
Exit codes:
  0    all masks are there
  1    failed before any scene was begun (the message says why)
  2    wrong usage
  3    some scenes failed
  4    scenes failed, and no scene has its mask
  130  stopped by Ctrl-C or SIGTERM
After 1, 3, 4 and 130 the same command goes on where it stopped.
""",
)
@scene_options
@click.option(
    "--items",
    metavar="FILE|URL",
    help="A list of scenes in place of --product and a datacube: STAC items in a file of stac-geoparquet. Masks are "
    "entered in the catalogue of -o.",
)
@click.option(
    "--max-cloud",
    type=click.FloatRange(0, 100),
    metavar="PERCENT",
    help="Skip scenes with more cloud, by the provider's estimate.",
)
@plain_option
@click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", help="Make at most so many masks."
)
@click.option(
    "--part",
    callback=parse_part,
    metavar="K/N",
    help="Only the K-th of N parts of the scenes, such as 3/100, for a job array without a scheduler.",
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
    help="Put the masks in the datacube. With --no-index, a mask counts as done if its files are whole.",
)
@click.option(
    "--only-accepted",
    is_flag=True,
    help="Make nothing, and index only masks that are written and that reviewers have accepted.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    metavar="N",
    help="Processes on this machine. Default: one for each processor and 3 GB of memory.",
)
@click.option("--scheduler", metavar="ADDRESS", help="A dask scheduler, instead of --workers.")
@click.option(
    "--retries",
    type=click.IntRange(min=0),
    metavar="N",
    default=2,
    show_default=True,
    help="How often a scene that fails is tried again.",
)
@click.option(
    "--failures",
    type=click.Path(dir_okay=False, path_type=Path),
    default=FAILURES,
    show_default=True,
    help="Where scenes that fail are listed with the reason, as JSON lines. The file is replaced.",
)
@click.option(
    "--log-file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Also append what is said to FILE, each line with its time in UTC.",
)
@metrics_options
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@json_option("that sums up the run")
@datacube_options
@click.pass_context
def command(
    context: click.Context,
    product: str,
    time: str | None,
    bbox: tuple[float, float, float, float] | None,
    model: str | None,
    offset: float | None,
    items: str | None,
    max_cloud: float | None,
    plain: bool,
    limit: int | None,
    part: tuple[int, int] | None,
    out: str,
    index: bool,
    only_accepted: bool,
    workers: int | None,
    scheduler: str | None,
    retries: int,
    failures: Path,
    log_file: Path | None,
    metrics_port: int | None,
    metrics_host: str,
    dry_run: bool,
    as_json: bool,
    config: tuple[str, ...],
    env: str | None,
) -> None:
    """Mask all scenes of a product, or of a list, that have no mask yet, and index the masks.

    Searches the datacube or reads the list, says what there is to do, and masks the scenes on several processes or on a
    dask cluster. It may be killed at any moment and run again: a mask is complete or absent. A mask that
    reviewers have rejected is not indexed.
    """
    from ..batch import Request, execute, plan
    from ..batch.metrics import served_metrics
    from ..cube.embedded import make_folder

    workers, scheduler = _check_usage(workers, scheduler, only_accepted, index)
    source, index = _source(product, items, only_accepted, index)
    root = out if "://" in out else Path(out).absolute()
    request = Request(
        root=root, model=model, offset=offset, index=index, only_accepted=only_accepted, limit=limit,
        query=search_terms(time, bbox), refine=not plain, part=part, max_cloud=max_cloud, **source,
    )  # fmt: skip
    if part and not is_typed("failures"):
        failures = failures.with_stem(f"{failures.stem}-{part[0]}-of-{part[1]}")
    how: dict[str, Any] = {
        "workers": workers, "scheduler": scheduler, "retries": retries, "failures": failures, "run_id": run_id(),
    }  # fmt: skip
    console = Console(to_stderr=as_json)
    metrics = served_metrics(metrics_port, metrics_host)
    with journal(log_file), _stopped_at_once(context), metrics:
        if isinstance(root, Path) and not dry_run:
            make_folder(root)
        with connected(config, env) if items is None else nullcontext() as dc:
            found = plan(dc, request, reporter=console)
            console.say(describe_plan(found))
            if dry_run:
                _preview(dc, found, as_json)
                return
            report = execute(dc, found, **how, reporter=console)
        code = exit_code(report)
        if as_json:
            click.echo(json.dumps(run_summary(report, code, failures)))
        console.say(describe_report(report, failures))
    context.exit(code)


def _check_usage(
    workers: int | None, scheduler: str | None, only_accepted: bool, index: bool
) -> tuple[int | None, str | None]:
    """Return who works: of two that exclude each other, what was typed and not what settings say."""
    if is_typed("workers") != is_typed("scheduler"):
        workers, scheduler = (workers, None) if is_typed("workers") else (None, scheduler)
    if workers and scheduler:
        raise click.UsageError(
            "--workers does not go with --scheduler, which has workers of its own."
        )
    typed = is_typed("workers") or is_typed("scheduler")
    if only_accepted and (typed or not index):
        raise click.UsageError(
            "--only-accepted indexes masks that are there: it goes without --no-index, --workers and "
            "--scheduler."
        )
    return workers, scheduler


def _source(
    product: str, items: str | None, only_accepted: bool, index: bool
) -> tuple[dict[str, Any], bool]:
    """Return where scenes come from, as arguments of a request, and whether masks are put in a datacube.

    Raises
    ------
    click.UsageError
        If something was typed that a list of scenes has no use for.
    """
    if items is None:
        return {"product": product}, index
    given = {"product": True, "index": index, "only-accepted": only_accepted, "config": True, "env": True}  # fmt: skip
    typed = [f"--{name}" for name, counts in given.items() if counts and is_typed(name)]
    if given_catalog() is not None:
        typed.append("--catalog")
    if typed:
        raise click.UsageError(
            f"--items needs no datacube, and masks are entered in the catalogue of -o; leave out {', '.join(typed)}."
        )
    return {"product": None, "items": items}, False


def _preview(dc: Datacube | None, found: Plan, as_json: bool) -> None:
    """Print what would be done."""
    from ..batch.planning import preview

    if as_json:
        click.echo(json.dumps(plan_summary(found)))
    elif found.missing:
        names = ", ".join(preview(dc, found, _SHOWN))
        verb = "index" if found.request.only_accepted else "mask"
        more = len(found.missing) - _SHOWN
        tell(f"would {verb}: {names}" + (f" and {more} more" if more > 0 else ""))


@contextmanager
def _stopped_at_once(context: click.Context) -> Iterator[None]:
    """End the command where the block was interrupted; errors are kept in the journal."""
    try:
        yield
    except KeyboardInterrupt:
        tell("Stopped. What is indexed is whole; the same command goes on from here.", err=True)
        context.exit(INTERRUPTED)
    except Exception as error:
        keep(f"Error: {describe_error(error)}", level="error")
        raise


def exit_code(report: Report) -> int:
    """Return the exit code; the help says what it means."""
    if report.interrupted:
        return INTERRUPTED
    if not report.failures:
        return 0
    return SOME_FAILED if report.plan.masked + report.meanwhile + report.masked else NONE_DONE


def describe_plan(found: Plan) -> str:
    """Return in words how many scenes there are, are done and are to do."""
    if not found.scenes:
        return f"No scene of {found.request.source} matches: nothing to do. Check the time and the place."
    indexing = found.request.only_accepted
    lines = [
        f"{found.scenes} scenes of {found.request.source}: {found.masked} "
        f"{'indexed' if indexing else 'masked'} already, "
        f"{len(found.missing)} {'accepted and to index' if indexing else 'to mask'}"
    ]
    if indexing:
        lines[0] += f", {found.rejected} rejected, {found.unreviewed} not reviewed or not written"
    if found.postponed:
        lines[0] += f", {found.postponed} more beyond the limit"
    if found.failures:
        first = found.failures[0]
        lines[0] += f", {len(found.failures)} cannot be masked"
        lines.append(f"  {first.label}: {first.reason}")
    if found.about_former:
        lines.append(in_options(found.about_former))
    return "\n".join(lines)


def describe_report(report: Report, failures: Path) -> str:
    """Return in words what was done, what failed and how to go on."""
    done = "indexed" if report.plan.request.only_accepted else "masked"
    text = f"{report.masked + report.meanwhile} {done} in {duration(report.seconds)}"
    if report.rejected:
        text += f", {report.rejected} not indexed because reviewers have rejected them"
    if report.failures:
        text += f", {len(report.failures)} failed: the reasons are in {failures}"
    if report.interrupted:
        text += f". Stopped with {report.left} left; the same command goes on from here"
    return text + "."


def describe_source(request: Request) -> dict[str, Any]:
    """Return whose scenes a request is about, for programs."""
    listed = {"items": request.source} if request.items is not None else {}
    return {"product": request.product, **listed}


def plan_summary(found: Plan) -> dict[str, Any]:
    """Return a plan as a document for programs."""
    return {
        **describe_source(found.request),
        "out": str(found.request.root),
        "scenes": found.scenes,
        "masked_before": found.masked,
        "to_mask": len(found.missing),
        "postponed": found.postponed,
        "impossible": len(found.failures),
        "rejected": found.rejected,
        "unreviewed": found.unreviewed,
        "by_former_default": dict(found.former),
    }


def run_summary(report: Report, code: int, failures: Path) -> dict[str, Any]:
    """Return a report as a document for programs."""
    return {
        **plan_summary(report.plan),
        "run": report.run_id,
        "masked": report.masked,
        "masked_by_others": report.meanwhile,
        "rejected": report.plan.rejected + report.rejected,
        "failed": len(report.failures),
        "left": report.left,
        "interrupted": report.interrupted,
        "seconds": round(report.seconds, 1),
        "failures": str(failures) if report.failures else None,
        "exit_code": code,
    }
