"""Options of the commands of `cleansat review` for many masks, and what their values mean."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from .options import check_box, connected, datacube_options, grid_query
from .wording import in_options

if TYPE_CHECKING:
    from datacube import Datacube
    from datacube.model import Dataset

    from ..review.collection import Collection


EXIT_CODES = "\n\n\b\nExit codes: 0 done, 1 failed (the message says why), 2 wrong usage.\n"
"""How the help of each of these commands ends."""


def several_options(function: Any) -> Any:
    """Options that choose masks of files or of a datacube."""
    for option in (
        datacube_options,
        click.option(
            "--bbox",
            callback=check_box,
            metavar="W,S,E,N",
            help="Area, for masks of the datacube: west, south, east and north in degrees.",
        ),
        click.option(
            "--time",
            metavar="ISO8601[/ISO8601]",
            help="Time, for masks of the datacube: a day, month or year, or two with a slash between.",
        ),
        click.option(
            "--product",
            metavar="NAME",
            default="s2_l2a_ucl",
            show_default=True,
            help="Product of masks in the datacube.",
        ),
        click.option("--model", metavar="NAME", help="Take only masks that this model made."),
        click.argument("paths", metavar="[PATH]...", nargs=-1),
    ):
        function = option(function)
    return function


@contextlib.contextmanager
def several_masks(
    paths: tuple[str, ...],
    product: str,
    time: str | None,
    bbox: tuple[float, float, float, float] | None,
    config: tuple[str, ...],
    env: str | None,
) -> Iterator[tuple[Sequence[str | Dataset], Datacube | None]]:
    """The paths and URLs as they are, or the masks of the datacube."""
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


def warn_of_gaps(found: Collection, unread: Mapping[UUID, str]) -> None:
    """Tell which masks, and which verdicts, cannot be read."""
    reasons = [f"{each.place}: {each.reason}" for each in found.unreadable]
    for reason in (*reasons, *dict.fromkeys(unread.values())):
        click.secho(f"Warning: {in_options(reason)}", err=True, fg="yellow")
