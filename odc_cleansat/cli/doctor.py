"""`cleansat doctor`."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict

import click

from ..doctor import TOPICS, Questions, examine
from ..settings import SettingsError
from .defaults import option_defaults, option_variables
from .names import Choice
from .options import datacube_options, json_option
from .wording import in_options

_COLOURS = {"ok": "green", "warning": "yellow", "wrong": "red"}


@click.command(
    "doctor",
    epilog="""\b
Examples:
  cleansat doctor
  cleansat doctor --store s3://bucket/masks --online
  cleansat doctor datacube -C datacube.conf -E production
  cleansat doctor store --store masks --json

\b
Exit codes: 0 all works, perhaps with warnings; 1 something is wrong; 2 wrong usage.
""",
)
@click.argument("topics", nargs=-1, type=Choice(TOPICS), metavar="[TOPIC]...")
@click.option(
    "--store",
    "stores",
    multiple=True,
    metavar="DIR|URL",
    help="Look at this place for masks too: a small file is written, read and deleted. May be given several times.",
)
@click.option(
    "--online", is_flag=True, help="Ask the STAC API, and the places that weights are fetched from."
)
@click.option("--stac-api", metavar="URL", help="STAC API to ask. Default: Earth Search.")
@click.option(
    "--timeout",
    type=click.FloatRange(0, 3600, min_open=True),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="Most time for each line.",
)
@json_option("for each finding")
@datacube_options
def command(
    topics: tuple[str, ...],
    stores: tuple[str, ...],
    online: bool,
    stac_api: str | None,
    timeout: float,
    as_json: bool,
    config: tuple[str, ...],
    env: str | None,
) -> None:
    """Tell what works on this machine, and how to mend what does not.

    TOPIC is python, settings, machine, folders, weights, datacube, store or network; by default all. The topic store needs
    --store, and network needs --online. Nothing is changed, but for a small file that is deleted at once, and the
    default network, which stays in the cache.
    """
    more = {} if stac_api is None else {"stac_api": stac_api}
    main = click.get_current_context().find_root().command
    assert isinstance(main, click.Group)
    questions = Questions(
        topics or TOPICS, config, env, stores, online, options=tuple(option_variables(main)),
        wrong_options=_wrong_options(main), seconds=timeout, **more
    )  # fmt: skip
    for topic, option, given in (("store", "--store", stores), ("network", "--online", online)):
        if topic in topics and not given:
            raise click.UsageError(f"the topic {topic} needs {option}.")
    states: Counter[str] = Counter()
    for found in examine(questions):
        states[found.state] += 1
        what, mend = in_options(found.what), in_options(found.mend)
        if as_json:
            click.echo(json.dumps({**asdict(found), "what": what, "mend": mend}))
            continue
        state = click.style(f"{found.state:8}", fg=_COLOURS[found.state])
        click.echo(f"{state} {found.topic:9} {what}")
        if mend:
            click.echo(f"{'':18} -> {mend}")
    if not as_json:
        click.echo(", ".join(f"{states[state]} {state}" for state in _COLOURS))
    if states["wrong"]:
        click.get_current_context().exit(1)


def _wrong_options(main: click.Group) -> str:
    """Return what is wrong with the tables of commands in the file of settings, for which other commands end; or ``""``."""
    try:
        option_defaults(main)
    except SettingsError as error:
        return str(error)
    return ""
