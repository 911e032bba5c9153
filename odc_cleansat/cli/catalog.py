"""`cleansat catalog`: the catalogue of a store."""

from __future__ import annotations

import json

import click

from .console import Console
from .options import json_option


@click.group(
    "catalog",
    epilog="""\b
Examples:
  cleansat catalog update masks
  cleansat recall --catalog masks --time 2024-06 --resolution 20 --crs EPSG:32633 -o june
""",
)
def command() -> None:
    """Look after the catalogue of a store of masks, which needs no database.

    `cleansat mask` and `cleansat run --no-index` enter what they write. All commands that take a datacube take
    --catalog STORE instead.
    """


@command.command(
    "update",
    epilog="""\b
Examples:
  cleansat catalog update masks
  cleansat catalog update s3://bucket/masks --json

\b
Exit codes: 0 done, 1 failed (the message says why), 2 wrong usage.
""",
)
@click.argument("store")
@json_option("that sums up the update")
def update(store: str, as_json: bool) -> None:
    """Enter the masks that lie in STORE, and archive those that do not.

    STORE is a folder or s3://bucket/prefix. The files of the index are merged into one for each product. Run it after
    masks were copied there or deleted, or when a writer was killed; it may be killed itself.
    """
    from ..cube.catalog import open_catalog

    console = Console(to_stderr=as_json)
    entered, archived = open_catalog(store).update(console)
    if as_json:
        click.echo(json.dumps({"entered": entered, "archived": archived}))
    else:
        click.echo(f"{entered} entered, {archived} archived.")
