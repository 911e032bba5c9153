"""`cleansat review`."""

from __future__ import annotations

import contextlib
import json
import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import CubeError
from .console import Console
from .options import check_box, connected, datacube_options, grid_query

if TYPE_CHECKING:
    from datacube import Datacube
    from datacube.model import Dataset

    from ..products.verdicts import Verdict


EXIT_CODES = "\n\n\b\nExit codes: 0 done, 1 failed (the message says why), 2 wrong usage.\n"

MARKS = {"accepted": "green", "rejected": "red", "unreviewed": "yellow"}


@click.group("review")
def command() -> None:
    """Look through many masks, and accept or reject them.

    Verdicts are kept beside the masks, in files that are never changed. Of several, the latest that accepts or
    rejects counts; a flag is only a remark. `load`, `recall` and `export` leave out what was rejected, and `run`
    does not index it; with --only-accepted `export` and `run` take nothing but what was accepted.
    """


def verdict_command(name: str, text: str, example: str) -> Callable[..., Any]:
    """A command that gives verdicts of one kind."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in (
            datacube_options,
            click.option(
                "--json", "as_json", is_flag=True, help="One JSON object a verdict and line."
            ),
            click.option(
                "--by", metavar="NAME", help="Who says so. Default: the user of this machine."
            ),
            click.option("--note", default="", metavar="TEXT", help="Why."),
            click.argument("masks", metavar="ID|PATH...", nargs=-1, required=True),
        ):
            function = option(function)
        return command.command(name, help=text, epilog=f"\b\nExamples:\n{example}{EXIT_CODES}")(
            function
        )

    return decorate


_WHICH = """

    A mask is the path or URL of its product, or what the configured datacube knows it by: its id, the first
    digits of that, or its label."""


@verdict_command(
    "accept",
    "Accept masks: they are good enough to be used." + _WHICH,
    """  cleansat review accept 0d52f7c9
  cleansat review accept masks/s2_l2a_ucl/33UVP/2024/06/15/* --note "checked against true colour"
""",
)
def accept(**arguments: Any) -> None:
    """Accept masks."""
    _give("accept", **arguments)


@verdict_command(
    "reject",
    "Reject masks: they are left out wherever masks are used." + _WHICH,
    """  cleansat review reject 0d52f7c9 --note "the harbour is called cloud"
  cleansat review reject s3://bucket/masks/s2_l2a_ucl/33UVP/2024/06/15/LABEL --note "smoke" --by "A. Name"
""",
)
def reject(**arguments: Any) -> None:
    """Reject masks."""
    _give("reject", **arguments)


@verdict_command(
    "flag",
    "Remark something about masks, for others to see. What was accepted or rejected stays so."
    + _WHICH,
    """  cleansat review flag 0d52f7c9 --note "thin cirrus in the north: who knows this place?"
""",
)
def flag(**arguments: Any) -> None:
    """Remark something about masks."""
    _give("flag", **arguments)


def _give(
    kind: str,
    masks: tuple[str, ...],
    note: str,
    by: str | None,
    as_json: bool,
    config: tuple[str, ...],
    env: str | None,
) -> None:
    from .. import review

    if kind == "flag" and not note.strip():
        raise click.UsageError("a flag is a remark: say what with --note.")
    give = getattr(review, kind)
    done = {"accept": "accepted", "reject": "rejected", "flag": "flagged"}[kind]
    with _lookup(masks, config, env) as (found, dc):
        for mask in found:
            said = give(mask, note, by, dc=dc)
            click.echo(said.to_json() if as_json else f"{said.mask} {done} by {said.by}")


@contextlib.contextmanager
def _lookup(
    masks: Sequence[str], config: tuple[str, ...], env: str | None
) -> Iterator[tuple[list[Any], Datacube | None]]:
    """The masks, all looked up before anything is done to one; the datacube only if it is needed."""
    from ..products.product import is_place
    from ..products.verdicts import find_mask

    if all(map(is_place, masks)):
        yield list(masks), None
        return
    with contextlib.ExitStack() as stack:
        try:
            dc = stack.enter_context(connected(config, env))
        except CubeError as error:
            raise CubeError(
                f"{error} A mask can be named by its folder too, without a datacube."
            ) from error
        yield [mask if is_place(mask) else find_mask(dc, mask) for mask in masks], dc


@command.command(
    "show",
    epilog=f"""\b
Examples:
  cleansat review show 0d52f7c9
  cleansat review show masks/s2_l2a_ucl/33UVP/2024/06/15/*{EXIT_CODES}
""",
)
@click.argument("masks", metavar="ID|PATH...", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a verdict and line.")
@datacube_options
def show(masks: tuple[str, ...], as_json: bool, config: tuple[str, ...], env: str | None) -> None:
    """Show all that was said of masks, the latest last."""
    from ..products.verdicts import state, verdicts

    with _lookup(masks, config, env) as (found, dc):
        for name, mask in zip(masks, found, strict=True):
            said = verdicts(mask, dc=dc)
            if not as_json:
                click.echo(f"{name}: {click.style(state(said), fg=MARKS[state(said)])}")
            for each in said:
                click.echo(each.to_json() if as_json else f"  {_line(each)}")


def _line(said: Verdict) -> str:
    note = f": {said.note}" if said.note else ""
    return f"{said.when:%Y-%m-%d %H:%M} {said.verdict} by {said.by}{note}"


def several_options(function: Any) -> Any:
    """Which masks: of files, or of a datacube."""
    for option in (
        datacube_options,
        click.option(
            "--bbox",
            callback=check_box,
            metavar="W,S,E,N",
            help="Of the datacube, in this area: west, south, east and north in degrees.",
        ),
        click.option(
            "--time",
            metavar="ISO8601[/ISO8601]",
            help="Of the datacube, from this time: a day, month or year, or two with a slash between.",
        ),
        click.option(
            "--product",
            default="s2_l2a_ucl",
            show_default=True,
            help="Product of masks in the datacube.",
        ),
        click.option("--model", metavar="NAME", help="Only masks that this model made."),
        click.argument("paths", metavar="[PATH]...", nargs=-1),
    ):
        function = option(function)
    return function


@contextlib.contextmanager
def _several(
    paths: tuple[str, ...],
    product: str,
    time: str | None,
    bbox: tuple[float, float, float, float] | None,
    config: tuple[str, ...],
    env: str | None,
) -> Iterator[tuple[Sequence[str | Dataset], Datacube | None]]:
    """Paths and URLs as they are, or what the datacube has."""
    if paths:
        if time or bbox or config or env:
            raise click.UsageError(
                "PATH names the masks; --time, --bbox, -C and -E are for those of a datacube."
            )
        yield paths, None
        return
    from ..cube.query import Query, find_masks

    with connected(config, env) as dc:
        query = Query.of(product, grid_query(time, bbox, None, None, None))
        yield find_masks(dc, query), dc


@command.command(
    "list",
    epilog=f"""\b
Examples:
  cleansat review list masks
  cleansat review list --time 2024-06 --state unreviewed
  cleansat review list s3://bucket/masks --json{EXIT_CODES}
""",
)
@several_options
@click.option(
    "--state",
    "wanted",
    type=click.Choice(["accepted", "rejected", "unreviewed"]),
    help="Only those.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a mask and line.")
def list_masks(
    paths: tuple[str, ...],
    product: str,
    model: str | None,
    time: str | None,
    bbox: tuple[float, float, float, float] | None,
    wanted: str | None,
    as_json: bool,
    config: tuple[str, ...],
    env: str | None,
) -> None:
    """List masks and what reviewers have made of them.

    PATH is a mask product, or a folder or URL with products below; without, those of the datacube.
    """
    from ..products.verdicts import read_many, remarks, standing, state
    from ..review.page import collect

    with _several(paths, product, time, bbox, config, env) as (masks, dc):
        found = collect(masks, dc, model)
    for each in found:
        if isinstance(each, tuple):
            click.secho(f"Warning: {': '.join(each)}", err=True, fg="yellow")
    whole = [each for each in found if not isinstance(each, tuple)]
    several = len({each.model for each in whole}) > 1
    said, unread = read_many({each.id: each.folder for each in whole})
    for why in dict.fromkeys(unread.values()):
        click.secho(f"Warning: {why}", err=True, fg="yellow")
    counts = dict.fromkeys(MARKS, 0)
    for each in sorted(whole, key=lambda mask: (mask.day, mask.label)):
        now, last = state(said[each.id]), standing(said[each.id])
        counts[now] += 1
        if wanted not in (None, now):
            continue
        if as_json:
            document: dict[str, Any] = {"id": str(each.id), "label": each.label, "state": now}
            document |= {"model": each.model}
            document |= {"remarks": len(remarks(said[each.id])), "place": str(each.folder)}
            document |= {"verdict": json.loads(last.to_json()) if last else None}
            click.echo(json.dumps(document))
            continue
        open_remarks = len(remarks(said[each.id]))
        flagged = f" ({open_remarks} remark{'s' * (open_remarks > 1)})" if open_remarks else ""
        reason = f"  {_line(last)}" if last else ""
        by = f" {each.model}" if several else ""
        click.echo(f"{click.style(f'{now:10s}', fg=MARKS[now])} {each.label}{by}{flagged}{reason}")
    if not as_json:
        click.echo(", ".join(f"{count} {name}" for name, count in counts.items()))


@command.command(
    "page",
    epilog=f"""\b
Examples:
  cleansat review page masks -o review.html
  cleansat review page --time 2024-06 --bbox 13.6,47.7,13.8,47.9 -o june.html
  cleansat review page s3://bucket/masks/s2_l2a_ucl/33UVP/2024 -o review.html{EXIT_CODES}
""",
)
@several_options
@click.option(
    "-o",
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("review.html"),
    show_default=True,
    help="The page. What is there is replaced.",
)
@click.option("--title", default="Masks to review", show_default=True, help="At the top.")
@click.option(
    "--threads",
    type=click.IntRange(1),
    default=8,
    show_default=True,
    help="How many masks are read at a time.",
)
def write_page(
    paths: tuple[str, ...],
    product: str,
    model: str | None,
    time: str | None,
    bbox: tuple[float, float, float, float] | None,
    out: Path,
    title: str,
    threads: int,
    config: tuple[str, ...],
    env: str | None,
) -> None:
    """Write a page to review many masks: one HTML file, which opens offline.

    PATH is a mask product, or a folder or URL with products below, such as -o of `run`; without, those of the
    datacube. The page has a table with true colour, SCL and UCL side by side, how far they agree, what is odd, and
    what was said, and cloud cover over time. Where SCL and UCL disagree most comes first.
    """
    from ..review.page import page

    console = Console()
    with _several(paths, product, time, bbox, config, env) as (masks, dc):
        where = [word for file in config for word in ("-C", str(Path(file).absolute()))]
        where += ["-E", env] if env else []
        with console.step("Looking at masks") as progress:
            page(
                masks,
                out,
                dc=dc,
                model=model,
                title=title,
                command=" ".join(["cleansat review", "VERDICT", *map(shlex.quote, where)]),
                threads=threads,
                progress=progress,
            )
    console.say(f"{out}: {out.stat().st_size / 1e6:.1f} MB")
