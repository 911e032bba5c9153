"""Options that several commands share."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..classes import CloudClass
from ..errors import CleansatError, CubeError

if TYPE_CHECKING:
    from datacube import Datacube
    from odc.geo.geobox import GeoBox


F = TypeVar("F", bound=Callable[..., Any])


def check_box(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> tuple[float, float, float, float] | None:
    """West, south, east and north from an option."""
    from ..scenes.search import check_bbox

    if value is None:
        return None
    try:
        west, south, east, north = (float(part) for part in value.replace(",", " ").split())
        check_bbox((west, south, east, north))
    except CleansatError as error:
        raise click.BadParameter(str(error), ctx, param) from error
    except ValueError:
        raise click.BadParameter(
            f"{value!r} is no box; write west,south,east,north in degrees, like 13.6,47.7,13.8,47.9.",
            ctx,
            param,
        ) from None
    return west, south, east, north


def datacube_options(command: F) -> F:
    """``--config`` and ``--env``, as those of the command `datacube`."""
    config = click.option(
        "-C",
        "--config",
        "--config-file",
        "config",
        multiple=True,
        metavar="FILE",
        help="Configuration of the datacube; the first that is there. Default: as the command datacube.",
    )
    env = click.option("-E", "--env", metavar="NAME", help="Environment in it. Default: default.")
    return config(env(command))


@contextlib.contextmanager
def connected(config: Sequence[str], env: str | None) -> Iterator[Datacube]:
    """The datacube that the options name.

    Raises
    ------
    CubeError
        If it cannot be reached.
    """
    from datacube import Datacube

    try:
        dc = Datacube(config=list(config) or None, env=env, app="cleansat")
    except Exception as error:  # of datacube and SQLAlchemy
        lines = [line for line in str(error).splitlines() if line.strip()]
        raise CubeError(
            f"the datacube cannot be reached: {(lines or [type(error).__name__])[0].strip()}. Look at "
            "`datacube system check`; -C names its configuration, -E the environment."
        ) from error
    with contextlib.closing(dc):
        yield dc


def source_options(command: F) -> F:
    """How a scene is read that comes without a datacube."""
    for option in (
        click.option(
            "--datetime",
            "moment",
            metavar="ISO8601",
            help="When a folder of bands was acquired, if it does not tell.",
        ),
        click.option(
            "--offset",
            type=float,
            help="Radiometric offset of the digital numbers, 0 or -1000. Default: the metadata decide.",
        ),
        click.option("--model", metavar="NAME", help="Default: the best for the scene's bands."),
    ):
        command = option(command)
    return command


def grid_options(command: F) -> F:
    """Where and on which grid; see :func:`grid_query`."""
    for option in (
        click.option(
            "--like",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="Take the grid of this raster file, instead of the other three.",
        ),
        click.option(
            "--resolution", type=float, help="Pixel size, in units of the coordinate system."
        ),
        click.option("--crs", metavar="EPSG:CODE", help="Coordinate system of the result."),
        click.option(
            "--bbox",
            callback=check_box,
            metavar="W,S,E,N",
            help="Area: west, south, east and north in degrees.",
        ),
        click.option(
            "--time",
            metavar="ISO8601[/ISO8601]",
            help="A day, month or year, or two with a slash between. Default: all.",
        ),
    ):
        command = option(command)
    return command


def grid_query(
    time: str | None,
    bbox: tuple[float, float, float, float] | None,
    crs: str | None,
    resolution: float | None,
    like: Path | None,
) -> dict[str, Any]:
    """The options of :func:`grid_options` as arguments of `load` and `recall`."""
    query: dict[str, Any] = {}
    if like is not None:
        if other := [
            n for n, v in (("--bbox", bbox), ("--crs", crs), ("--resolution", resolution)) if v
        ]:
            raise click.UsageError(f"--like says it all; leave out {', '.join(other)}.")
        query["like"] = _grid_of(like)
    if resolution is not None and resolution <= 0:
        raise click.BadParameter("it must be larger than 0.", param_hint="--resolution")
    query |= search_terms(time, bbox)
    if crs is not None:
        query["output_crs"] = crs
    if resolution is not None:
        query["resolution"] = resolution
    return query


def search_terms(
    time: str | None, bbox: tuple[float, float, float, float] | None
) -> dict[str, Any]:
    """Return ``--time`` and ``--bbox`` as search terms of a datacube; what is None is left out."""
    query: dict[str, Any] = {}
    if time is not None:
        parts = tuple(time.split("/"))
        query["time"] = parts if len(parts) == 2 else time
    if bbox is not None:
        west, south, east, north = bbox
        query |= {"longitude": (west, east), "latitude": (south, north)}
    return query


def _grid_of(path: Path) -> GeoBox:
    import rasterio
    from odc.geo.geobox import GeoBox
    from rasterio.errors import RasterioError

    try:
        with rasterio.open(path) as file:
            if file.crs is None:
                raise CleansatError(f"{path} has no coordinate system, so no grid to take from it.")
            return GeoBox.from_rio(file)
    except RasterioError as error:
        raise CleansatError(f"cannot read {path}: {error}.") from error


def cpu_count() -> int:
    """Of this process."""
    from dask.system import CPU_COUNT

    return int(CPU_COUNT)


def check_label(codes: Iterable[int]) -> None:
    """Refuse a label that knows neither cloud nor shadow, where nobody has said what its codes mean.

    Most such labels are 0 and 1 for no and yes, which the codes of a UCL take for no data and clear.

    Raises
    ------
    click.UsageError
        Saying how to name them.
    """
    if set(codes) <= {CloudClass.NODATA, CloudClass.CLEAR}:
        raise click.UsageError(
            "by the codes of a UCL, in which 0 is no data and 1 clear, the label has neither cloud nor shadow. Say "
            "what its codes mean: --label-mapping shadow-label, on-cloud-n or 0=clear,1=cloud; or ucl, if it is clear."
        )


def scene_options(command: Any) -> Any:
    """Which scenes, and which of their masks."""
    for option in (
        click.option(
            "--offset",
            type=float,
            help="Radiometric offset of the digital numbers. Default: decided from each scene's metadata.",
        ),
        click.option(
            "--model", metavar="NAME", help="A model. Default: the best for each scene's bands."
        ),
        click.option(
            "--bbox",
            callback=check_box,
            metavar="W,S,E,N",
            help="Area: west, south, east and north in degrees. Default: all.",
        ),
        click.option(
            "--time",
            metavar="ISO8601[/ISO8601]",
            help="A day, month or year, or two with a slash between. Default: all.",
        ),
        click.option("--product", default="s2_l2a", show_default=True, help="Product of scenes."),
    ):
        command = option(command)
    return command
