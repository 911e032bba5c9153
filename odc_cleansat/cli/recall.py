"""`cleansat recall`."""

from __future__ import annotations

from collections.abc import Iterator
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
    import xarray as xr

    from ..storage.cog import Raster


CHUNK = 2048
"""Pixels along each side of what is computed at a time."""


@click.command(
    "recall",
    epilog="""\b
Examples:
  cleansat recall --time 2024-06-15 -o mask.tif
  cleansat recall --time 2024-06 --bbox 13.6,47.7,13.8,47.9 --crs EPSG:3035 \\
      --resolution 100 -o masks
  cleansat recall --time 2024 --how fraction --crs EPSG:6933 \\
      --resolution 1000 -o cover
  cleansat recall --time 2024-06-15 --like scene.tif -o mask-like-scene.tif

\b
Exit codes: 0 done, 1 failed (the message says why), 2 wrong usage.
""",
)
@click.option(
    "--product", metavar="NAME", default="s2_l2a_ucl", show_default=True, help="Product of masks."
)
@grid_options
@click.option(
    "--how",
    type=Choice(["nearest", "mode", "any_cloud", "fraction"]),
    default="nearest",
    show_default=True,
    help="Which class each pixel gets: that of the nearest native pixel, the most frequent, or the worst of "
    "those in it; or the shares of them that are cloud and shadow.",
)
@click.option(
    "--confidence",
    is_flag=True,
    help="Also write the confidence, to files ending in ucl_confidence.tif.",
)
@click.option(
    "--model", metavar="NAME", help="Take the masks of this model, where there are several."
)
@click.option(
    "--only-accepted",
    is_flag=True,
    help="Write only masks that a reviewer has accepted. Rejected masks are never written.",
)
@click.option(
    "--group-by",
    type=Choice(["time", "solar_day"]),
    default="time",
    show_default=True,
    help="What goes into one file: masks of one time, or of one day.",
)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="A file NAME.tif, for one time; or a folder, for one file each time.",
)
@overwrite_option
@datacube_options
def command(
    product: str,
    how: str,
    confidence: bool,
    model: str | None,
    only_accepted: bool,
    group_by: str,
    out: Path,
    overwrite: bool,
    config: tuple[str, ...],
    env: str | None,
    **grid: Any,
) -> None:
    """Write indexed masks to GeoTIFF, on any grid.

    The files are cloud-optimised, with nodata, colours of the classes and names of the bands. Fractions are two
    bands of one file: cloud_fraction and shadow_fraction. By default, --crs and --resolution are those of the
    masks.
    """
    from ..cube.recall import recall
    from ..storage.cog import check_files, write_cogs

    query = grid_query(**grid)
    if confidence and how == "fraction":
        raise click.UsageError("--confidence does not go with --how fraction.")
    one_file = out.suffix.lower() in (".tif", ".tiff")
    if one_file and confidence:
        raise click.UsageError("--confidence needs a folder for its second file; give one with -o.")
    console = Console()
    with connected(config, env) as dc:
        masks = recall(
            dc,
            product,
            how=how,
            model=model,
            measurements=["ucl", "ucl_confidence"] if confidence else None,
            group_by=group_by,
            only_accepted=only_accepted,
            dask_chunks={"x": CHUNK, "y": CHUNK},
            **query,
        )
        if one_file:
            _check_one_time(masks, out)
        written = [_files(mask, name, how, out) for name, mask in _named(masks, product)]
        for files in written:
            check_files(files, overwrite=overwrite)
        for files in written:
            with console.step(f"Writing {', '.join(map(str, files))}") as progress:
                write_cogs(files, together=cpu_count(), progress=progress, overwrite=overwrite)


def _check_one_time(masks: xr.Dataset, out: Path) -> None:
    from ..errors import CubeError

    times = masks.time.values.astype(str)
    if len(times) > 1:
        raise CubeError(
            f"there are masks of {len(times)} times, from {times[0]:.16} to {times[-1]:.16}, for the one file "
            f"{out}; give a folder with -o, or a narrower --time, or --group-by solar_day."
        )


def _named(masks: xr.Dataset, product: str) -> Iterator[tuple[str, xr.Dataset]]:
    """The mask of each time, dims ``(y, x)``, with the beginning of the names of its files."""
    seconds = masks.time.values.astype("datetime64[s]")
    # Neighbouring tiles are taken within a second of each other.
    unit = "s" if len(set(seconds)) == len(seconds) else "us"
    for i, moment in enumerate(masks.time.values.astype(f"datetime64[{unit}]")):
        yield f"{product}_{str(moment).replace(':', '')}Z", masks.isel(time=i)


def _files(mask: xr.Dataset, name: str, how: str, out: Path) -> dict[Path, Raster]:
    """What goes into which file."""
    from ..masks.rasters import mask_rasters

    request = request_text("product", "how", "model", "only_accepted", "group_by")
    rasters = mask_rasters(mask, how, request)
    if out.suffix.lower() in (".tif", ".tiff"):
        return {out: next(iter(rasters.values()))}
    return {out / f"{name}_{ending}.tif": raster for ending, raster in rasters.items()}
