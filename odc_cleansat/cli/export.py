"""`cleansat export`."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from dask.callbacks import Callback

from .console import Console
from .names import Choice
from .options import (
    connected,
    datacube_options,
    grid_options,
    grid_query,
    overwrite_option,
    request_text,
)

if TYPE_CHECKING:
    import xarray as xr
    from datacube import Datacube

    from ..storage.cog import Raster


MEMORY = 400_000_000
"""Bytes that the observations of one block may take."""

_DECIDING = (
    "product", "time", "method", "min_clear", "ucl", "model", "preset", "only_accepted", "group_by", "resampling",
)  # fmt: skip
"""Options that decide what the pixels mean; the grid and the bands are seen in the file."""


@click.command(
    "export",
    epilog="""\b
Examples:
  cleansat export --product s2_l2a --time 2024-06 --bbox 13.6,47.7,13.8,47.9 \\
      --crs EPSG:32633 --resolution 10 --bands red,green,blue -o june.tif
  cleansat export --product s2_l2a --time 2024 --like scene.tif \\
      --method geomedian --min-clear 0.3 -o year

\b
Exit codes: 0 done, 1 failed (the message says why), 2 wrong usage.
""",
)
@click.option("--product", metavar="NAME", required=True, help="Product of Sentinel-2 L2A scenes.")
@grid_options
@click.option(
    "--method",
    type=Choice(["median", "geomedian", "best"]),
    default="median",
    show_default=True,
    help="How the clear observations are combined; best takes all bands from one date.",
)
@click.option("--bands", metavar="NAME,...", help="Default: all of reflectance.")
@click.option(
    "--min-clear",
    type=click.FloatRange(0, 1),
    metavar="SHARE",
    help="Use only the times at which at least this share of the area is clear, 0 to 1.",
)
@click.option(
    "--ucl",
    type=Choice(["auto", "indexed", "computed"]),
    default="auto",
    show_default=True,
    help="Source of the masks: auto takes those in the index and computes the others.",
)
@click.option("--model", metavar="NAME", help="Take or make the masks of this model.")
@click.option(
    "--preset",
    type=Choice(["balanced", "conservative", "permissive"]),
    help="Make masks stricter or more lenient. Default: as the network gave them.",
)
@click.option(
    "--only-accepted",
    is_flag=True,
    help="Use only scenes whose mask a reviewer has accepted. Rejected masks are never used.",
)
@click.option(
    "--group-by",
    type=Choice(["time", "solar_day"]),
    default="solar_day",
    show_default=True,
    help="What is one observation.",
)
@click.option(
    "--resampling",
    metavar="METHOD",
    default="bilinear",
    show_default=True,
    help="Resampling of reflectance, as in dc.load; classes are always resampled by nearest.",
)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="A file NAME.tif with all bands; or a folder, for one file a band and the counts of observations.",
)
@overwrite_option
@datacube_options
def command(
    product: str,
    method: str,
    bands: str | None,
    min_clear: float | None,
    ucl: str,
    model: str | None,
    preset: str | None,
    only_accepted: bool,
    group_by: str,
    resampling: str,
    out: Path,
    overwrite: bool,
    config: tuple[str, ...],
    env: str | None,
    **grid: Any,
) -> None:
    """Write an unclouded composite to GeoTIFF.

    Scenes are loaded with their masks and combined without cloud and shadow. The radiometric offset is taken
    off the digital numbers: reflectance is DN / 10000. Memory stays bounded however large the area is.
    """
    from ..cube.load import load
    from ..masks.composite import composite
    from ..storage.cog import write_cogs

    query = grid_query(**grid)
    console = Console()
    with connected(config, env) as dc:
        names = _bands(dc, product, bands)
        layers = [*(names or []), "ucl", *(["ucl_confidence"] if method == "best" else [])]
        side = _block_side(dc, product, query, len(layers))
        what = "Looking up scenes and masks"
        if min_clear is not None:
            what += f", and which times are {100 * min_clear:g} % clear"
        with console.step(what) as progress, _TaskCounter(progress):
            scenes = load(
                dc,
                product,
                measurements=layers if names else None,
                ucl=ucl,
                model=model,
                preset=preset,
                min_clear=min_clear,
                harmonized=True,
                only_accepted=only_accepted,
                group_by=group_by,
                resampling={"*": resampling, "scl": "nearest", "SCL": "nearest"},
                dask_chunks={"time": 1, "x": side, "y": side},
                **query,
            )
            clean = composite(scenes, method=method, bands=names)
        number = scenes.sizes["time"]
        files = _rasters_by_path(clean, out, number)
        rows, columns = clean.odc.geobox.shape
        what = f"Writing a {method} of {number} observation(s), {rows} x {columns} pixels, to {out}"
        with console.step(what) as progress:
            write_cogs(files, progress=progress, overwrite=overwrite)


class _TaskCounter(Callback):  # type: ignore[misc]
    """Counts the tasks of dask while masks are computed."""

    def __init__(self, progress: Callable[[int, int], None]) -> None:
        super().__init__()
        self.progress = progress

    def _posttask(self, key: Any, result: Any, dsk: Any, state: Any, worker_id: Any) -> None:
        total = sum(len(state[kind]) for kind in ("ready", "waiting", "running", "finished"))
        self.progress(len(state["finished"]), total)


def _bands(dc: Datacube, product: str, bands: str | None) -> list[str] | None:
    """Return the names to load; None if there is no such product, which `load` then refuses."""
    from ..cube.driver import BANDS
    from ..scenes.bands import is_reflective

    if bands is not None:
        names = [name.strip() for name in bands.split(",") if name.strip()]
        if not names:
            raise click.BadParameter("it names no band.", param_hint="--bands")
        if classes := [name for name in names if name.lower() in ("scl", *BANDS)]:
            raise click.BadParameter(
                f"{', '.join(classes)} are no reflectance and have no median; `cleansat recall` writes masks.",
                param_hint="--bands",
            )
        return names
    definition = dc.index.products.get_by_name(product)
    return list(filter(is_reflective, definition.measurements)) if definition else None


def _block_side(dc: Datacube, product: str, query: dict[str, Any], layers: int) -> int:
    """Return the side of the blocks, pixels, at which all observations of a block fit into :data:`MEMORY`."""
    from ..cube.query import understanding
    from ..errors import CubeError

    terms = {k: v for k, v in query.items() if k in ("time", "like", "longitude", "latitude")}
    if dc.index.products.get_by_name(product) is None:
        return 512
    try:
        with understanding():
            number = len(dc.find_datasets(product=product, **terms))
    except CubeError:  # `load` says what is wrong
        return 512
    # As float32, and as often again while they are sorted.
    side = math.sqrt(MEMORY / (max(number, 1) * layers * 8))
    return int(min(max(2 ** math.floor(math.log2(side)), 128), 1024))


def _rasters_by_path(clean: xr.Dataset, out: Path, number: int) -> dict[Path, Raster]:
    """Return the content of each file by its path."""
    from ..masks.rasters import composite_raster, composite_rasters, share_a_file

    request = request_text(*_DECIDING)
    if out.suffix.lower() not in (".tif", ".tiff"):
        rasters = composite_rasters(clean, number, request)
        return {out / f"{name}.tif": raster for name, raster in rasters.items()}
    if not share_a_file(clean):
        raise click.UsageError(
            "the bands have several types or nodata values, which one file cannot have; give a "
            "folder with -o, or fewer --bands."
        )
    return {out: composite_raster(clean, number, request)}
