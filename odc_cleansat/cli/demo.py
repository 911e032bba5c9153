"""`cleansat demo`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .console import Console, program
from .options import model_option

if TYPE_CHECKING:
    from ..demo import DemoResult


@click.command(
    "demo",
    epilog="""\b
Examples:
  cleansat demo
  cleansat demo --scene BANDS_FOLDER --datetime 2024-04-01T02:00:00Z --out out
  cleansat demo --stop

\b
Exit codes: 0 done, 1 failed (the message says why), 2 wrong usage.
""",
)
@click.option(
    "--scene",
    type=click.Path(path_type=Path),
    help="Folder with one GeoTIFF for each band (B02.tif, ..., SCL.tif). Default: a simulated scene.",
)
@click.option(
    "--datetime",
    "moment",
    metavar="ISO8601",
    help="When the scene was acquired, if its metadata do not say so.",
)
@click.option(
    "--offset",
    type=float,
    metavar="DN",
    help="Radiometric offset of the digital numbers: -1000 since processing baseline 04.00, unless "
    "the provider removed it. Default: from the scene's metadata.",
)
@model_option
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    default=Path("cleansat-demo"),
    show_default=True,
    help="Folder for the database, the products and the figure.",
)
@click.option(
    "--stop", is_flag=True, help="Stop the database of an earlier demo, and do nothing else."
)
def command(
    scene: Path | None,
    moment: str | None,
    offset: float | None,
    model: str | None,
    out: Path,
    stop: bool,
) -> None:
    """Mask one scene and recall it, in a datacube of its own.

    Starts an embedded database in the output folder and indexes the scene. Runs the UNet, writes the mask as
    COG with EO3 and STAC documents, and indexes it. Then loads it back with dc.load at three grids, and
    draws RGB | SCL | UCL. Run again, it computes nothing.
    """
    from ..cube.embedded import stop_cube
    from ..demo import run_demo
    from ..scenes.band_folder import parse_moment

    if stop:
        click.echo("Stopped." if stop_cube(out) else f"No database runs in {out}.")
        return
    result = run_demo(
        out,
        Console(),
        scene=scene,
        moment=parse_moment(moment) if moment else None,
        offset=offset,
        model=model,
        keep_running=True,
    )
    _print_result(result, out)


def _print_result(result: DemoResult, out: Path) -> None:
    """Print what was made, and how to go on."""
    from ..cube.embedded import CONFIG_NAME
    from ..demo import describe

    click.echo()
    properties = result.scene.metadata_doc["properties"]
    if properties.get("cleansat:simulated"):
        click.echo("This scene is simulated: its land, clouds and SCL are made up.")
    if properties.get("cleansat:datetime_placeholder"):
        click.echo(
            "The date of the scene is unknown; 1970-01-01 stands for it. Give it with --datetime."
        )
    for recalled in result.recalled:
        click.echo(describe(recalled))
    click.echo(f"\n{result.table}\n")
    how = "computed" if result.computed else "found, not computed again"
    click.echo(f"mask    {result.mask.local_path} ({how})")
    click.echo(f"figure  {result.figure}")
    click.echo(
        "The database keeps running for other programs, for instance:\n"
        f"  DATACUBE_CONFIG_PATH={out / CONFIG_NAME} {program('datacube')} product list\n"
        f"Stop it with: {program('cleansat')} demo --stop --out {out}"
    )
