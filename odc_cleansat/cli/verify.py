"""`cleansat verify`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from ..products.verify import Verification


@click.command(
    "verify",
    epilog="""\b
Examples:
  cleansat verify products
  cleansat verify --no-pixels s3://bucket/masks/s2_l2a_ucl/33UVP/2024
  cleansat verify --json products | jq '.products[] | select(.right | not) | .product'

\b
Exit codes: 0 nothing is wrong, 1 something is wrong or nothing was found, 2 wrong usage.
""",
)
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@click.option(
    "--pixels/--no-pixels",
    default=True,
    show_default=True,
    help="Make each mask again from its scene and compare; takes as long as making it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
@click.pass_context
def command(ctx: click.Context, paths: tuple[str, ...], pixels: bool, as_json: bool) -> None:
    """Check that mask products are whole and true.

    PATH is a product's document, its folder, or a folder with products below, on this machine or at a URL
    such as s3://bucket/prefix. Checked are the checksums of all files, the documents, the id, the layers,
    and that the pixels come out again from the scene, where that can be reached.
    """
    from ..products.product import find_products
    from ..products.verify import verify

    places = [place for path in paths for place in find_products(path)]
    reports = []
    for place in places:
        reports.append(verify(place, pixels=pixels))
        if not as_json:
            _say(reports[-1])
    wrong = sum(not report.right for report in reports)
    if as_json:
        summary = {"right": not wrong, "products": [report.as_dict() for report in reports]}
        click.echo(json.dumps(summary, indent=2))
    else:
        click.echo(f"{len(reports)} product(s): {len(reports) - wrong} right, {wrong} wrong")
    ctx.exit(1 if wrong else 0)


def _say(report: Verification) -> None:
    click.echo(report.product)
    words = {True: ("right", "green"), False: ("WRONG", "red"), None: ("not checked", "yellow")}
    for check in report.checks:
        word, colour = words[check.right]
        click.echo(f"  {check.name:10s} {click.style(f'{word:11s}', fg=colour)} {check.detail}")
