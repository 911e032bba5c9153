"""`cleansat recall`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .console import Console
from .options import connected, cpu_count, datacube_options, grid_options, grid_query

if TYPE_CHECKING:
    import xarray as xr

    from ..storage.cog import Raster


CHUNK = 2048


@click.command(
    "recall",
    epilog="""\b
Examples:
  cleansat recall --time 2024-06-15 -o mask.tif
  cleansat recall --time 2024-06 --bbox 13.6,47.7,13.8,47.9 --crs EPSG:3577 --resolution 100 -o masks
  cleansat recall --time 2024 --how fraction --crs EPSG:6933 --resolution 1000 -o cover
  cleansat recall --time 2024-06-15 --like scene.tif -o mask-like-scene.tif

\b
Exit codes: 0 done, 1 failed (the message says why), 2 wrong usage.
""",
)
@click.option("--product", default="s2_l2a_ucl", show_default=True, help="Product of masks.")
@grid_options
@click.option(
    "--how",
    type=click.Choice(["nearest", "mode", "any_cloud", "fraction"]),
    default="nearest",
    show_default=True,
    help="The class at the centre of each pixel; the commonest of the native pixels; their worst; or the "
    "shares of them that are cloud and shadow.",
)
@click.option(
    "--confidence",
    is_flag=True,
    help="Also write the confidence, to files ending in ucl_confidence.tif.",
)
@click.option("--model", metavar="NAME", help="Which model's masks, where there are several.")
@click.option(
    "--only-accepted",
    is_flag=True,
    help="Only masks that a reviewer has accepted. Those rejected are never written.",
)
@click.option(
    "--group-by",
    type=click.Choice(["time", "solar_day"]),
    default="time",
    show_default=True,
    help="What is one file: masks of one time, or of one day.",
)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="A file NAME.tif, for one time; or a folder, for one file a time.",
)
@datacube_options
def command(
    product: str,
    how: str,
    confidence: bool,
    model: str | None,
    only_accepted: bool,
    group_by: str,
    out: Path,
    config: tuple[str, ...],
    env: str | None,
    **grid: Any,
) -> None:
    """Write indexed masks to GeoTIFF, on any grid.

    Cloud-optimised, with nodata, colours of the classes and names of the bands. Fractions are two
    bands of one file: cloud_fraction and shadow_fraction. Where --crs and --resolution are left out,
    they are those of the masks.
    """
    from ..cube.recall import recall
    from ..errors import CubeError
    from ..storage.cog import write_cogs

    query = grid_query(**grid)
    if confidence and how == "fraction":
        raise click.UsageError("--confidence does not go with --how fraction.")
    single = out.suffix.lower() in (".tif", ".tiff")
    if single and confidence:
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
        times = masks.sizes["time"]
        if single and times > 1:
            first, last = (f"{t:.16}" for t in masks.time.values[[0, -1]].astype(str))
            raise CubeError(
                f"there are masks of {times} times, from {first} to {last}, for the one file {out}; give "
                "a folder with -o, or a narrower --time, or --group-by solar_day."
            )
        seconds = masks.time.values.astype("datetime64[s]")
        # Neighbouring tiles are taken within a second of each other.
        unit = "s" if len(set(seconds)) == times else "us"
        for i in range(times):
            one = masks.isel(time=i)
            files = _files(one, out, product, how, unit, single)
            with console.step(f"Writing {', '.join(map(str, files))}") as progress:
                write_cogs(files, together=cpu_count(), progress=progress)


def _files(
    mask: xr.Dataset, out: Path, product: str, how: str, unit: str, single: bool
) -> dict[Path, Raster]:
    """What goes into which file, named after its time in a unit: measurements with one nodata value share one."""
    from ..classes import CONFIDENCE_NODATA, CloudClass
    from ..storage.cog import Raster

    moment = str(mask.time.values.astype(f"datetime64[{unit}]"))
    tags = {"TIFFTAG_DATETIME": moment[:19].replace("-", ":").replace("T", " "), "HOW": how}
    stem = f"{product}_{moment.replace(':', '')}Z"

    def path(ending: str) -> Path:
        return out if single else out / f"{stem}_{ending}.tif"

    if how == "fraction":
        bands = {str(name): mask[name] for name in mask.data_vars}
        return {path("fraction"): Raster(bands, float("nan"), tags=tags)}
    colours = {int(c): c.colour for c in CloudClass}
    layers = {
        "ucl": Raster({"ucl": mask.ucl}, int(CloudClass.NODATA), colours, tags),
    }
    if "ucl_confidence" in mask:
        bands = {"ucl_confidence": mask.ucl_confidence}
        layers["ucl_confidence"] = Raster(bands, CONFIDENCE_NODATA, tags=tags)
    endings = {"ucl": "ucl" if how == "nearest" else f"{how}_ucl"}
    return {path(endings.get(name, name)): raster for name, raster in layers.items()}
