"""`cleansat product`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from ..errors import CubeError
from .names import Choice, Group
from .options import connected, datacube_options

if TYPE_CHECKING:
    from datacube import Datacube


PRODUCTS = ("s2_l2a_ucl", "s2_l2a", "s2_l2a_ucl_time", "s2_l2a_ucl_summary")
"""Those that come with this package; the first is added by default."""


@click.group("product", cls=Group)
def command() -> None:
    """Put the products into the datacube."""


@command.command(
    "add",
    epilog="""\b
Examples:
  cleansat product add
  cleansat product add s2_l2a s2_l2a_ucl

\b
Exit codes: 0 done, 1 failed (the message says why), 2 wrong usage.
""",
)
@click.argument("names", nargs=-1, type=Choice(PRODUCTS), metavar="[NAME]...")
@datacube_options
def add(names: tuple[str, ...], config: tuple[str, ...], env: str | None) -> None:
    """Put products and their metadata type into the datacube.

    NAME is s2_l2a_ucl for masks (the default), s2_l2a for Sentinel-2 L2A scenes, s2_l2a_ucl_time for masks that
    `cleansat refine` writes, or s2_l2a_ucl_summary for what odc-stats makes of masks. A product that is there already is left as it is.
    """
    from ..cube.index import add_product
    from ..storage.eo3 import product_definition

    with connected(config, env) as dc, _permitted():
        for name in names or PRODUCTS[:1]:
            document = product_definition(name)
            _add_metadata_type(dc, document["metadata_type"])
            added = add_product(dc, document)
            click.echo(f"{name}: {'added' if added else 'there already'}")


def _add_metadata_type(dc: Datacube, name: str) -> None:
    from datacube.index.abstract import default_metadata_type_docs

    types = dc.index.metadata_types
    if types.get_by_name(name) is None:
        document = next(each for each in default_metadata_type_docs() if each["name"] == name)
        types.add(types.from_doc(document))


@contextlib.contextmanager
def _permitted() -> Iterator[None]:
    from sqlalchemy.exc import DBAPIError

    try:
        yield
    except DBAPIError as error:
        raise CubeError(
            f"the datacube does not take products from this user: {str(error.orig).strip()}. Connect as "
            "one who may add them."
        ) from error
