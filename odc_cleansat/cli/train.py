"""`cleansat train`."""

from __future__ import annotations

import shlex
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .console import Console, duration
from .main import INTERRUPTED

if TYPE_CHECKING:
    from ..training.plans import Progress
    from ..training.recipe import Recipe


_FIRST = 10
"""Steps after which it can be told how long the rest will take."""

_LINE_EVERY = 60.0


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
In the folder of a run: checkpoint.pt, from which it goes on; progress.csv and curves.png; and
the model so far, NAME.safetensors, with its document NAME.yaml and its card NAME.md.

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
    help="Folder of the run. What is begun there goes on.",
)
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    metavar="N",
    help="In all, instead of the recipe's number.",
)
@click.option(
    "--hours",
    type=click.FloatRange(min=0, min_open=True),
    metavar="H",
    help="Stop after so long, to go on another time.",
)
@click.option("--device", type=click.Choice(["cpu", "cuda"]), help="Default: CUDA where it is.")
@click.option(
    "--precision",
    type=click.Choice(["bf16", "f32"]),
    help="Default: bf16 where the device computes in it.",
)
@click.option("--export-only", is_flag=True, help="Train no more, and write the model so far.")
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

    The run can be stopped at any time, even killed: the same command goes on from the last checkpoint, at most
    five minutes back.
    """
    from ..training.recipe import read_recipe

    found = read_recipe(recipe)
    if steps is not None:
        found = replace(found, plan=replace(found.plan, steps=steps))
    if not export_only:
        seconds = float("inf") if hours is None else 3600 * hours
        how = {"device": device, "precision": precision, "seconds": seconds}
        if not _train(found, data or recipe.parent, out, how):
            options = {
                "--data": data, "--out": out, "--steps": steps, "--hours": hours, "--device": device,
                "--precision": precision,
            }  # fmt: skip
            again = _command(recipe, options)
            click.echo(f"Stopped. It goes on by: {again}")
            click.echo(f"The model so far is written by: {again} --export-only")
            context.exit(INTERRUPTED)
    _export(found, out)


def _command(recipe: Path, options: dict[str, Any]) -> str:
    """As it would be typed."""
    given = [(name, str(value)) for name, value in options.items() if value is not None]
    return shlex.join(
        ["cleansat", "train", str(recipe), *(word for pair in given for word in pair)]
    )


def _train(recipe: Recipe, data: Path, out: Path, how: dict[str, Any]) -> bool:
    """Whether it was not interrupted."""
    from ..batch.stop import Stop
    from ..training.run import train

    console = Console()
    console.say("Reading data")
    with Progressing() as shown, Stop(lambda _: shown.say(_STOPPING)) as stop:
        train(
            recipe, data, out, **how,
            stop=stop, watch=shown.step, say=console.say, weighing=shown.weighed,
        )  # fmt: skip
        return not stop()


_STOPPING = "Stopping: the step under way is being finished; Ctrl-C again stops at once."


def _export(recipe: Recipe, out: Path) -> None:
    from ..training.export import export

    files = export(recipe, out)
    click.echo("\n".join(map(str, files)))
    documents = [str(path) for path in files if path.suffix == ".yaml"]
    click.echo("To use it: " + "; ".join(f"cleansat models import {each}" for each in documents))


class Progressing:
    """Shows how training goes: a bar on a terminal, a line now and then elsewhere."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._begun = self._last = 0.0
        self._first: int | None = None
        self._checked: dict[str, float] = {}

    def __enter__(self) -> Progressing:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def say(self, text: str) -> None:
        """Print a line, above the bar."""
        if self._bar is None:
            click.echo(text)
        else:
            with self._bar.external_write_mode(file=sys.stderr):
                click.echo(text)

    def weighed(self, done: int, total: int) -> None:
        """Before the first step: how many patches have been looked at."""
        if done == 1:
            self.say(f"Looking at {total} patches, and how much there is to learn from each")

    def step(self, progress: Progress) -> None:
        """After each step."""
        now = time.monotonic()
        if self._first is None:
            self._first, self._begun, self._last = progress.step, now, now
            if progress.step > 1:
                self.say(f"Going on after step {progress.step - 1}")
        self._advance(progress)
        done = progress.step - self._first
        if done == _FIRST and progress.step < progress.steps:
            pace = (now - self._begun) / done
            left = duration(pace * (progress.steps - progress.step))
            self.say(f"{pace:.2f} s a step: about {left} to step {progress.steps}")
        if progress.agreement is not self._checked and progress.agreement:
            self._checked = progress.agreement
            found = ", ".join(f"{name} {100 * v:.2f}" for name, v in self._checked.items())
            self.say(f"step {progress.step}: loss {_loss(progress):.4f}; agreement, %: {found}")
        elif not sys.stderr.isatty() and now - self._last > _LINE_EVERY:
            self._last = now
            pace = (now - self._begun) / max(1, done)
            left = duration(pace * (progress.steps - progress.step))
            self.say(f"step {progress.step}: loss {_loss(progress):.4f}, {left} left")

    def _advance(self, progress: Progress) -> None:
        if not sys.stderr.isatty():
            return
        from tqdm import tqdm

        if self._bar is None:
            self._bar = tqdm(
                total=progress.steps, initial=progress.step - 1, unit="step", file=sys.stderr
            )
        self._bar.update(progress.step - self._bar.n)
        shown = {"loss": f"{_loss(progress):.4f}"}
        if self._checked:
            mean = sum(self._checked.values()) / len(self._checked)
            shown["agreement"] = f"{100 * mean:.2f}%"
        self._bar.set_postfix(shown, refresh=False)


def _loss(progress: Progress) -> float:
    recent = progress.losses[-50:]
    return sum(recent) / len(recent)
