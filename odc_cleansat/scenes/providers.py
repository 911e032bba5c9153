"""Who has scenes of Sentinel-2: the address of each STAC API, its collections, and whose files ask for a login.

A provider is a row of a table. An API that is not in it is asked which of these collections it has.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

from ..arguments import meant
from ..errors import CleansatError
from ..settings import bucket_of
from ..storage.failures import store_advice
from ..storage.signing import signing_path


@dataclass(frozen=True)
class Provider:
    """A STAC API and what it calls Sentinel-2."""

    name: str
    """Name in commands."""

    api: str
    """Address of the API."""

    collections: tuple[str, ...]
    """Collections that are searched together."""

    fallback: str | None = None
    """Collection from which scenes come that the others lack."""

    asks: str = ""
    """How the addresses begin of files that ask for a login."""

    login: str = ""
    """What to do about it."""


PROVIDERS = (
    Provider(
        "earth-search", "https://earth-search.aws.element84.com/v1",
        ("sentinel-2-c1-l2a",), "sentinel-2-l2a",
    ),
    Provider(
        "planetary-computer", "https://planetarycomputer.microsoft.com/api/stac/v1", ("sentinel-2-l2a",),
    ),
    Provider(
        "cdse", "https://stac.dataspace.copernicus.eu/v1", ("sentinel-2-l2a",), None, "s3://eodata/",
        "the Copernicus Data Space wants keys of its own; give them in [buckets.eodata] of cleansat.toml, with its endpoint",
    ),
    Provider(
        "dea", "https://explorer.dea.ga.gov.au/stac", ("ga_s2am_ard_3", "ga_s2bm_ard_3", "ga_s2cm_ard_3"),
    ),
    Provider("deafrica", "https://explorer.digitalearth.africa/stac", ("s2_l2a_c1",), "s2_l2a"),
    Provider("hls", "https://planetarycomputer.microsoft.com/api/stac/v1", ("hls2-s30",)),
    Provider(
        "hls-nasa", "https://cmr.earthdata.nasa.gov/cloudstac/LPCLOUD", ("HLSS30_2.0",), None,
        "https://data.lpdaac.earthdatacloud.nasa.gov/",
        "NASA wants a token of Earthdata; set GDAL_HTTP_HEADERS='Authorization: Bearer TOKEN'",
    ),
)  # fmt: skip
"""The providers that are known by name, the default first."""


def find_provider(api: str) -> Provider | None:
    """Return the provider with a name or address; None for an address that is not known.

    Parameters
    ----------
    api
        Name of a provider, or address of an API.

    Raises
    ------
    CleansatError
        If it is neither a name nor an address.
    """
    wanted = api.rstrip("/")
    for each in PROVIDERS:
        if wanted.casefold() in (each.name, each.api.casefold()):
            return each
    if not urlsplit(api).scheme:
        names = [each.name for each in PROVIDERS]
        raise CleansatError(
            f"{api} is neither the address of a STAC API nor a provider; there are {', '.join(names)}."
            f"{meant(api, names)}"
        )
    return None


def address_of(api: str) -> str:
    """Return the address of an API that may be given by the name of its provider.

    Raises
    ------
    CleansatError
        If it is neither a name nor an address.
    """
    found = find_provider(api)
    return found.api if found else api


def choose_collections(available: Collection[str]) -> tuple[tuple[str, ...], str | None]:
    """Return which collections of an unknown API are searched.

    Parameters
    ----------
    available
        Names of all its collections; empty if it does not tell.

    Returns
    -------
    tuple of str
        Those that are searched together.
    str or None
        That from which scenes come that the others lack.
    """
    for each in PROVIDERS:
        found = tuple(name for name in each.collections if name in available)
        fallback = each.fallback if each.fallback in available else None
        if found or fallback:
            return (found, fallback) if found else ((str(fallback),), None)
    return PROVIDERS[0].collections, PROVIDERS[0].fallback


def read_advice(address: str, error: BaseException) -> str | None:
    """Return what is probably wrong where a file cannot be read, and what to do; None if that is not known.

    Parameters
    ----------
    address
        Path or URL of the file.
    error
        What was raised.

    Raises
    ------
    SettingsError
        If the file of settings cannot be used.
    """
    if "://" not in address:
        return None
    if signing_path(address) != address:
        return (
            "Planetary Computer gave no signature, or refuses its own; see that the clock of this machine is right, and run it "
            "again for what is missing"
        )
    refused = re.search(r"\b40[13]\b", str(error)) is not None
    if refused and re.search(r"[?&][\w-]*sig(nature)?=", address, re.IGNORECASE):
        return "the signature in its address has expired; search for the scene again"
    found = next((each for each in PROVIDERS if each.asks and address.startswith(each.asks)), None)
    if found and bucket_of(address) is None:
        return found.login
    return store_advice(error)
