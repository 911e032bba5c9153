"""The command ``cleansat train``."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .console import Console
from .main import INTERRUPTED
from .names import Choice

if TYPE_CHECKING:
    from ..training.recipe import Recipe


_STOPPING = "Stopping: the step under way is being finished; Ctrl-C again stops at once."


@click.command(
    "train",
    epilog="""\b
Examples:
  cleansat train training/unet-mobilenetv2-l2a.yaml --data DATA --out run
  cleansat train my-recipe.yaml --out run --hours 8
  cleansat train my-recipe.yaml --out run --steps 60000
  cleansat train my-recipe.yaml --out run --export-only
  cleansat models import run/my-model.yaml

\b
The folder of a run holds
  checkpoint.pt      from which the run goes on
  progress.csv       loss and agreement, with their picture curves.png
  NAME.safetensors   weights of the model so far
  NAME.yaml          its document, NAME.md its card

\b
Exit codes:
  0    all steps are done, or the hours are over; the model is written
  1    failed (the message says why)
  2    wrong usage
  130  stopped by Ctrl-C or SIGTERM, with a checkpoint
After 1 and 130 the same command goes on from the last checkpoint.
""",
)
@click.argument("recipe", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder that the recipe's paths are relative to. Default: that of the recipe.",
)
@click.option(
    "-o",
    "--out",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the run. A run that was begun there goes on.",
)
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    metavar="N",
    help="Steps of the whole run, instead of the recipe's number.",
)
@click.option(
    "--hours",
    type=click.FloatRange(min=0, min_open=True),
    metavar="H",
    help="Stop after so many hours. The same command goes on another time.",
)
@click.option("--device", type=Choice(["cpu", "cuda"]), help="Default: cuda where there is one.")
@click.option(
    "--precision",
    type=Choice(["bf16", "f32"]),
    help="Default: bf16 where the device computes in it.",
)
@click.option("--export-only", is_flag=True, help="Do not train; write the model so far.")
@click.pass_context
def command(
    context: click.Context,
    recipe: Path,
    data: Path | None,
    out: Path,
    steps: int | None,
    hours: float | None,
    device: str | None,
    precision: str | None,
    export_only: bool,
) -> None:
    """Train a model as a recipe says, from labels, from a larger model, or from both.

    The run can be stopped at any time, even killed. The same command goes on from the last checkpoint, which is at most
    five minutes old.
    """
    from ..training import export_model, read_recipe

    wanted = read_recipe(recipe)
    if steps is not None:
        wanted = replace(wanted, schedule=replace(wanted.schedule, steps=steps))
    settings = {
        "device": device,
        "precision": precision,
        "seconds": float("inf") if hours is None else 3600 * hours,
    }
    if not export_only and not _train(wanted, data or recipe.parent, out, settings):
        options = {
            "--data": data, "--out": out, "--steps": steps, "--hours": hours, "--device": device,
            "--precision": precision,
        }  # fmt: skip
        again = _as_typed(recipe, options)
        click.echo(f"Stopped. It goes on by: {again}")
        click.echo(f"The model so far is written by: {again} --export-only")
        context.exit(INTERRUPTED)
    files = export_model(wanted, out)
    click.echo("\n".join(map(str, files)))
    documents = [str(path) for path in files if path.suffix == ".yaml"]
    click.echo("To use it: " + "; ".join(f"cleansat models import {each}" for each in documents))


def _train(recipe: Recipe, data: Path, out: Path, settings: dict[str, Any]) -> bool:
    """Train, and return whether it was not interrupted."""
    from ..batch.stop import Stop
    from ..training import train

    console = Console()
    with Stop(lambda _: console.say(_STOPPING)) as stop:
        train(recipe, data, out, **settings, stop=stop, reporter=console)
        return not stop()


def _as_typed(recipe: Path, options: dict[str, Any]) -> str:
    """Return the command as it would be typed."""
    given = [(name, str(value)) for name, value in options.items() if value is not None]
    return shlex.join(
        ["cleansat", "train", str(recipe), *(word for pair in given for word in pair)]
    )
