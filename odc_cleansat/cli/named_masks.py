"""Masks that options name: ``NAME=PATH[:MAPPING]``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import CleansatError

if TYPE_CHECKING:
    from ..evaluate.mappings import ClassMapping
    from ..review.other_masks import OtherMask


Named = dict[str, tuple[str, "ClassMapping"]]
"""Path and mapping by name."""


def named_masks(texts: Sequence[str], default: str, option: str) -> Named:
    """Return path and mapping by name.

    Parameters
    ----------
    texts
        Like ``NAME=PATH[:MAPPING]``.
    default
        Mapping of those that name none.
    option
        The option, for messages.

    Raises
    ------
    click.BadParameter
        If a text is not of that form, a name is given twice, or there is no such mapping.
    """
    from ..evaluate.mappings import get_mapping, is_mapping

    found: Named = {}
    for text in texts:
        name, equals, rest = text.partition("=")
        path, colon, mapping = rest.rpartition(":")
        misspelt = mapping.replace("-", "").isalnum() and (
            path.isidentifier() or Path(path).exists()
        )
        if not colon or not (is_mapping(mapping) or misspelt):
            path, mapping = rest, default
        if not (name and equals and path):
            raise click.BadParameter(
                f"{text!r} is not NAME=PATH[:MAPPING], like SCL=SCL.tif:scl.", param_hint=option
            )
        if name in found:
            raise click.BadParameter(f"the name {name} is given twice.", param_hint=option)
        try:
            found[name] = path, get_mapping(mapping)
        except CleansatError as error:
            raise click.BadParameter(str(error), param_hint=option) from error
    return found


def others_option(function: Any) -> Any:
    """The option ``--other``, which gives a list of :class:`OtherMask`."""
    return click.option(
        "--other",
        "others",
        multiple=True,
        metavar="NAME=PATH[:MAPPING]",
        callback=lambda _context, _option, texts: _others(texts),
        help="Also show this mask, with a mapping as in `cleansat evaluate`. PATH is a file, may hold {scene}, {tile}, "
        "{date} and wildcards, or is a measurement of the scene in the datacube. May be given several times.",
    )(function)


def _others(texts: Sequence[str]) -> list[OtherMask]:
    from ..review.other_masks import OtherMask

    if not texts:  # which imports nothing
        return []
    named = named_masks(texts, "ucl", "--other")
    return [OtherMask(name, path, mapping) for name, (path, mapping) in named.items()]
