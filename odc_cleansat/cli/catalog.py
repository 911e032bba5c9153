"""`cleansat catalog`: the catalogue of a store."""

from __future__ import annotations

import json
from pathlib import Path

import click

from .console import Console
from .options import json_option, overwrite_option, query_options, request_text, search_terms


@click.group(
    "catalog",
    epilog="""\b
Examples:
  cleansat catalog update masks
  cleansat catalog footprints masks -o masks.gpkg
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
    """Enter masks that lie in STORE; archive the others.

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


@command.command(
    "footprints",
    epilog="""\b
Examples:
  cleansat catalog footprints masks -o masks.gpkg
  cleansat catalog footprints s3://bucket/masks --time 2024-06 -o june.geojson
  cleansat catalog footprints masks --product s2_l2a -o scenes.gpkg

\b
Exit codes: 0 done, 1 failed (the message says why), 2 wrong usage.
""",
)
@click.argument("store")
@click.option(
    "--product",
    metavar="NAME",
    default="s2_l2a_ucl",
    show_default=True,
    help="Product of masks, or of scenes.",
)
@query_options
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    metavar="FILE",
    help="File to write: .gpkg, .geojson or .fgb.",
)
@overwrite_option
def footprints(
    store: str,
    product: str,
    time: str | None,
    bbox: tuple[float, float, float, float] | None,
    out: Path,
    overwrite: bool,
) -> None:
    """Write the footprints of the masks in STORE, for QGIS.

    STORE is a folder or s3://bucket/prefix. Each mask is one area with its date, its model, the percentages of its
    classes and the addresses of its files.
    """
    from ..catalog.footprints import check_format, write_footprints
    from ..cube.catalog import open_catalog

    check_format(out)
    found = open_catalog(store).search(product, **search_terms(time, bbox))
    request = request_text("store", "product", "time", "bbox")
    write_footprints(found, out, request=request, overwrite=overwrite)
    click.echo(f"{len(found)} footprint{'s' if len(found) > 1 else ''} in {out}")
