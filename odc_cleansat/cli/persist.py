"""`cleansat persist`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .console import Console
from .names import Choice
from .options import (
    connected,
    cpu_count,
    datacube_options,
    grid_options,
    grid_query,
    overwrite_option,
    request_text,
)

if TYPE_CHECKING:
    from datacube import Datacube


CHUNK = 1024
"""Pixels along each side of what is computed at a time."""


@click.command(
    "persist",
    epilog="""\b
Examples:
  cleansat persist --time 2024 --bbox 13.6,47.7,13.8,47.9 --crs EPSG:32633 \\
      --resolution 20 -o year
  cleansat persist --time 2024-06/2024-08 --like scene.tif --refine time -o summer

\b
Exit codes: 0 done, 1 failed (the message says why), 2 wrong usage.
""",
)
@click.option(
    "--product", metavar="NAME", default="s2_l2a", show_default=True, help="Product of scenes."
)
@grid_options
@click.option(
    "--ucl",
    type=Choice(["indexed", "auto", "computed"]),
    default="indexed",
    show_default=True,
    help="Source of the masks: indexed leaves a gap where there is none, auto computes those.",
)
@click.option("--model", metavar="NAME", help="Take the masks of this model.")
@click.option(
    "--refine",
    type=Choice(["time", "earlier"]),
    help="Improve the masks by the dates around each first, or by earlier ones alone.",
)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    metavar="DIR",
    help="A folder for shares.tif, date_count.tif and shares.png.",
)
@overwrite_option
@datacube_options
def command(
    product: str,
    ucl: str,
    model: str | None,
    refine: str | None,
    out: Path,
    overwrite: bool,
    config: tuple[str, ...],
    env: str | None,
    **grid: Any,
) -> None:
    """Map how often each pixel is masked.

    For each pixel the share of the dates is written on which it is cloud, shadow and clear, by the UCL and, where the
    scenes have one, by the SCL. Weather spreads evenly; what stands out is a roof, salt or a pond that a mask takes for
    cloud or shadow on most dates. The picture shows it at a glance.
    """
    from ..cube.load import load
    from ..masks.persist import persist
    from ..masks.rasters import share_rasters
    from ..review.share_map import check_picture, draw_shares
    from ..storage.cog import check_files, write_cogs

    query = grid_query(**grid)
    console = Console()
    with connected(config, env) as dc:
        scenes = load(
            dc,
            product,
            measurements=["ucl", *_scl(dc, product)],
            ucl=ucl,
            model=model,
            refine=refine,
            group_by="solar_day",
            dask_chunks={"time": 1, "x": CHUNK, "y": CHUNK},
            **query,
        )
        number = scenes.sizes["time"]
        request = request_text("product", "time", "ucl", "model", "refine")
        rasters = share_rasters(persist(scenes), number, request)
        files = {out / f"{name}.tif": raster for name, raster in rasters.items()}
        check_files(files, overwrite=overwrite)
        check_picture(out / "shares.png", overwrite=overwrite)
        with console.step(f"Counting {number} dates to {out}") as progress:
            write_cogs(files, together=cpu_count(), progress=progress, overwrite=overwrite)
        draw_shares(out / "shares.tif", out / "shares.png")


def _scl(dc: Datacube, product: str) -> list[str]:
    """Return the name of the product's SCL, if it has one."""
    from ..scenes.bands import band_of

    definition = dc.index.products.get_by_name(product)
    names = definition.measurements if definition else {}
    return [name for name in names if band_of(name) == "scl"][:1]
