"""The radiometric offset of a scene, from its metadata and from its pixels.

Sentinel-2's digital numbers (DN) become reflectance by ``(DN + offset) / 10000``. The offset depends on
the dataset, not on its date: archives have been reprocessed, and some providers remove the offset.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arguments import is_number
from ..errors import ReflectanceWarning, SceneError
from .baseline import TITLES, product_name, told_baselines

QUANTIFICATION = 10_000
"""Digital numbers per unit of reflectance in Sentinel-2 L1C and L2A products."""

BASELINE_WITH_OFFSET = (4, 0)
"""First processing baseline whose products carry `BOA_ADD_OFFSET` of -1000 (ESA, 25 January 2022)."""

OFFSET_SINCE_0400 = -1000
"""The offset of these products, DN."""

ASSUMED = "assumed"
"""How the source of an offset begins that is a guess."""

FILE_TAGS = "cleansat:add_offset"
"""Property of a scene made from a folder of bands: the offset that the files give in their own tags, DN."""


_OTHER_PRODUCERS = re.compile(r"(?:^|/)(HLS\.S30|ga_s2[a-d]m)(?=[._])")
"""Names of harmonised Landsat and Sentinel-2, and of Geoscience Australia's surface reflectance."""


@dataclass(frozen=True)
class Offset:
    """The radiometric offset of one dataset, and why it is that."""

    value: float
    """Offset added to the DN before division by 10000: 0 or -1000. One between -1 and 0 is in reflectance."""

    source: str
    """What decided it, for the provenance."""

    stated: float | None = None
    """What the metadata say, if the pixels decided otherwise. The id of a mask follows from it."""

    rival: float | None = None
    """What another place in the metadata tells, as `source` says, digital numbers."""

    doubt: str | None = None
    """Which other offset may be right, in a whole sentence, if neither metadata nor pixels settle it."""


def resolve_offset(
    properties: Mapping[str, Any],
    explicit: float | None = None,
    *,
    add_offset: float | None = None,
    scale_factor: float | None = None,
    raster_bands: Mapping[str, Any] | None = None,
    dtype: str | None = None,
) -> Offset:
    """Return the radiometric offset of one dataset, by the first source that gives one.

    The sources are, in this order:

    1. the caller's own choice;
    2. floating-point bands without a scale, which are reflectance and have no offset;
    3. a property of the provider that the offset has been removed;
    4. ``add_offset`` of the product;
    5. ``raster:bands`` of STAC;
    6. the tags of the files, for a folder of bands;
    7. the name of an L1C product, of HLS or of Geoscience Australia, for surface reflectance of other producers;
    8. the processing baseline, in its property, the name of the product or of its parts, or the version of the item;
       see :mod:`~odc_cleansat.scenes.baseline`.

    If none gives one, the offset is 0. The order matters, because sources contradict each other: items with
    ``boa_offset_applied: true`` still have the original offset in ``raster:bands``.

    Parameters
    ----------
    properties
        Properties of the EO3 document or STAC item.
    explicit
        The caller's own choice, DN; or reflectance if it is a fraction such as -0.1.
    add_offset
        Offset of the measurement in an ODC product definition: DN, or reflectance if it is a fraction
        such as -0.1.
    scale_factor
        Reflectance per DN there, by default 1/10000; it turns a fraction into DN.
    raster_bands
        First entry of an asset's ``raster:bands``, with ``scale`` and ``offset``.
    dtype
        Data type of the band, if known. Floating-point numbers with a scale other than 1 are packed, as integers are.

    Returns
    -------
    Offset
        In DN, with its source.

    Warns
    -----
    ReflectanceWarning
        If no source gives an offset.

    Raises
    ------
    SceneError
        If the explicit offset or the processing baseline is invalid.
    """
    offset = _from_argument(explicit) or stated_offset(
        properties,
        add_offset=add_offset,
        scale_factor=scale_factor,
        raster_bands=raster_bands,
        dtype=dtype,
    )
    if offset is not None:
        return offset
    warnings.warn(
        "the metadata does not say whether a radiometric offset applies; assuming none. "
        "Pass offset=-1000 for products of processing baseline 04.00 and later.",
        ReflectanceWarning,
        stacklevel=2,
    )
    return Offset(0, f"{ASSUMED}: the metadata does not tell")


