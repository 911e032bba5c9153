"""Models that were the default once. There are masks by them, and the default makes no more."""

from __future__ import annotations

import contextlib
from collections.abc import Hashable, Iterable

from ..errors import SceneError
from ..scenes.bands import find_bands
from .model import Model
from .registry import DEFAULTS, get_model

FORMER = ("unet-efficientnetb4-l2a-6b", "unet-efficientnetb4-l2a-4b")
"""Default models of earlier versions, each at the place of its successor in `DEFAULTS`."""


def former_default(bands: Iterable[Hashable]) -> Model | None:
    """Return the model that was once the default for some bands; None if bands are missing for all."""
    bands = list(bands)
    for model in map(get_model, FORMER):
        with contextlib.suppress(SceneError):
            find_bands(bands, model.bands)
            return model
    return None


def about_former(makers: Iterable[str]) -> str:
    """Return in words that some models were the default, and how to go on with their masks.

    Parameters
    ----------
    makers
        Names of the models that made masks.

    Returns
    -------
    str
        Whole sentences; empty if none of the models was the default.
    """
    makers = set(makers)
    found = [name for name in FORMER if name in makers]
    if not found:
        return ""
    now = [each for was, each in zip(FORMER, DEFAULTS, strict=True) if was in found]
    values = " or ".join(f"model={name!r}" for name in found)
    return (
        f"The default model was once {' or '.join(found)}, and is {' or '.join(now)} now. Pass {values} to go on with "
        "those masks, or make new ones with `cleansat run`."
    )
