"""The bands of Sentinel-2, and the names that data sources give them."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping

from ..errors import SceneError

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
    "cirrus": ("B10", "band_10"),
    "swir16": ("B11", "band_11", "nbart_swir_2", "swir_1", "swir_16", "swir1"),
    "swir22": ("B12", "band_12", "nbart_swir_3", "swir_2", "swir_22", "swir2"),
    "scl": ("SCL", "mask", "qa"),
}
"""Canonical name of each band, as in Element 84's STAC and in `s2_l2a`, to its other names.

``nbart_swir_2`` and ``nbart_swir_3`` of Geoscience Australia are bands 11 and 12. Elsewhere ``swir_2`` is band 12.
"""

_BAND_OF = {name.lower(): band for band, others in S2_BANDS.items() for name in (band, *others)}

_NATIVE = {
    "coastal": 60, "blue": 10, "green": 10, "red": 10, "rededge1": 20, "rededge2": 20, "rededge3": 20,
    "nir": 10, "nir08": 20, "nir09": 60, "cirrus": 60, "swir16": 20, "swir22": 20,
}  # fmt: skip
"""Native resolution of each band, metres."""

_STAND_INS = {"nir": "nir08"}
"""Band to the one that replaces it if it is missing: the same wavelength, narrower and at 20 m."""


def native_resolution(band: str) -> int:
    """Return the native resolution of a band, or of the coarser one that may replace it, metres.

    Parameters
    ----------
    band
        Canonical name, a key of :data:`S2_BANDS` other than ``scl``.
    """
    return _NATIVE[_STAND_INS.get(band, band)]


def band_of(name: Hashable) -> str | None:
    """Return the canonical name of the band with a name, in upper or lower case; None if there is none."""
    return _BAND_OF.get(str(name).lower())


def is_reflective(name: Hashable) -> bool:
    """Return whether a name is that of a reflective band, not of the SCL or of anything else."""
    return band_of(name) not in (None, "scl")


def names_of(measurement: str, aliases: Iterable[str]) -> list[str]:
    """Return the names of a measurement: its own and its aliases, but for the names of other bands.

    Geoscience Australia calls band 11 ``nbart_swir_2``, with the alias ``swir_2``, which is band 12 elsewhere.

    Parameters
    ----------
    measurement
        The name in the product.
    aliases
        The other names there.
    """
    band = band_of(measurement)
    return [measurement, *(a for a in aliases if band is None or band_of(a) in (None, band))]


def find_bands(available: Iterable[Hashable], wanted: Iterable[str]) -> dict[str, str]:
    """Find Sentinel-2 bands under the names that a provider gave them.

    Parameters
    ----------
    available
        The names of a scene's bands, e.g. ``scene.data_vars``, in upper or lower case.
    wanted
        Canonical names, keys of :data:`S2_BANDS`.

    Returns
    -------
    dict
        Canonical name to name in `available`, in the order of `wanted`.

    Raises
    ------
    SceneError
        If a band is missing; the message gives the missing bands and the available names.
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
        advice = "Load the missing bands too, rename them, or take a model that needs fewer (cleansat models list)."
        if "cirrus" in wanted and "cirrus" not in found:
            advice = "L2A has no cirrus: take a model that was trained on L2A, or a scene of L1C."
        raise SceneError(
            f"the scene lacks {', '.join(missing)}; it has {', '.join(sorted(names.values())) or 'no bands'}. "
            f"{advice}"
        )
    return found


def named_twice(places: Mapping[str, str]) -> str | None:
    """Say which two bands are at one place; None if there are none.

    Parameters
    ----------
    places
        Band name to where the band is.
    """
    first: dict[str, str] = {}
    for band, place in places.items():
        if (other := first.setdefault(place, band)) != band:
            return f"{other} and {band} are both {place}"
    return None
