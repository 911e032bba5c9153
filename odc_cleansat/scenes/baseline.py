"""Which processing baseline metadata tell, and which level: from their own properties, or from the names of ESA's products."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import SceneError

PRODUCT_NAMES = ("s2:product_uri", "sentinel:product_id", "sentinel:product_name")
"""Properties that may hold the name of ESA's product."""

TITLES = ("id", "title", "label", "address")
"""Other names of a scene, which some providers make that of ESA's product, and the address of one of its files. They stand beside
the properties in a document, and :class:`~odc_cleansat.scenes.files.SceneFiles` puts them there."""

_BASELINES = ("s2:processing_baseline", "sentinel:processing_baseline")
"""Properties that hold a processing baseline and nothing else."""

_VERSIONS = ("processing:version", "processorVersion", "version")
"""Properties that hold the processing baseline in documents of the Copernicus Data Space and of others. Some have a version
of another kind there, which is written otherwise."""

_TWO_DIGITS = re.compile(r"(\d\d)\.(\d\d)")
"""How ESA writes a baseline."""

_IN_NAME = re.compile(r"_MSIL2A_\w+?_N(\d\d)(\d\d)(?=_|$)")
"""A baseline in the name of ESA's product of level 2A."""

_PARTS = re.compile(r"\w+:(datastrip|granule|tile)_id")
"""Properties that hold the name of a part of the product."""

_IN_PART = re.compile(r"_MSI_L2A_(?:DS|TL)_\w+_N(\d\d)\.(\d\d)")
"""A baseline in the name of a part."""


def told_baselines(properties: Mapping[str, Any]) -> Iterator[tuple[tuple[int, int], str]]:
    """Find every processing baseline of ESA's level 2A that metadata tell, the most explicit first.

    Parameters
    ----------
    properties
        Properties of the EO3 document or STAC item, and its names under :data:`TITLES`.

    Yields
    ------
    tuple
        The baseline as two numbers, and where it stands, for people.

    Raises
    ------
    SceneError
        If a property that holds a baseline and nothing else is none.
    """
    for key in _BASELINES:
        if (told := properties.get(key)) is not None:
            yield _parsed(told), f"{key} is {told}"
    for key in (*PRODUCT_NAMES, *TITLES):
        if match := _IN_NAME.search(str(properties.get(key) or "")):
            yield _numbers(match), f"baseline {'.'.join(match.groups())} in {key}"
    for key, value in properties.items():
        if _PARTS.fullmatch(str(key)) and (match := _IN_PART.search(str(value))):
            yield _numbers(match), f"baseline {'.'.join(match.groups())} in {key}"
    if processing_level(properties) == "L2A":
        for key in _VERSIONS:
            if match := _TWO_DIGITS.fullmatch(str(properties.get(key) or "")):
                yield _numbers(match), f"{key} is {match[0]}"


def _numbers(match: re.Match[str]) -> tuple[int, int]:
    return int(match[1]), int(match[2])


def _parsed(text: object) -> tuple[int, int]:
    """Return a processing baseline as two numbers."""
    major, _, minor = str(text).partition(".")
    try:
        return int(major), int(minor or 0)
    except ValueError:
        raise SceneError(
            f"the processing baseline {text!r} is not of the form 05.10; "
            "correct the metadata or pass the offset explicitly."
        ) from None


def product_name(properties: Mapping[str, Any]) -> tuple[str, str]:
    """Return the property that holds the name of ESA's product, and the name; both may be empty."""
    for key in PRODUCT_NAMES:
        if name := properties.get(key):
            return key, str(name)
    return "", ""


def processing_level(properties: Mapping[str, Any]) -> str:
    """Return the processing level in the metadata of a dataset or STAC item.

    Parameters
    ----------
    properties
        Properties of the EO3 document or STAC item, and its names under :data:`TITLES`.

    Returns
    -------
    str
        ``L2A``, ``L1C``, or ``""`` if the metadata do not give it.
    """
    # The name of an L1C product is no proof: other surface reflectance may name its source.
    keys = ("s2:product_type", "product:type", "productType", "processing:level")
    stated = [str(properties.get(key)) for key in keys]
    if any(each.endswith(("L1C", "MSI1C")) for each in stated):
        return "L1C"
    names = [product_name(properties)[1], *(str(properties.get(key)) for key in TITLES)]
    is_l2a = any(each.endswith(("L2A", "MSI2A")) for each in stated)
    return "L2A" if is_l2a or any("_MSIL2A_" in each for each in names) else ""
