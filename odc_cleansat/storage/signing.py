"""Signatures in addresses: those of Planetary Computer are made as files are read, and none is kept.

A signature there is good for less than an hour. GDAL fetches one for all files of a container, and the next before it ends,
in the midst of a file too. So no address with a signature is kept, written or passed on.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from ..addresses import has_secret, public_address

ACCOUNTS = ("sentinel2l2a01", "hls2euwest")
"""Accounts of Azure in which Planetary Computer keeps Sentinel-2 and HLS; they answer signed requests alone."""

_HOST = ".blob.core.windows.net"

_PREFIXES = ("x-amz-", "x-goog-")
"""How the names begin that Amazon and Google give the parts of a signature."""

_PARTS = {
    "sig": "sv ss srt sr sp st se sip spr sig sdd si ses scid skoid sktid skt ske sks skv saoid suoid",
    "signature": "signature expires policy key-pair-id awsaccesskeyid googleaccessid",
}
"""Other signatures, by the part that holds the secret, with all their parts: of Azure; of CloudFront and the older ones of
Amazon and Google. Their names are so short or so common that they count beside that part alone."""


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


def unsigned_address(address: str) -> str:
    """Return an address without login, signature and other secrets, to be kept.

    Parameters
    ----------
    address
        Path or URL. The rest of its query stays, for the file may need it. A path of this machine stays as it is.
    """
    head, mark, query = address.partition("?")
    if "@" in head.partition("://")[2].partition("/")[0]:
        head = public_address(head)
    if "://" not in address or not query:
        return head + mark + query
    pairs = query.split("&")
    keys = [each.partition("=")[0].lower() for each in pairs]
    parts = {part for name, every in _PARTS.items() if name in keys for part in every.split()}
    kept = [
        pair
        for pair, key in zip(pairs, keys, strict=True)
        if not (key.startswith(_PREFIXES) or key in parts or has_secret(f"?{pair}"))
    ]
    return head + mark * bool(kept) + "&".join(kept)


def unsigned_values(value: Any) -> Any:
    """Return a document whose addresses are as of :func:`unsigned_address`.

    Parameters
    ----------
    value
        Text, or mappings and lists that hold texts at any depth. Other values stay as they are.
    """
    if isinstance(value, str):
        return unsigned_address(value) if "://" in value else value
    if isinstance(value, dict):
        return {key: unsigned_values(each) for key, each in value.items()}
    return [unsigned_values(each) for each in value] if isinstance(value, list) else value
