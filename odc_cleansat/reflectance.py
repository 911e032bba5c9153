"""Band names, and digital numbers to surface reflectance.

Sentinel-2's digital numbers (DN) become reflectance by ``(DN + offset) / 10000``. The
offset belongs to the dataset, never to the date: archives have been reprocessed, and some
providers remove the offset before they publish.
"""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .errors import ReflectanceWarning, SceneError

QUANTIFICATION = 10_000
"""Digital numbers per unit of reflectance in Sentinel-2 L1C and L2A products."""

BASELINE_WITH_OFFSET = (4, 0)
"""First processing baseline whose products carry `BOA_ADD_OFFSET` of -1000 (ESA, 25 January 2022)."""

OFFSET_SINCE_0400 = -1000

S2_BANDS: dict[str, tuple[str, ...]] = {
    "coastal": ("B01", "band_01", "coastal_aerosol", "nbart_coastal_aerosol"),
    "blue": ("B02", "band_02", "nbart_blue"),
    "green": ("B03", "band_03", "nbart_green"),
    "red": ("B04", "band_04", "nbart_red"),
    "rededge1": ("B05", "band_05", "red_edge_1", "nbart_red_edge_1"),
    "rededge2": ("B06", "band_06", "red_edge_2", "nbart_red_edge_2"),
    "rededge3": ("B07", "band_07", "red_edge_3", "nbart_red_edge_3"),
    "nir": ("B08", "band_08", "nir_1", "nbart_nir_1"),
    "nir08": ("B8A", "band_8a", "nir_narrow", "nir_2", "nbart_nir_2"),
    "nir09": ("B09", "band_09", "water_vapour"),
    "swir16": ("B11", "band_11", "swir_1", "swir_16", "swir1", "nbart_swir_2"),
    "swir22": ("B12", "band_12", "swir_2", "swir_22", "swir2", "nbart_swir_3"),
    "scl": ("SCL", "mask", "qa"),
}
"""Canonical name of each band (those of Element 84's STAC and of `s2_l2a`) and its other names.

Geoscience Australia's ``nbart_swir_2`` and ``nbart_swir_3`` are bands 11 and 12.
"""

_STAND_INS = {"nir": "nir08"}
"""Where the first band is missing, the second serves: the same wavelength, narrower and at 20 m."""


def find_bands(available: Iterable[Hashable], wanted: Iterable[str]) -> dict[str, str]:
    """Find Sentinel-2 bands under whichever names a provider gave them.

    Parameters
    ----------
    available
        The names at hand, e.g. ``scene.data_vars``. Case does not matter.
    wanted
        Canonical names, keys of :data:`S2_BANDS`.

    Returns
    -------
    dict
        Canonical name to name at hand, in the order of `wanted`.

    Raises
    ------
    SceneError
        If one is missing. The message says which, and what was found.
    """
    names = {str(name).lower(): str(name) for name in available}
    found: dict[str, str] = {}
    for band in wanted:
        candidates = [band, *S2_BANDS[band]]
        if band in _STAND_INS:
            candidates += [_STAND_INS[band], *S2_BANDS[_STAND_INS[band]]]
        for candidate in candidates:
            if candidate.lower() in names:
                found[band] = names[candidate.lower()]
                break
    missing = [f"{band} ({S2_BANDS[band][0]})" for band in wanted if band not in found]
    if missing:
        raise SceneError(
            f"the scene lacks {', '.join(missing)}; it has {', '.join(sorted(names.values())) or 'no bands'}. "
            "Load the missing bands too, or rename them."
        )
    return found


@dataclass(frozen=True)
class Offset:
    """The radiometric offset of one dataset, and why it is that."""

    value: int
    """Added to the DN before division by 10000: 0 or -1000."""

    source: str
    """What said so, for the provenance."""


def resolve_offset(properties: Mapping[str, Any], explicit: float | None = None) -> Offset:
    """Decide the radiometric offset of one dataset from its metadata.

    The first that answers wins: the explicit argument; whether the provider says that the
    offset has been applied; the processing baseline; else 0, with a warning.

    Parameters
    ----------
    properties
        Properties of the EO3 document or STAC item.
    explicit
        The caller's own choice, in DN.

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
        return Offset(int(explicit), "argument")
    for key in ("earthsearch:boa_offset_applied", "sentinel:boa_offset_applied"):
        if properties.get(key) is True:
            return Offset(0, f"{key} is true")
    for key in ("s2:processing_baseline", "sentinel:processing_baseline"):
        if (baseline := properties.get(key)) is not None:
            value = OFFSET_SINCE_0400 if _baseline(baseline) >= BASELINE_WITH_OFFSET else 0
            return Offset(value, f"{key} is {baseline}")
    warnings.warn(
        "the metadata does not say whether a radiometric offset applies; assuming none. "
        "Pass offset=-1000 for products of processing baseline 04.00 and later.",
        ReflectanceWarning,
        stacklevel=2,
    )
    return Offset(0, "assumed: the metadata does not tell")


def _baseline(text: object) -> tuple[int, int]:
    major, _, minor = str(text).partition(".")
    try:
        return int(major), int(minor or 0)
    except ValueError:
        raise SceneError(
            f"the processing baseline {text!r} is not of the form 05.10; "
            "correct the metadata or pass the offset explicitly."
        ) from None