def stated_offset(
    properties: Mapping[str, Any],
    *,
    add_offset: float | None = None,
    scale_factor: float | None = None,
    raster_bands: Mapping[str, Any] | None = None,
    dtype: str | None = None,
) -> Offset | None:
    """Return the radiometric offset that the metadata of a dataset state, or None.

    Parameters
    ----------
    properties, add_offset, scale_factor, raster_bands, dtype
        See :func:`resolve_offset`.

    Raises
    ------
    SceneError
        If the processing baseline is invalid.
    """
    scale = scale_factor or (raster_bands or {}).get("scale")
    return (
        (_from_dtype(dtype) if scale in (None, 1) else None)
        or _from_removal(properties)
        or _from_product(add_offset, scale_factor)
        or _from_raster_bands(raster_bands)
        or _from_files(properties)
        or _from_other_producer(properties)
        or _from_baseline(properties)
    )


def _from_argument(explicit: float | None) -> Offset | None:
    """Return the offset of the caller's argument, if there is one; raise if it is invalid."""
    if explicit is None:
        return None
    if is_number(explicit) and -1 < explicit < 0:
        return Offset(explicit, "argument")
    if not is_number(explicit) or explicit != round(explicit):
        raise SceneError(
            f"the offset {explicit!r:.100} is not a whole number of digital numbers, such as -1000, nor a fraction of "
            "reflectance, such as -0.1."
        )
    if explicit > 0:
        raise SceneError(
            f"the offset {explicit:g} is above 0: it is added to digital numbers, from which ESA's has to be taken "
            "off; pass -1000 or 0."
        )
    return Offset(round(explicit), "argument")


def _from_dtype(dtype: str | None) -> Offset | None:
    """Return the offset of floating-point bands: none."""
    if isinstance(dtype, str) and dtype.startswith("float"):
        return Offset(0, f"the values are reflectance ({dtype})")
    return None


def _from_removal(properties: Mapping[str, Any]) -> Offset | None:
    """Return the offset of a provider who says that it has been removed: none."""
    for key in ("earthsearch:boa_offset_applied", "sentinel:boa_offset_applied"):
        # False does not mean that there is an offset, only that none was removed.
        if properties.get(key) is True:
            return Offset(0, f"{key} is true")
    return None


def _from_product(add_offset: float | None, scale_factor: float | None) -> Offset | None:
    """Return the offset of a product definition, in DN."""
    if add_offset is None:
        return None
    offset = stated_number(add_offset, "add_offset of the product")
    if not 0 < abs(offset) < 1:
        return Offset(round(offset), f"add_offset of the product is {offset:g}")
    value = _in_numbers(offset, scale_factor, "scale_factor of the product")
    return Offset(value, f"add_offset of the product is {offset:g}")


def _from_raster_bands(raster_bands: Mapping[str, Any] | None) -> Offset | None:
    """Return the offset of STAC's ``raster:bands``, in DN."""
    if not raster_bands or raster_bands.get("offset") is None:
        return None
    offset = stated_number(raster_bands["offset"], "offset of raster:bands")
    value = _in_numbers(offset, raster_bands.get("scale"), "scale of raster:bands")
    return Offset(value, f"raster:bands offset is {offset:g}")


def _in_numbers(offset: float, scale: Any, what: str) -> int:
    """Return an offset of reflectance in DN, by a scale that the metadata state."""
    per_number = stated_number(scale or 1 / QUANTIFICATION, what)
    return round(stated_number(offset / per_number, f"offset over {what}"))


def stated_number(value: Any, what: str) -> float:
    """Return a number that metadata state.

    Parameters
    ----------
    value
        What they have there.
    what
        Its name, for the message.

    Raises
    ------
    SceneError
        If it is no finite number.
    """
    if not is_number(value):
        raise SceneError(
            f"{what} is {value!r:.100} in the metadata, which is no number; correct it, or pass offset= and scale=."
        )
    return float(value)


def _from_files(properties: Mapping[str, Any]) -> Offset | None:
    """Return the offset in the tags of the files of a folder of bands, in DN."""
    if properties.get(FILE_TAGS) is None:
        return None
    value = stated_number(properties[FILE_TAGS], FILE_TAGS)
    return Offset(round(value), f"the files' own tags say {value:g}")


