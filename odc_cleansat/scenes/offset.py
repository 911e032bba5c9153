"""Band names, and digital numbers to surface reflectance.

Sentinel-2's digital numbers (DN) become reflectance by ``(DN + offset) / 10000``. The
offset belongs to the dataset, never to the date: archives have been reprocessed, and some
providers remove the offset before they publish.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ReflectanceWarning, SceneError

QUANTIFICATION = 10_000
"""Digital numbers per unit of reflectance in Sentinel-2 L1C and L2A products."""

PRODUCT_NAMES = ("s2:product_uri", "sentinel:product_id", "sentinel:product_name")
"""Properties that may hold the name of ESA's product."""

BASELINE_WITH_OFFSET = (4, 0)
"""First processing baseline whose products carry `BOA_ADD_OFFSET` of -1000 (ESA, 25 January 2022)."""

OFFSET_SINCE_0400 = -1000


@dataclass(frozen=True)
class Offset:
    """The radiometric offset of one dataset, and why it is that."""

    value: int
    """Added to the DN before division by 10000: 0 or -1000."""

    source: str
    """What said so, for the provenance."""


def resolve_offset(
    properties: Mapping[str, Any],
    explicit: float | None = None,
    *,
    add_offset: float | None = None,
    scale_factor: float | None = None,
    raster_bands: Mapping[str, Any] | None = None,
    dtype: str | None = None,
) -> Offset:
    """Decide the radiometric offset of one dataset from its metadata.

    Floating-point bands are reflectance and have none. Else the first that answers wins: the explicit
    argument; whether the provider says that the
    offset has been applied; the product's ``add_offset``; STAC's ``raster:bands``; that it is
    not ESA's L2A at all; the processing baseline; else 0, with a warning. They contradict
    each other in the wild: items with ``boa_offset_applied: true`` still carry the offset of
    the original in ``raster:bands``.

    Parameters
    ----------
    properties
        Properties of the EO3 document or STAC item.
    explicit
        The caller's own choice, in DN.
    add_offset
        Of the measurement in an ODC product definition, in DN or, as a fraction such as -0.1, in
        reflectance.
    scale_factor
        Of the same, by default 1/10000; turns a fraction into DN.
    raster_bands
        The first entry of an asset's ``raster:bands``, with ``scale`` and ``offset``.
    dtype
        Of the band's values, if known.

    Returns
    -------
    Offset
        In DN, with its source.

    Warns
    -----
    ReflectanceWarning
        If nothing in the metadata tells.

    Raises
    ------
    SceneError
        If the processing baseline is not a number.
    """
    if explicit is not None:
        if not np.isfinite(explicit) or explicit != round(explicit):
            raise SceneError(
                f"the offset {explicit} is not a whole number of digital numbers, such as -1000."
            )
        if explicit > 0:
            raise SceneError(
                f"the offset {explicit:g} is above 0: it is added to digital numbers, from which ESA's has to be taken "
                "off; pass -1000 or 0."
            )
        return Offset(round(explicit), "argument")
    if dtype and np.dtype(dtype).kind == "f":
        return Offset(0, f"the values are reflectance ({dtype})")
    for key in ("earthsearch:boa_offset_applied", "sentinel:boa_offset_applied"):
        # False says only that it was not removed, not that there is one.
        if properties.get(key) is True:
            return Offset(0, f"{key} is true")
    if add_offset is not None:
        in_reflectance = 0 < abs(add_offset) < 1
        value = add_offset / (scale_factor or 1 / QUANTIFICATION) if in_reflectance else add_offset
        return Offset(round(value), f"add_offset of the product is {add_offset:g}")
    if raster_bands and raster_bands.get("offset") is not None:
        scale = raster_bands.get("scale") or 1 / QUANTIFICATION
        value = round(raster_bands["offset"] / scale)
        return Offset(value, f"raster:bands offset is {raster_bands['offset']:g}")
    name, product = _product_name(properties)
    if product.startswith("S2") and "_MSIL1C_" in product:
        # Another producer's surface reflectance, made from L1C, whose baseline says nothing of it.
        return Offset(0, f"{name} is L1C, so this is not ESA's L2A")
    for key in ("s2:processing_baseline", "sentinel:processing_baseline"):
        if (baseline := properties.get(key)) is not None:
            return Offset(_offset_since(_baseline(baseline)), f"{key} is {baseline}")
    if match := re.search(r"_MSIL2A_\w+?_N(\d\d)(\d\d)_", product):
        baseline = ".".join(match.groups())
        return Offset(_offset_since(_baseline(baseline)), f"baseline {baseline} in {name}")
    warnings.warn(
        "the metadata does not say whether a radiometric offset applies; assuming none. "
        "Pass offset=-1000 (--offset -1000) for products of processing baseline 04.00 and later.",
        ReflectanceWarning,
        stacklevel=2,
    )
    return Offset(0, "assumed: the metadata does not tell")


