"""`cleansat verify`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from ..addresses import public_address
from ..errors import CleansatError
from .options import (
    connected,
    datacube_options,
    fetch_scenes_option,
    json_option,
    query_options,
    search_terms,
)
from .wording import in_options

if TYPE_CHECKING:
    from datacube import Datacube

    from ..products import MaskProduct, Verification
    from ..products.refined import Dates
    from ..products.search import Unreadable


NOT_CHECKED = 3
"""Exit code where nothing is known to be wrong, but not everything could be checked."""

_WORDS = {True: "right", False: "WRONG", None: "not checked"}

_COLOURS = {True: "green", False: "red", None: "yellow"}


@click.command(
    "verify",
    epilog="""\b
Examples:
  cleansat verify products
  cleansat verify --no-pixels s3://bucket/masks/s2_l2a_ucl/33UVP/2024
  cleansat verify --indexed --time 2024-06 --quiet
  cleansat verify --json products | jq 'select(.right | not) | .product'

\b
Exit codes:
  0  all is right
  1  something is wrong, or nothing was found
  2  wrong usage
  3  nothing is known to be wrong, but something could not be checked
""",
)
@click.argument("paths", metavar="[PATH]...", nargs=-1)
@click.option("--indexed", is_flag=True, help="Look at the masks of the datacube, instead of PATH.")
@query_options
@click.option(
    "--pixels/--no-pixels",
    default=True,
    show_default=True,
    help="Make each mask again from its scene and compare. This takes as long as making it.",
)
@fetch_scenes_option
@click.option("-q", "--quiet", is_flag=True, help="Print only a line for each that is not right.")
@json_option("for each product")
@datacube_options
@click.pass_context
def command(
    ctx: click.Context,
    paths: tuple[str, ...],
    indexed: bool,
    time: str | None,
    bbox: tuple[float, float, float, float] | None,
    pixels: bool,
    fetch_scenes: bool,
    quiet: bool,
    as_json: bool,
    config: tuple[str, ...],
    env: str | None,
) -> None:
    """Check that mask products are whole and true.

    PATH is a product's document, its folder, or a folder with products below. It may be a path or a URL
    such as s3://bucket/prefix. All that can be derived is derived again and compared: files, documents, id,
    percentages, footprint, and the pixels, where the scene can be reached. The files of a scene are opened near
    its mask, on the host of the mask, and where the datacube of --indexed knows the scene; --fetch-scenes opens others.
    Masks that other dates have refined are made again with --indexed alone.

    Of one product all checks are listed. Of several, there is a line for each that is not right, and a count.
    """
    from ..products import MaskProduct

    if bool(paths) == indexed or (paths and (time or bbox)):
        raise click.UsageError("give PATH, or --indexed; --time and --bbox go with --indexed.")
    products: list[MaskProduct | Unreadable]
    with ExitStack() as stack:
        dates = None
        if indexed:
            from ..cube.refining import RecordedDates

            dc = stack.enter_context(connected(config, env))
            products, dates = _indexed_masks(dc, search_terms(time, bbox)), RecordedDates(dc)
        else:
            products = [product for path in paths for product in MaskProduct.find(path)]
        verified = (_verified(each, pixels, fetch_scenes, dates) for each in products)
        counts = _print_reports(verified, as_json, whole=len(products) == 1 and not quiet)
    if not (as_json or quiet):
        unchecked = f", {counts[None]} not checked" if counts[None] else ""
        click.echo(
            f"{len(products)} product(s): {counts[True]} right, {counts[False]} wrong{unchecked}"
        )
    ctx.exit(1 if counts[False] else NOT_CHECKED if counts[None] else 0)


def _indexed_masks(dc: Datacube, terms: dict[str, Any]) -> list[MaskProduct | Unreadable]:
    """The masks of a datacube, with the files of their scenes where it knows these."""
    from ..cube.query import Query, find_masks, search
    from ..products.search import indexed_products
    from ..storage.eo3 import MASK_PRODUCT, REFINED_PRODUCT

    found = find_masks(dc, Query.of(MASK_PRODUCT, terms))
    if dc.index.products.get_by_name(REFINED_PRODUCT) is not None:
        found = [*found, *search(dc, Query.of(REFINED_PRODUCT, terms))]
    return indexed_products(dc, found)


def _print_reports(
    reports: Iterable[Verification], as_json: bool, *, whole: bool
) -> Counter[bool | None]:
    """Print reports as they come; return how many are right, wrong, and not checked."""
    counts: Counter[bool | None] = Counter()
    for report in reports:
        counts[report.right] += 1
        if as_json:
            click.echo(json.dumps(report.as_dict()))
        elif whole:
            _print_report(report)
        elif report.right is not True:
            _print_line(report)
    return counts


def _verified(
    product: MaskProduct | Unreadable,
    pixels: bool,
    fetch_scenes: bool,
    dates: Callable[[Mapping[str, Any]], Dates] | None,
) -> Verification:
    """The report on a product, also of one that cannot be reached."""
    from ..products import Check, Verification, verify
    from ..products.search import Unreadable

    if isinstance(product, Unreadable):
        report = Verification(product.place, (Check("files", None, product.reason),))
    else:
        try:
            report = verify(product, pixels=pixels, fetch_scenes=fetch_scenes, dates=dates)
        except CleansatError as error:
            report = Verification(str(product.folder), (Check("files", None, str(error)),))
    checks = (replace(check, detail=in_options(check.detail)) for check in report.checks)
    return replace(report, product=public_address(report.product), checks=tuple(checks))


def _print_report(report: Verification) -> None:
    click.echo(report.product)
    for check in report.checks:
        word = click.style(f"{_WORDS[check.right]:11s}", fg=_COLOURS[check.right])
        click.echo(f"  {check.name:10s} {word} {check.detail}")


def _print_line(report: Verification) -> None:
    """Write on one line what is wrong, or else what could not be checked."""
    said = [
        f"{check.name}: {check.detail}"
        for check in report.checks
        if check.asked and check.right is report.right
    ]
    word = click.style(_WORDS[report.right], fg=_COLOURS[report.right])
    click.echo(f"{word}  {report.product}  {'; '.join(said)}")
