"""Ensembles: several models as one, which gives the mean of their probabilities."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from ..errors import ModelError
from .model import Model


def ensemble(members: Sequence[Model], **values: Any) -> Model:
    """Return a model that stands for several.

    It has the bands of all, the resolution, level and classes that they share, and the windows of the first.

    Parameters
    ----------
    members
        Two models or more.
    **values
        Fields of :class:`Model` to set to other values, e.g. ``name``.

    Raises
    ------
    ModelError
        If there are fewer than two, or they differ in resolution, level or classes.
    """
    if len(set(members)) < max(2, len(members)):
        raise ModelError("an ensemble has two models or more, and none of them twice.")
    first = members[0]
    for other in members[1:]:
        _check_alike(first, other)
    bands = tuple(dict.fromkeys(band for member in members for band in member.bands))
    joined = Model(
        name="+".join(member.name for member in members),
        version="+".join(member.version for member in members),
        title=f"Mean of {', '.join(member.name for member in members)}",
        bands=bands,
        # Each member normalises its input itself.
        mean=(0.0,) * len(bands),
        std=(1.0,) * len(bands),
        resolution=first.resolution,
        classes=first.classes,
        level=first.level,
        weights="",
        licence=" AND ".join(_unique(member.licence for member in members)),
        citation="; ".join(_unique(member.citation for member in members)),
        output="probabilities",
        members=tuple(members),
        tiling=first.tiling,
    )
    return replace(joined, **values)


def _check_alike(first: Model, other: Model) -> None:
    """Raise if two models differ in what the members of an ensemble share."""
    differences = {
        "the resolution": (f"{first.resolution:g} m", f"{other.resolution:g} m"),
        "the level of the data": (first.level, other.level),
        "the classes": tuple(
            ", ".join(c.label for c in sorted(model.classes)) for model in (first, other)
        ),
    }
    for field, (one, another) in differences.items():
        if one != another:
            raise ModelError(
                f"{first.name} and {other.name} cannot be one ensemble: {field} of the first is {one}, "
                f"of the second {another}."
            )


def _unique(texts: Iterable[str]) -> list[str]:
    return [text for text in dict.fromkeys(texts) if text]