def _from_other_producer(properties: Mapping[str, Any]) -> Offset | None:
    """Return the offset of surface reflectance that another producer made from L1C: none."""
    key, name = product_name(properties)
    if name.startswith("S2") and "_MSIL1C_" in name:
        # The baseline of the L1C says nothing about what was made of it.
        return Offset(0, f"{key} is L1C, so this is not ESA's L2A")
    for key in TITLES:
        if match := _OTHER_PRODUCERS.search(str(properties.get(key) or "")):
            return Offset(0, f"{key} is of {match[1]}, which has no offset")
    return None


def _from_baseline(properties: Mapping[str, Any]) -> Offset | None:
    """Return the offset of ESA's processing baseline, and another one if the metadata contradict themselves."""
    told = [(_offset_since(baseline), where) for baseline, where in told_baselines(properties)]
    if not told:
        return None
    value, source = told[0]
    for rival, where in told:
        if rival != value:
            return Offset(value, f"{source}, but {where}", rival=rival)
    return Offset(value, source)


def _offset_since(baseline: tuple[int, int]) -> int:
    """Return the offset of a processing baseline, DN."""
    return OFFSET_SINCE_0400 if baseline >= BASELINE_WITH_OFFSET else 0


class OffsetCheck:
    """Look for signs in the reflectance itself that the offset is wrong.

    Feed it the scene piece by piece with :meth:`add`, then ask :meth:`complaint`. It counts the lowest
    visible band of each pixel. Nearly every scene has ground that reflects less than 5 % in blue, green or red:
    vegetation, water or shadow. A scene that is cloudy or desert everywhere can be an exception. So the check
    advises and never decides.
    """

    _EDGES = np.linspace(-0.2, 0.6, 161)  # of the histogram, reflectance
    _DARKEST = 0.001  # share of pixels that must be dark in a scene with the right offset
    _TOO_BRIGHT = (0.085, 0.16)  # range of the dark end if 0.1 was not subtracted
    TOO_DARK = -0.05
    """Reflectance that the dark end is below if 0.1 was subtracted twice."""

    _STEP = 2  # every second pixel of every second row is a large enough sample
    _FEWEST = 2_500  # sampled pixels; with fewer there is no complaint

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

    def complaint(self, offset: float, *, reflectance: bool = False) -> str | None:
        """Return what looks wrong with the offset, or None.

        Parameters
        ----------
        offset
            The offset that was applied, DN.
        reflectance
            Whether it was applied to reflectance, and not to DN.
        """
        dark = self._darkest()
        if dark is None:
            return None
        if offset == 0 and self._TOO_BRIGHT[0] <= dark <= self._TOO_BRIGHT[1]:
            advice = (
                "pass offset=-0.1 if it has"
                if reflectance
                else "if this is processing baseline 04.00 or later, pass offset=-1000"
            )
            return (
                f"no pixel is darker than a reflectance of {dark:.2f}, as if 0.1 had to be "
                f"subtracted; {advice}."
            )
        if offset > 0 and dark >= self._TOO_BRIGHT[0]:
            return (
                f"no pixel is darker than a reflectance of {dark:.2f}, and the offset has been added. That of Sentinel-2 is "
                "below 0; pass offset=-1000 to take 0.1 off."
            )
        if offset < 0 and dark <= self.TOO_DARK:
            return (
                f"the darkest pixels have a reflectance of {dark:.2f}, as if the offset had been "
                "removed already; pass offset=0 if it has."
            )
        return None

    def is_below(self, reflectance: float) -> bool:
        """Return whether a hundredth of the pixels is below a reflectance, in their lowest band."""
        total = self._counts.sum()
        below = self._counts[self._EDGES[1:] <= reflectance].sum()
        return bool(total >= self._FEWEST and below >= total / 100)

    def confirms(self, offset: float) -> bool:
        """Return whether the pixels settle that the offset is right, whatever the metadata say.

        That is so for an offset of 0 if the scene has ground so dark that 0.1 less would be far below 0.

        Parameters
        ----------
        offset
            The offset that was applied, DN.
        """
        dark = self._darkest()
        return offset == 0 and dark is not None and -0.01 <= dark < 0.1 + self.TOO_DARK

    def _darkest(self) -> float | None:
        """Return the reflectance of the dark end; None if there are too few pixels to tell."""
        total = self._counts.sum()
        if total < self._FEWEST:
            return None
        share = np.cumsum(self._counts) / total
        return float(self._EDGES[1:][np.searchsorted(share, self._DARKEST)])
