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
from .named_masks import others_option
from .names import Choice, Group
from .options import connected, datacube_options, fetch_scenes_option, json_option
from .review_options import EXIT_CODES, several_masks, several_options, warn_of_gaps
from .review_serve import command as serve
from .wording import in_options

if TYPE_CHECKING:
    from datacube import Datacube

    from ..products import MaskProduct, Verdict
    from ..review.other_masks import OtherMask


MARKS = {"accepted": "green", "rejected": "red", "unreviewed": "yellow"}


@click.group("review", cls=Group)
def command() -> None:
    """Look through many masks, and accept or reject them.

    Verdicts are kept beside the masks, in files that are never changed. The latest that accepts or rejects
    counts, unless its author withdraws it; a flag is only a remark.

    `load`, `recall` and `export` leave out rejected masks, and `run` does not index them. With
    --only-accepted, `export` and `run` take accepted masks only.
    """


def verdict_command(name: str, text: str, example: str) -> Callable[..., Any]:
    """Make a command that gives verdicts of one kind."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in (
            datacube_options,
            json_option("for each verdict"),
            click.option(
                "--by",
                metavar="NAME",
                help="Who gives the verdict. Default: the user of this machine.",
            ),
            click.option("--note", default="", metavar="TEXT", help="The reason."),
            click.argument("masks", metavar="ID|PATH...", nargs=-1, required=True),
        ):
            function = option(function)
        return command.command(name, help=text, epilog=f"\b\nExamples:\n{example}{EXIT_CODES}")(
            function
        )

    return decorate


_WHICH = """

    A mask is given by the path or URL of its product. If the configured datacube knows it, it may also be
    given by its id, the first digits of its id, or its label."""


@verdict_command(
    "accept",
    "Accept masks: they are good enough to be used." + _WHICH,
    """  cleansat review accept 0d52f7c9
  cleansat review accept masks/s2_l2a_ucl/33UVP/2024/06/15/* --note "as in true colour"
""",
)
def accept(**arguments: Any) -> None:
    """Accept masks."""
    _give("accept", **arguments)


@verdict_command(
    "reject",
    "Reject masks: they are left out wherever masks are used." + _WHICH,
    """  cleansat review reject 0d52f7c9 --note "the harbour is called cloud"
  cleansat review reject s3://bucket/masks/s2_l2a_ucl/33UVP/2024/06/15/LABEL \\
      --note "smoke" --by "A. Name"
""",
)
def reject(**arguments: Any) -> None:
    """Reject masks."""
    _give("reject", **arguments)


@verdict_command(
    "flag",
    "Add a remark to masks, for others to see. What was accepted or rejected stays so." + _WHICH,
    """  cleansat review flag 0d52f7c9 --note "thin cirrus in the north: who knows this place?"
""",
)
def flag(**arguments: Any) -> None:
    """Add a remark to masks."""
    _give("flag", **arguments)


@verdict_command(
    "withdraw",
    "Take back your latest verdict on masks that still stands. Their state is then what it was without it."
    + _WHICH,
    """  cleansat review withdraw 0d52f7c9
  cleansat review withdraw 0d52f7c9 --by "A. Name" --note "that was the mask beside it"
""",
)
def withdraw(**arguments: Any) -> None:
    """Take back verdicts."""
    _give("withdraw", **arguments)


def _give(
    kind: str,
    masks: tuple[str, ...],
    note: str,
    by: str | None,
    as_json: bool,
    config: tuple[str, ...],
    env: str | None,
) -> None:
    from .. import products

    if kind == "flag" and not note.strip():
        raise click.UsageError("a flag is a remark: say what with --note.")
    give = getattr(products, kind)
    done = _DONE[kind]
    with _lookup(masks, config, env) as (found, dc):
        for mask in found:
            given = give(mask, note, by, dc=dc)
            click.echo(given.to_json() if as_json else f"{given.mask} {done} by {given.by}")


_DONE = {
    "accept": "accepted",
    "reject": "rejected",
    "flag": "flagged",
    "withdraw": "as before: verdict withdrawn",
}
"""What is printed of a verdict, by its kind."""


@contextlib.contextmanager
def _lookup(
    masks: Sequence[str], config: tuple[str, ...], env: str | None
) -> Iterator[tuple[list[Any], Datacube | None]]:
    """Look up all masks before anything is done to one. A datacube is opened only if it is needed."""
    from ..products.search import find_indexed_mask, is_place

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
        yield [mask if is_place(mask) else find_indexed_mask(dc, mask) for mask in masks], dc


@command.command(
    "show",
    epilog=f"""\b
Examples:
  cleansat review show 0d52f7c9
  cleansat review show masks/s2_l2a_ucl/33UVP/2024/06/15/*{EXIT_CODES}
""",
)
@click.argument("masks", metavar="ID|PATH...", nargs=-1, required=True)
@json_option("for each verdict")
@datacube_options
def show(masks: tuple[str, ...], as_json: bool, config: tuple[str, ...], env: str | None) -> None:
    """Show all verdicts on masks, the latest last."""
    from ..products import verdicts
    from ..products.verdict_files import review_state

    with _lookup(masks, config, env) as (found, dc):
        for name, mask in zip(masks, found, strict=True):
            given = verdicts(mask, dc=dc)
            if not as_json:
                state = review_state(given)
                click.echo(f"{name}: {click.style(state, fg=MARKS[state])}")
            for each in given:
                click.echo(each.to_json() if as_json else f"  {_verdict_text(each)}")


def _verdict_text(given: Verdict) -> str:
    note = f": {given.note}" if given.note else ""
    return f"{given.when:%Y-%m-%d %H:%M} {given.verdict} by {given.by}{note}"


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
    type=Choice(["accepted", "rejected", "unreviewed"]),
    help="List only masks in this state.",
)
@json_option("for each mask")
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
    """List masks and their states of review.

    PATH is a mask product, or a folder or URL with products below. Without PATH the masks of the datacube
    are listed.
    """
    from ..products.verdict_files import read_many, review_state
    from ..review.collection import collect

    with several_masks(paths, product, time, bbox, config, env) as (masks, dc):
        found = collect(masks, dc, model)
    verdicts, unread = read_many({each.id: each.folder for each in found.products})
    warn_of_gaps(found, unread)
    counts = dict.fromkeys(MARKS, 0)
    with_model = len({each.model for each in found.products}) > 1
    for mask in sorted(found.products, key=lambda each: (each.day, each.label)):
        given = verdicts[mask.id]
        state = review_state(given)
        counts[state] += 1
        if wanted in (None, state):
            click.echo(_json_line(mask, given) if as_json else _text_line(mask, given, with_model))
    if not as_json:
        click.echo(", ".join(f"{count} {name}" for name, count in counts.items()))


def _json_line(mask: MaskProduct, given: Sequence[Verdict]) -> str:
    from ..products.verdict_files import current_verdict, open_remarks, review_state

    current = current_verdict(given)
    document = {
        "id": str(mask.id),
        "label": mask.label,
        "state": review_state(given),
        "model": mask.model,
        "remarks": len(open_remarks(given)),
        "place": str(mask.folder),
        "verdict": current.as_dict() if current else None,
    }
    return json.dumps(document)


def _text_line(mask: MaskProduct, given: Sequence[Verdict], with_model: bool) -> str:
    from ..products.verdict_files import current_verdict, open_remarks, review_state

    state, current, remarks = review_state(given), current_verdict(given), len(open_remarks(given))
    model = f" {mask.model}" if with_model else ""
    flagged = f" ({remarks} remark{'s' * (remarks > 1)})" if remarks else ""
    reason = f"  {_verdict_text(current)}" if current else ""
    return f"{click.style(f'{state:10s}', fg=MARKS[state])} {mask.label}{model}{flagged}{reason}"


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
    help="The page. An existing file is replaced.",
)
@click.option("--title", default="Masks to review", show_default=True, help="Title of the page.")
@click.option(
    "--threads",
    metavar="N",
    type=click.IntRange(1),
    default=8,
    show_default=True,
    help="How many masks are read at a time.",
)
@others_option
@fetch_scenes_option
def write_page(
    paths: tuple[str, ...],
    product: str,
    model: str | None,
    time: str | None,
    bbox: tuple[float, float, float, float] | None,
    out: Path,
    title: str,
    threads: int,
    fetch_scenes: bool,
    others: list[OtherMask],
    config: tuple[str, ...],
    env: str | None,
) -> None:
    """Write a page to review many masks.

    It is one HTML file, which opens offline.

    PATH is a mask product, or a folder or URL with products below, such as -o of `run`. Without PATH the
    masks of the datacube are taken.

    The page has a table with true colour, SCL and UCL side by side, how far they agree, what is odd, and the
    verdicts. The masks whose UCL is most in doubt come first. A chart shows cloud cover over time.
    """
    from ..review import PageText, page

    console = Console()
    with several_masks(paths, product, time, bbox, config, env) as (masks, dc):
        where = [word for file in config for word in ("-C", str(Path(file).absolute()))]
        where += ["-E", env] if env else []
        command = " ".join(["cleansat review", "VERDICT", *map(shlex.quote, where)])
        with console.step("Looking at masks", "mask") as progress:
            page(
                masks,
                out,
                dc=dc,
                model=model,
                text=PageText(title, command, in_options, others),
                threads=threads,
                fetch_scenes=fetch_scenes,
                progress=progress,
            )
    console.say(f"{out}: {out.stat().st_size / 1e6:.1f} MB")


command.add_command(serve)
