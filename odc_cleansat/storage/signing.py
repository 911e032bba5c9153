"""Addresses that are signed as they are read: those of Planetary Computer.

A signature there is good for less than an hour. GDAL fetches one for all files of a container, and the next before it ends,
in the midst of a file too. So no address with a signature is kept, written or passed on.
"""

from __future__ import annotations

from urllib.parse import quote, urlsplit, urlunsplit

ACCOUNTS = ("sentinel2l2a01", "hls2euwest")
"""Accounts of Azure in which Planetary Computer keeps Sentinel-2 and HLS; they answer signed requests alone."""

_HOST = ".blob.core.windows.net"


def signing_path(address: str) -> str:
    """Return the path by which GDAL signs each request for a file; any other address as it is.

    A signature that the address has already is left out, for it may have expired.

    Parameters
    ----------
    address
        Path or URL of a raster.
    """
    if _HOST not in address:
        return address
    parts = urlsplit(address)
    account, _, rest = (parts.hostname or "").partition(".")
    if account not in ACCOUNTS or f".{rest}" != _HOST:
        return address
    container = quote(f"{account}/{parts.path.split('/')[1]}", safe="")
    plain = quote(urlunsplit((*parts[:3], "", "")), safe="")
    return f"/vsicurl?pc_url_signing=yes&pc_collection={container}&url={plain}"
