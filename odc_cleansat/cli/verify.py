"""`cleansat verify`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from ..products import Verification


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
    help="Make each mask again from its scene and compare. This takes as long as making it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
@click.pass_context
def command(ctx: click.Context, paths: tuple[str, ...], pixels: bool, as_json: bool) -> None:
    """Check that mask products are whole and true.

    PATH is a product's document, its folder, or a folder with products below. It may be a path or a URL
    such as s3://bucket/prefix. The checksums of all files, the documents, the id and the layers are checked.
    The mask is made again and compared, where its scene can be reached.
    """
    from ..products import MaskProduct, verify

    products = [product for path in paths for product in MaskProduct.find(path)]
    reports = []
    for product in products:
        reports.append(verify(product, pixels=pixels))
        if not as_json:
            _print_report(reports[-1])
    wrong = sum(not report.right for report in reports)
    if as_json:
        summary = {"right": not wrong, "products": [report.as_dict() for report in reports]}
        click.echo(json.dumps(summary, indent=2))
    else:
        click.echo(f"{len(reports)} product(s): {len(reports) - wrong} right, {wrong} wrong")
    ctx.exit(1 if wrong else 0)


def _print_report(report: Verification) -> None:
    click.echo(report.product)
    words = {True: ("right", "green"), False: ("WRONG", "red"), None: ("not checked", "yellow")}
    for check in report.checks:
        word, colour = words[check.right]
        click.echo(f"  {check.name:10s} {click.style(f'{word:11s}', fg=colour)} {check.detail}")