def _product_name(properties: Mapping[str, Any]) -> tuple[str, str]:
    """Where the name of ESA's product stands, and the name."""
    for key in PRODUCT_NAMES:
        if name := properties.get(key):
            return key, str(name)
    return "", ""


def processing_level(properties: Mapping[str, Any]) -> str:
    """``L2A`` or ``L1C``, as far as the metadata of a dataset or STAC item tell, or ``""``."""
    # A producer of other surface reflectance may name the L1C product that it was made from.
    stated = [properties.get(key) for key in ("s2:product_type", "processing:level")]
    if any(str(each).endswith(("L1C", "MSI1C")) for each in stated):
        return "L1C"
    said = any(str(each).endswith(("L2A", "MSI2A")) for each in stated)
    return "L2A" if said or "_MSIL2A_" in _product_name(properties)[1] else ""


def _offset_since(baseline: tuple[int, int]) -> int:
    return OFFSET_SINCE_0400 if baseline >= BASELINE_WITH_OFFSET else 0


def _baseline(text: object) -> tuple[int, int]:
    major, _, minor = str(text).partition(".")
    try:
        return int(major), int(minor or 0)
    except ValueError:
        raise SceneError(
            f"the processing baseline {text!r} is not of the form 05.10; "
            "correct the metadata or pass the offset explicitly."
        ) from None


class OffsetCheck:
    """Looks at the reflectance itself for signs that the offset is wrong.

    Feed it the scene piece by piece with :meth:`add`, then ask :meth:`complaint`. What it
    counts is the lowest visible band of each pixel. Ground that reflects less than 5 % in blue,
    green or red is nearly everywhere: vegetation, water, shadow. A scene that is clear nowhere
    or all desert can trip it, so it advises and never decides.
    """

    _EDGES = np.linspace(-0.2, 0.6, 161)
    _DARKEST = 0.001  # share of pixels that must be dark in a scene with the right offset
    _TOO_BRIGHT = (0.085, 0.16)  # where the dark end stands if 0.1 was not subtracted
    _TOO_DARK = -0.05  # the dark end stands below this if 0.1 was subtracted twice
    _STEP = 2  # every second pixel of every second row is a sample large enough
    _FEWEST = 2_500  # of these; below, nothing is said

    def __init__(self) -> None:
        self._counts = np.zeros(len(self._EDGES) - 1, dtype="int64")

    def add(self, visible: np.ndarray) -> None:
        """Count the pixels of a piece.

        Parameters
        ----------
        visible
            ``(C, h, w)`` reflectance of the visible bands, NaN without data.
        """
        lowest = visible[:, :: self._STEP, :: self._STEP].min(axis=0)
        values = np.clip(lowest[np.isfinite(lowest)], self._EDGES[0], self._EDGES[-1])
        span = (self._EDGES[0], self._EDGES[-1])
        self._counts += np.histogram(values, len(self._counts), span)[0]

    def complaint(self, offset: float) -> str | None:
        """What looks wrong with the offset, or None."""
        total = self._counts.sum()
        if total < self._FEWEST:
            return None
        share = np.cumsum(self._counts) / total
        dark = self._EDGES[1:][np.searchsorted(share, self._DARKEST)]
        if offset == 0 and self._TOO_BRIGHT[0] <= dark <= self._TOO_BRIGHT[1]:
            return (
                f"no pixel is darker than a reflectance of {dark:.2f}, as if 0.1 had to be "
                "subtracted; if this is processing baseline 04.00 or later, pass offset=-1000."
            )
        if offset < 0 and dark <= self._TOO_DARK:
            return (
                f"the darkest pixels have a reflectance of {dark:.2f}, as if the offset had been "
                "removed already; pass offset=0 if it has."
            )
        return None
