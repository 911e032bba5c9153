"""`cleansat review serve`."""

from __future__ import annotations

import contextlib
import re
import socket
from typing import TYPE_CHECKING, Any

import click

from ..errors import CleansatError
from .console import Console
from .listening import listen
from .named_masks import others_option
from .options import fetch_scenes_option
from .review_options import EXIT_CODES, several_masks, several_options, warn_of_gaps
from .wording import in_options

if TYPE_CHECKING:
    from ..review.other_masks import OtherMask


LOOPBACK = ("127.0.0.1", "::1", "localhost")
"""Addresses that only this machine reaches."""

EVERYWHERE = ("0.0.0.0", "::")
"""Addresses that stand for all names of this machine."""


@click.command(
    "serve",
    epilog=f"""\b
Examples:
  cleansat review serve masks
  cleansat review serve --time 2024-06 --by "A. Name" --open
  cleansat review serve s3://bucket/masks --host 0.0.0.0 --allowed-host masks.example.org{EXIT_CODES}
""",
)
@several_options
@click.option(
    "--by",
    metavar="NAME",
    help="Who gives all verdicts. Default: the page asks for it.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option(
    "--port",
    metavar="N",
    type=click.IntRange(0, 65535),
    default=8502,
    show_default=True,
    help="Port to listen at; 0 for one that is free.",
)
@click.option(
    "--allowed-host",
    "names",
    multiple=True,
    metavar="NAME",
    help="Name under which others call the server. May be given several times.",
)
@click.option("--open/--no-open", "show", default=False, help="Open the page in a browser.")
@click.option("--title", default="Masks to review", show_default=True, help="Title of the page.")
@others_option
@fetch_scenes_option
def command(
    paths: tuple[str, ...],
    product: str,
    model: str | None,
    time: str | None,
    bbox: tuple[float, float, float, float] | None,
    by: str | None,
    host: str,
    port: int,
    names: tuple[str, ...],
    show: bool,
    title: str,
    fetch_scenes: bool,
    others: list[OtherMask],
    config: tuple[str, ...],
    env: str | None,
) -> None:
    """Serve a page to review many masks, with buttons and keys that write verdicts at once.

    PATH is a mask product, or a folder or URL with products below, such as -o of `run`. Without PATH the
    masks of the datacube are taken.

    The page is that of `review page`. One key accepts, rejects or flags a mask, and goes to the next one; the
    key ? shows all keys. Several people can review at once. Ctrl-C ends the server.

    Only this machine reaches the server, unless --host says otherwise. It asks for no password. Before
    others can reach it, put a proxy in front of it that does.
    """
    if by is not None and not by.strip():
        raise click.UsageError("--by is empty; say who gives the verdicts.")
    for name in names:
        if not re.fullmatch(r"(\*\.)?[\w-]+(\.[\w-]+)*|(?=.*:.*:)[0-9a-fA-F:.]+", name):
            raise click.UsageError(
                f"--allowed-host {name} is no name of a host; give one such as masks.example.org, or "
                "*.example.org for all names below."
            )
    if host in EVERYWHERE and not names:
        raise click.UsageError(
            f"--host {host} is no name that people call; name one with --allowed-host."
        )
    _check_extra()
    from ..review.collection import collect
    from ..review.desk import Desk
    from ..review.serving import review_app, review_routes

    console = Console()
    with several_masks(paths, product, time, bbox, config, env) as (masks, dc):
        found = collect(masks, dc, model)
    warn_of_gaps(found, {})
    desk = Desk(lambda: found, fetch_scenes=fetch_scenes, words=in_options, others=others)
    hint = "Give another --port, or 0 for one that is free."
    with listen(host, port, hint) as listening, desk:
        local = host in LOOPBACK
        routes = review_routes(
            desk,
            (lambda _: by.strip()) if by else None,
            suggested=_user() if local else "",
            title=title,
        )
        hosts = [*names, *(LOOPBACK if local else [host])]
        url = _url(host, names, listening)
        desk.refresh()
        console.say(f"{len(found)} mask{'s' * (len(found) != 1)} at {url} (Ctrl-C ends it)")
        if not local:
            console.say(
                "Whoever reaches this address can give verdicts, in any name unless --by is given."
            )
        if show:
            click.launch(url)
        _serve(review_app(hosts, routes), listening)


def _check_extra() -> None:
    """Raise if what serves pages is not installed."""
    try:
        import starlette
        import uvicorn  # noqa: F401

        _ = starlette
    except ImportError as error:
        raise CleansatError(
            f"{error.name} is not installed; `pip install 'odc-cleansat[app]'` brings it. "
            "`cleansat review page` writes the page to a file without it."
        ) from error


def _url(host: str, names: tuple[str, ...], listening: socket.socket) -> str:
    name = names[0] if host in EVERYWHERE else host
    name = f"[{name}]" if ":" in name else name
    return f"http://{name}:{listening.getsockname()[1]}/"


def _user() -> str:
    """The user of this machine, as the page suggests it; empty if that is not known."""
    import getpass

    with contextlib.suppress(OSError, KeyError):
        return getpass.getuser()
    return ""


def _serve(app: Any, listening: socket.socket) -> None:
    """Answer until somebody presses Ctrl-C."""
    import uvicorn

    config = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, lifespan="off"
    )
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listening])
