"""The command `cleansat`. It parses, reports and sets exit codes; the work is done elsewhere."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from ._version import __version__
from .errors import CleansatError, ReflectanceWarning


class _Group(click.Group):
    """Turns exceptions into one line and exit code 1, unless ``--debug`` asks for the traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        debug = ctx.params.get("debug", False)
        if not debug:
            _quieten()
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except CleansatError as error:
            if debug:
                raise
            raise click.ClickException(str(error)) from error
        except OSError as error:
            if debug:
                raise
            what = f"{error.filename}: " if error.filename else ""
            raise click.ClickException(f"{what}{error.strerror or error}") from error
        except Exception as error:
            if debug:
                raise
            first = (str(error).strip().splitlines() or ["no message"])[0]
            raise click.ClickException(
                f"unexpected {type(error).__name__}: {first}. Run with `cleansat --debug ...` for details."
            ) from error


def _quieten() -> None:
    """Show our own warnings as one line, and leave those of libraries to ``--debug``."""
    warnings.simplefilter("ignore")
    warnings.simplefilter("always", ReflectanceWarning)

    def show(message: Warning | str, *_: object, **__: object) -> None:
        click.secho(f"Warning: {message}", err=True, fg="yellow")

    warnings.showwarning = show
    for library in ("datacube", "odc", "rasterio"):
        logging.getLogger(library).setLevel(logging.CRITICAL)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show tracebacks and the warnings of libraries.")
@click.version_option(__version__, prog_name="cleansat")
def main(debug: bool) -> None:
    """Cloud and cloud-shadow masks for Sentinel-2 in the Open Data Cube.

    Exit codes: 0 done, 1 failed (the message says why), 2 wrong usage.
    """


class _Console:
    """Says each step when it begins, with a bar where it can be counted and the time it took."""

    def say(self, text: str) -> None:
        """Print one line."""
        click.echo(text)

    @contextlib.contextmanager
    def step(self, text: str) -> Iterator[Callable[[int, int], None]]:
        """Print a line, and a bar as soon as something is counted."""
        from tqdm import tqdm

        from .demo import timed

        click.echo(f"{text} ...")
        bars: list[tqdm[Any]] = []

        def progress(done: int, total: int) -> None:
            if not bars:
                bars.append(tqdm(total=total, leave=False, file=sys.stderr, delay=0.5))
            bars[0].update(done - bars[0].n)

        with timed() as seconds:
            try:
                yield progress
            finally:
                for bar in bars:
                    bar.close()
            if seconds() >= 1:
                click.echo(f"  done in {seconds():.1f} s")


@main.command(
    epilog="""\b
Examples:
  cleansat demo
  cleansat demo --scene S2_BANDS_FOLDER --datetime 2024-04-01T02:00:00Z --out demo-manila
  cleansat demo --stop
"""
)
@click.option(
    "--scene",
    type=click.Path(path_type=Path),
    help="Folder with one GeoTIFF a band (B02.tif, ..., SCL.tif). Default: a simulated scene.",
)
@click.option(
    "--datetime",
    "moment",
    metavar="ISO8601",
    help="When the scene was acquired, if its folder does not tell.",
)
@click.option(
    "--offset",
    type=float,
    help="Radiometric offset of the digital numbers: -1000 since processing baseline 04.00 unless "
    "the provider removed it. Default: decided from the scene's metadata.",
)
@click.option("--model", help="Name of a model. Default: the best for the scene's bands.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("cleansat-demo"),
    show_default=True,
    help="Folder for the database, the products and the figure.",
)
@click.option(
    "--stop", is_flag=True, help="Stop the database of an earlier demo, and do nothing else."
)
def demo(
    scene: Path | None,
    moment: str | None,
    offset: float | None,
    model: str | None,
    out: Path,
    stop: bool,
) -> None:
    """Mask one scene and recall it, in a datacube of its own.

    Starts an embedded database in the output folder, indexes the scene, runs the UNet, writes
    the mask as COG with EO3 and STAC documents, indexes it, loads it back with dc.load at three
    grids, and draws RGB | SCL | UCL. Run again, it computes nothing.
    """
    from .cube import CONFIG_NAME, stop_cube
    from .demo import describe, run_demo
    from .scenes import parse_moment

    if stop:
        click.echo("Stopped." if stop_cube(out) else f"No database runs in {out}.")
        return
    result = run_demo(
        out,
        _Console(),
        scene=scene,
        moment=parse_moment(moment) if moment else None,
        offset=offset,
        model=model,
        keep_running=True,
    )
    click.echo()
    properties = result.scene.metadata_doc["properties"]
    if properties.get("cleansat:simulated"):
        click.echo("This scene is simulated: its land, clouds and SCL are made up.")
    if properties.get("cleansat:datetime_placeholder"):
        click.echo(
            "The date of the scene is unknown; 1970-01-01 stands for it. Use --datetime to say it."
        )
    for recalled in result.recalled:
        click.echo(describe(recalled))
    click.echo()
    click.echo(result.table)
    click.echo()
    state = "computed" if result.computed else "found, not computed again"
    click.echo(f"mask    {result.mask.local_path} ({state})")
    click.echo(f"figure  {result.figure}")
    click.echo(
        "The database keeps running for other programs, for instance:\n"
        f"  DATACUBE_CONFIG_PATH={out / CONFIG_NAME} {_program('datacube')} product list\n"
        f"Stop it with: {_program('cleansat')} demo --stop --out {out}"
    )


def _program(name: str) -> str:
    """How to call a program of this environment: by its name if that finds it, else by its path."""
    beside = Path(sys.executable).parent / name
    on_path = shutil.which(name)
    found = on_path is not None and Path(on_path).resolve() == beside.resolve()
    return name if found or not beside.exists() else os.path.relpath(beside)
