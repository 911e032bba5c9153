"""Is a scene of Sentinel-2 at all, by its metadata?"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import ModelWarning, SceneError, tell

_PLATFORMS = (
    "platform",
    "eo:platform",
    "constellation",
    "eo:constellation",
    "eo:instrument",
    "instruments",
)
"""Properties that name the satellite or its instrument."""

_OURS = re.compile(r"sentinel[-_ ]*2|^s2[a-d]?$|msi", re.IGNORECASE)

_KNOWN = re.compile(
    r"landsat|sentinel[-_ ]*[1356]|\bs[1356][ab]?\b|planet|dove|superdove|\bps[2b.]|skysat|\boli|\btirs|\betm|\btm\b"
    r"|modis|terra|aqua|viirs|\bnpp|noaa|spot|pleiades|rapideye|worldview|geoeye|aster|cbers|gaofen|\bolci|\bslstr|prisma|enmap",
    re.IGNORECASE,
)
"""Other satellites and instruments that have bands of the same names."""

_NAMES = re.compile(
    r"^(L[COTEM]0[1-9]_|HLS2?[._-]?L30|S[1356][AB]_|S0[1356]|LANDSAT|ls[5-9]_|ga_ls|lc0?[89]|M[OY]D0|PSScene|\d{8}_\d{6}_.*_3B)"
    r"|planetscope|landsat",
    re.IGNORECASE,
)
"""Names of their items, collections and products."""


def check_sensor(properties: Mapping[str, Any], names: Iterable[object], label: str) -> None:
    """Raise if a scene is of another satellite than Sentinel-2.

    Other satellites have bands of the same names, such as ``B02`` or ``red``, for which no model was made. HLS L30 is
    Landsat; HLS S30 is Sentinel-2. Metadata that name no satellite say nothing.

    Parameters
    ----------
    properties
        Properties of the EO3 document or STAC item.
    names
        Names of the item, its collection or its product; None counts for nothing.
    label
        Name of the scene for people.

    Raises
    ------
    SceneError
        If a property or a name is of another satellite.
    """
    said = [(key, _text(properties[key])) for key in _PLATFORMS if properties.get(key)]
    ours = [each for each in said if _OURS.search(each[1])]
    other = next(
        (
            f"{key} is {text}"
            for key, text in said
            if _KNOWN.search(text) and (key, text) not in ours
        ),
        None,
    )
    if other is None and not ours:
        other = next(
            (f"its name is {name}" for name in names if name and _NAMES.search(str(name))), None
        )
    if other is not None:
        raise SceneError(
            f"{label} is not of Sentinel-2: {other}. Models are made for the bands of Sentinel-2 L2A or L1C; take such a "
            "scene of the same place and time."
        )


def _text(value: Any) -> str:
    """Return a property as text; instruments are a list, and stackstac gives a set."""
    return ", ".join(map(str, value)) if isinstance(value, list | tuple | set) else str(value)


def warn_of_level(level: str, model: str, trained_on: str) -> None:
    """Warn if a model was trained on another processing level than that of a scene.

    Parameters
    ----------
    level
        Level of the scene: ``L1C``, ``L2A``, or ``""`` if that is not known.
    model
        Name of the model.
    trained_on
        Level of the model.

    Warns
    -----
    ModelWarning
        If the two differ.
    """
    if level and level != trained_on:
        tell(
            f"{model} was trained on {trained_on}, and this scene is {level}; what its mask is worth "
            f"is not known. Take a model for {level}: cleansat models list shows the level of each.",
            ModelWarning,
        )
