"""Options that several commands share, and what their values mean."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from ..classes import CloudClass
from ..errors import CleansatError

if TYPE_CHECKING:
    from datacube import Datacube
    from odc.geo.geobox import GeoBox


F = TypeVar("F", bound=Callable[..., Any])


def check_box(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> tuple[float, float, float, float] | None:
    """Return west, south, east and north, degrees, from the text of an option.

    Raises
    ------
    click.BadParameter
        If the text is no box.
    """
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


def option_group(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Make one decorator of several options, which the help lists in this order."""

    def decorate(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def _bbox(text: str) -> Callable[[F], F]:
    return click.option("--bbox", callback=check_box, metavar="W,S,E,N", help=text)


_time = click.option(
    "--time",
    metavar="ISO8601[/ISO8601]",
    help="A day, month or year, or two of them with a slash between. Default: all.",
)

_CATALOG = "odc_cleansat.catalog"
"""Key under which a command's context keeps ``--catalog``, so that not each command has to hand it on."""


def _keep_catalog(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    ctx.meta[_CATALOG] = value


def given_catalog() -> str | None:
    """Return the ``--catalog`` of the command under way, or None.

    Raises
    ------
    click.UsageError
        If a datacube is named beside it.
    """
    context = click.get_current_context(silent=True)
    catalog: str | None = context.meta.get(_CATALOG) if context else None
    if catalog is not None and (is_typed("config") or is_typed("env")):
        raise click.UsageError(
            "--catalog stands in place of a datacube; leave out --config and --env."
        )
    return catalog


datacube_options = option_group(
    click.option(
        "-C",
        "--config",
        "--config-file",
        "config",
        multiple=True,
        metavar="FILE",
        help="Configuration of the datacube; of several, the first that exists. Default: as for the command datacube.",
    ),
    click.option(
        "-E",
        "--env",
        metavar="NAME",
        help="Environment in the configuration. Default: default.",
    ),
    click.option(
        "--catalog",
        metavar="STORE",
        expose_value=False,
        callback=_keep_catalog,
        help="A store of masks with its catalogue, in place of a datacube: a folder or s3://bucket/prefix.",
    ),
)
"""``--config`` and ``--env``, as those of the command `datacube`, and ``--catalog``; see :func:`connected`."""

model_option = click.option(
    "--model",
    metavar="NAME",
    help="Model that makes the masks, see `cleansat models list`. Default: the best for a scene's bands.",
)

plain_option = click.option(
    "--plain",
    is_flag=True,
    help="Keep the network's own answer: no shadow is deleted for lack of a cloud, no white core is filled.",
)

source_options = option_group(
    model_option,
    click.option(
        "--offset",
        type=float,
        metavar="DN",
        help="Radiometric offset of the digital numbers, 0 or -1000. Default: from the metadata.",
    ),
    click.option(
        "--datetime",
        "moment",
        metavar="ISO8601",
        help="When a folder of bands was acquired, if its metadata do not say so.",
    ),
)
"""How a scene is read that comes without a datacube."""

query_options = option_group(
    _time,
    _bbox("Area: west, south, east and north in degrees. Default: all."),
)
"""Which datasets of a product; see :func:`search_terms`."""

scene_options = option_group(
    click.option(
        "--product", metavar="NAME", default="s2_l2a", show_default=True, help="Product of scenes."
    ),
    query_options,
    model_option,
    click.option(
        "--offset",
        type=float,
        metavar="DN",
        help="Radiometric offset of the digital numbers. Default: from each scene's metadata.",
    ),
)
"""Which scenes of a datacube, and which of their masks."""

grid_options = option_group(
    _time,
    _bbox("Area: west, south, east and north in degrees."),
    click.option("--crs", metavar="EPSG:CODE", help="Coordinate system of the result."),
    click.option(
        "--resolution",
        type=float,
        metavar="SIZE",
        help="Pixel size, in units of the coordinate system.",
    ),
    click.option(
        "--like",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        metavar="FILE",
        help="Take the grid of this raster file, instead of --bbox, --crs and --resolution.",
    ),
)
"""Where and on which grid; see :func:`grid_query`."""


def json_option(what: str) -> Callable[[F], F]:
    """Return the option ``--json``: standard output is JSON, one object a line, and the rest goes to standard error.

    Parameters
    ----------
    what
        What the objects tell of, such as ``for each mask``.
    """
    return click.option(
        "--json", "as_json", is_flag=True, help=f"Print JSON, one object a line, {what}."
    )


metrics_options = option_group(
    click.option(
        "--metrics-port",
        type=click.IntRange(1, 65535),
        metavar="PORT",
        help="Serve figures for Prometheus at http://127.0.0.1:PORT/metrics.",
    ),
    click.option(
        "--metrics-host",
        default="127.0.0.1",
        show_default=True,
        metavar="ADDRESS",
        help="Where they are served. 0.0.0.0, in a container, is all of its addresses.",
    ),
)
"""For commands that run long; see :mod:`odc_cleansat.batch.metrics`."""


overwrite_option = click.option(
    "--overwrite",
    is_flag=True,
    help="Replace whatever files are there. Otherwise only the same is replaced: same grid, same options.",
)
"""For commands that write files whose names a user gives; see :mod:`odc_cleansat.storage.replace`."""


fetch_scenes_option = click.option(
    "--fetch-scenes",
    is_flag=True,
    help="Open the files of scenes wherever the masks say that they are. Give it only for masks that you trust. "
    "Otherwise they are opened near a mask, on its host, and where the datacube knows the scene.",
)
"""For commands that look at masks and their scenes; see :mod:`odc_cleansat.products.scene_files`."""


@contextlib.contextmanager
def connected(config: Sequence[str], env: str | None) -> Iterator[Datacube]:
    """Connect to the datacube that :data:`datacube_options` name.

    Raises
    ------
    CubeError
        If it cannot be reached.
    """
    from ..cube.connect import connect

    dc = connect(config, env, catalog=given_catalog())
    with contextlib.closing(dc):
        yield dc


def request_text(*names: str) -> str:
    """Return options of the command under way as text, such as ``--how mode --model NAME``.

    Parameters
    ----------
    names
        Names of the parameters; those that are None or not set are left out.
    """
    given = click.get_current_context().params
    words = [
        f"--{name.replace('_', '-')}" + ("" if given[name] is True else f" {given[name]}")
        for name in names
        if given[name] is not None and given[name] is not False
    ]
    return " ".join(words)


def search_terms(
    time: str | None, bbox: tuple[float, float, float, float] | None
) -> dict[str, Any]:
    """Return ``--time`` and ``--bbox`` as search terms of a datacube; what is None is left out."""
    query: dict[str, Any] = {}
    if time is not None:
        query["time"] = time
    if bbox is not None:
        west, south, east, north = bbox
        query |= {"longitude": (west, east), "latitude": (south, north)}
    return query


def grid_query(
    time: str | None,
    bbox: tuple[float, float, float, float] | None,
    crs: str | None,
    resolution: float | None,
    like: Path | None,
) -> dict[str, Any]:
    """Return the options of :data:`grid_options` as arguments of `load` and `recall`.

    Raises
    ------
    click.UsageError
        If options contradict each other.
    click.BadParameter
        If the resolution is not larger than 0.
    CleansatError
        If the file of ``--like`` cannot be read or has no coordinate system.
    """
    query = search_terms(time, bbox)
    if like is not None:
        given = {"--bbox": bbox, "--crs": crs, "--resolution": resolution}
        if other := [name for name, value in given.items() if value]:
            raise click.UsageError(f"--like says it all; leave out {', '.join(other)}.")
        query["like"] = _grid_of(like)
    if resolution is not None and not 0 < resolution < math.inf:
        raise click.BadParameter("it must be larger than 0.", param_hint="--resolution")
    if crs is not None:
        query["output_crs"] = crs
    if resolution is not None:
        query["resolution"] = resolution
    return query


def _grid_of(path: Path) -> GeoBox:
    from odc.geo.geobox import GeoBox
    from rasterio.errors import RasterioError

    from ..storage.rasters import open_file

    try:
        with open_file(path) as file:
            if file.crs is None:
                raise CleansatError(f"{path} has no coordinate system, so no grid to take from it.")
            return GeoBox.from_rio(file)
    except RasterioError as error:
        raise CleansatError(f"cannot read {path}: {error}.") from error


def cpu_count() -> int:
    """Return how many processors this process may use."""
    from dask.system import CPU_COUNT

    return int(CPU_COUNT)


def is_typed(name: str) -> bool:
    """Tell whether an option of the command that runs was typed, and does not come from settings or by default.

    Parameters
    ----------
    name
        The option, without its hyphens in front.
    """
    source = click.get_current_context().get_parameter_source(name.replace("-", "_"))
    return source is ParameterSource.COMMANDLINE


def check_label(codes: Iterable[int]) -> None:
    """Refuse a label that knows neither cloud nor shadow, if nobody has said what its codes mean.

    Most such labels are 0 and 1 for no and yes. The codes of a UCL take these for no data and clear.

    Parameters
    ----------
    codes
        Those that occur in the label.

    Raises
    ------
    click.UsageError
        If they are 0 and 1 at most; the message says how to name them.
    """
    if set(codes) <= {CloudClass.NODATA, CloudClass.CLEAR}:
        raise click.UsageError(
            "by the codes of a UCL, in which 0 is no data and 1 clear, the label has neither cloud nor shadow. Say "
            "what its codes mean: --label-mapping shadow-label, on-cloud-n or 0=clear,1=cloud; or ucl, if it is clear."
        )
