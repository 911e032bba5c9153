"""The command `cleansat`. It parses, reports and sets exit codes; other rooms do the work.

Each subcommand is a module of this room and is imported when it is called.
"""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from .._version import __version__
from ..errors import LOG, CleansatWarning
from ..settings import FILE_VARIABLE, SettingsError
from .console import describe_error
from .defaults import option_defaults
from .journal import FORMATS, for_programs, tell, voice
from .names import Choice, Group
from .wording import in_options

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""

SOME_FAILED = 3
"""Exit code where some of several scenes failed."""

COMMANDS = {
    "demo": "Mask one scene and recall it, in a datacube of its own.",
    "doctor": "Tell what works on this machine, and how to mend what does not.",
    "mask": "Mask one scene, or those of a search, without a datacube.",
    "recall": "Write indexed masks to GeoTIFF, on any grid.",
    "refine": "Improve indexed masks by the other dates of the same place.",
    "persist": "Map how often each pixel is cloud, shadow and clear.",
    "export": "Write an unclouded composite to GeoTIFF.",
    "compare": "Draw true colour, SCL and UCL side by side, or a page to swipe between them.",
    "review": "Look through many masks, and accept or reject them.",
    "app": "Serve the web application: find, mask, look, judge, recall, composite.",
    "evaluate": "Measure masks against labels.",
    "benchmark": "Measure a model by a published benchmark, beside published scores.",
    "verify": "Check that mask products are whole and true.",
    "run": "Mask all scenes of a product that have no mask yet, on many processes.",
    "status": "Count the scenes that are masked, missing or failed.",
    "catalog": "Look after the catalogue of a store, which needs no database.",
    "product": "Put the products into the datacube.",
    "models": "List, fetch, check, add and remove models.",
    "train": "Train a model, from labels or from a larger model.",
}
"""Name of each subcommand, which is that of its module, and its first line of help."""


class _Group(Group):
    """Imports subcommands when they are called.

    Turns exceptions into one line and exit code 1, unless ``--debug`` asks for the traceback.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = import_module(f".{name}", __package__).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        debug = ctx.params.get("debug", False)
        if not debug:
            _quieten()
        # Pandas imports numexpr, which fails at some values of OMP_NUM_THREADS that OpenMP allows, such as 4,2.
        ctx.with_resource(_variable("NUMEXPR_NUM_THREADS", "1"))
        try:
            return super().invoke(ctx)
        except click.ClickException as error:
            vars(error)["message"] = in_options(error.message)
            if not for_programs():
                raise
            tell(error.format_message(), err=True, level="error")
            ctx.exit(error.exit_code)
        except (click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise  # click ends quietly where `head` has read enough
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            ctx.exit(INTERRUPTED)
        except Exception as error:
            if debug:
                raise
            if not for_programs():
                raise click.ClickException(describe_error(error)) from error
            tell(describe_error(error), err=True, level="error")
            ctx.exit(1)


def _quieten() -> None:
    """Show our own warnings as one line each, once, and leave those of libraries to ``--debug``."""
    said: set[str] = set()
    warnings.simplefilter("ignore")
    warnings.simplefilter("always", CleansatWarning)

    def show(message: Warning | str, *_: object, **__: object) -> None:
        text = in_options(str(message))
        if text in said:
            return
        said.add(text)
        tell(text if for_programs() else f"Warning: {text}", err=True, level="warning")

    class Show(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            show(record.getMessage())

    warnings.showwarning = show
    LOG.handlers = [Show()]
    LOG.propagate = False
    for library in ("datacube", "odc", "rasterio"):
        logging.getLogger(library).setLevel(logging.CRITICAL)


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "CLEANSAT"},
)
@click.option("--debug", is_flag=True, help="Show tracebacks and the warnings of libraries.")
@click.option(
    "--settings",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="File of settings. Default: cleansat.toml here, ~/.cleansat.toml or /etc/cleansat.toml.",
)
@click.option(
    "--log-format",
    type=Choice(FORMATS),
    default="text",
    show_default=True,
    help="How lines of progress, warnings and errors are written; json is an object a line.",
)
@click.version_option(__version__, prog_name="cleansat")
@click.pass_context
def main(context: click.Context, debug: bool, settings: Path | None, log_format: str) -> None:
    """Cloud and cloud-shadow masks for Sentinel-2 in the Open Data Cube.

    A mask gives each pixel a class, the UCL: clear, cloud, shadow and what else its model knows. It is
    indexed as the product s2_l2a_ucl. SCL is the classification that Sen2Cor adds to each scene.

    Begin with `cleansat demo`, which needs no data. Then `cleansat mask` masks a scene, and `cleansat run` all scenes
    of a datacube. `cleansat doctor` tells what is missing. `cleansat COMMAND --help` has examples.

    Exit codes: 0 done, 1 failed (the message says why), 2 wrong usage, 130 interrupted. Commands for several
    scenes also end with 3 if some of them failed.
    """
    context.with_resource(voice(log_format, context.invoked_subcommand or ""))
    if settings is not None:
        context.with_resource(_variable(FILE_VARIABLE, str(settings.absolute())))
    assert isinstance(context.command, click.Group)
    try:
        context.default_map = option_defaults(context.command)
    except SettingsError:
        if context.invoked_subcommand != "doctor":  # of which it is a finding
            raise


@contextlib.contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
    """Set a variable of the environment, also for processes that are started in this context."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before
