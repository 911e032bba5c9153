"""`cleansat app`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .console import Console
from .journal import run_id
from .listening import listen
from .named_masks import others_option
from .options import datacube_options, given_catalog, metrics_options

if TYPE_CHECKING:
    from ..review.other_masks import OtherMask


@click.command(
    "app",
    epilog="""\b
Examples:
  cleansat app --example my-example
  cleansat app --store masks
  cleansat app --catalog masks
  cleansat app --store s3://bucket/masks --product s2_l2a --port 8600
  cleansat app --store masks --no-datacube \\
      --stac https://earth-search.aws.element84.com/v1
  cleansat app --store s3://bucket/masks --host 0.0.0.0 --allowed-host masks.example.org \\
      --user-header X-Forwarded-Email

\b
Exit codes: 0 stopped, 1 failed (the message says why), 2 wrong usage.
""",
)
@click.option("--product", default="s2_l2a", show_default=True, help="Product of scenes.")
@click.option(
    "--store",
    metavar="DIR|URL",
    help="Folder or s3:// address under which masks are written. Default: that of --catalog.",
)
@click.option(
    "--example",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Make a datacube with simulated scenes in this folder, and use it: nothing else is needed.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on. 0.0.0.0 is all of this machine's.",
)
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=8501,
    show_default=True,
    help="Port to listen on.",
)
@click.option(
    "--allowed-host",
    "allowed_hosts",
    multiple=True,
    metavar="NAME",
    help="A name under which browsers reach the application. Give it again for several.",
)
@click.option(
    "--user-header",
    metavar="NAME",
    help="Header in which a proxy in front names who is signed in. Only behind such a proxy.",
)
@click.option(
    "--sign-in",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Let people sign in by OpenID Connect. The file is TOML with Streamlit's section [auth].",
)
@click.option(
    "--stac",
    metavar="URL",
    help="A STAC API whose scenes can be searched and masked too: its address, or a provider such as earth-search.",
)
@click.option(
    "--stac-collection",
    metavar="ID",
    help="Collection of that API. Default: those that it has of Sentinel-2.",
)
@click.option(
    "--no-datacube",
    is_flag=True,
    help="There is no datacube: scenes come from --stac, or from --catalog. Without that masks are not indexed.",
)
@click.option("--scheduler", metavar="ADDRESS", help="Make masks on this dask scheduler.")
@click.option(
    "--workers",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Scenes that are masked at a time on this machine; each takes up to 3.5 GB.",
)
@click.option(
    "--basemap",
    metavar="URL",
    help="Map tiles below everything, with {z}, {x} and {y}. Default: a graticule, which needs no network.",
)
@click.option("--basemap-credit", default="", metavar="TEXT", help="Who made the map tiles.")
@click.option(
    "--largest-area", type=float, default=20_000, show_default=True, help="Of a search, km2."
)
@click.option(
    "--most-values",
    type=click.IntRange(1),
    default=50_000_000,
    show_default=True,
    help="Pixels of a download, all layers and times together.",
)
@click.option(
    "--most-jobs",
    type=click.IntRange(1),
    default=20,
    show_default=True,
    help="Scenes that one person has masked at a time.",
)
@others_option
@metrics_options
@datacube_options
def command(
    product: str,
    store: str | None,
    example: Path | None,
    host: str,
    port: int,
    allowed_hosts: tuple[str, ...],
    user_header: str | None,
    sign_in: Path | None,
    stac: str | None,
    stac_collection: str | None,
    no_datacube: bool,
    scheduler: str | None,
    workers: int,
    basemap: str | None,
    basemap_credit: str,
    largest_area: float,
    most_values: int,
    most_jobs: int,
    others: list[OtherMask],
    metrics_port: int | None,
    metrics_host: str,
    config: tuple[str, ...],
    env: str | None,
) -> None:
    """Serve the web application: find scenes, mask them, look, judge, recall, composite.

    It listens on this machine alone, unless --host says otherwise. Masks are made in the background, written
    under --store and indexed in the datacube. Nothing is loaded from elsewhere, but a --basemap.
    """
    from ..app.server import THIS_MACHINE, serve
    from ..app.settings import AppSettings, Limits

    console = Console()
    catalog = given_catalog()
    store = catalog if store is None and example is None else store
    _check_usage(store, example, catalog, stac, alone=no_datacube)
    if user_header and sign_in:
        raise click.UsageError("--user-header and --sign-in exclude each other.")
    if host not in THIS_MACHINE and not (user_header or sign_in):
        console.say(
            f"Warning: everybody who reaches {host}:{port} can use it and give verdicts under any name. "
            "--sign-in or --user-header closes it.",
            level="warning",
        )
    listen(host, port).close()  # before an example is made in vain
    if example is not None:
        from ..cube.embedded import CONFIG_NAME
        from ..demo import example_cube

        with console.step(f"Making the example datacube in {example}"):
            example_cube(example).close()
        store, config = str(example / "products"), (str(example / CONFIG_NAME),)
    assert store is not None
    settings = AppSettings(
        store=store, product=product, config=config, env=env, catalog=catalog, host=host, port=port,
        allowed_hosts=allowed_hosts, user_header=user_header, sign_in=sign_in,
        with_datacube=not no_datacube or catalog is not None, stac=stac, stac_collection=stac_collection, scheduler=scheduler, workers=workers,
        basemap=basemap, basemap_credit=basemap_credit, run_id=run_id(),
        metrics_port=metrics_port, metrics_host=metrics_host, others=tuple(others),
        limits=Limits(area=largest_area, pixels=most_values, jobs=most_jobs),
    )  # fmt: skip
    where = f"The application is at {_url(host, port)}; Ctrl-C stops it."
    serve(settings, lambda: console.say(where))


def _check_usage(
    store: str | None, example: Path | None, catalog: str | None, stac: str | None, alone: bool
) -> None:
    """Raise if it is not clear where scenes come from; `alone` says that there is no datacube."""
    from ..scenes.providers import find_provider

    if stac is not None:
        find_provider(stac)  # a misspelt one is told before anything is made
    if (store is None) == (example is None):
        raise click.UsageError(
            "give --store for your datacube, --catalog for a store with its catalogue, or --example to try it."
        )
    if catalog is not None and example is not None:
        raise click.UsageError("--example has a datacube of its own; leave out --catalog.")
    if alone and catalog is None and (example is not None or stac is None):
        raise click.UsageError(
            "--no-datacube needs --stac and --store, or --catalog; it has no --example."
        )


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
