"""The files of a mask's scene, and which of them are opened.

A product may be a stranger's, and its documents name files and addresses. `verify`, `compare` and pages of masks open a
scene's file where the user has it anyway, and others only where the user says so. The user has a file if

- the datacube knows the scene, whose files are then those of the datacube;
- it lies near the mask: below the folder that holds the folder of masks, links and ``..`` resolved;
- it is on the host, or in the bucket, on which the mask is, and this host does not send on to another.

Files that are opened for one of the last two reasons are read alone; see :mod:`odc_cleansat.storage.strangers`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from ..addresses import public_address
from ..arguments import is_number
from ..errors import SceneError, fault_of
from ..scenes.files import BandFile, local_path
from ..scenes.http import innermost_reason
from ..storage.eo3 import MASK_PRODUCT
from ..storage.settings import CONNECT_TIMEOUT, READ_TIMEOUT
from ..storage.zarr_store import is_zarr
from .product import MaskProduct, MaskProductError

_HOST = re.compile(r"(?P<scheme>[a-z][a-z0-9]*)://(?P<host>[a-z0-9._-]+(:\d+)?)/.*", re.IGNORECASE)
"""An address of which every library reads the same host."""

_ZIPPED = re.compile(r"zip://(?P<archive>/[^!]*\.zip)!/(?P<name>[^!]+)", re.IGNORECASE)
"""A file in an archive of this machine, as scenes in zip files have it."""

_MOST_REDIRECTS = 5
"""How often a host may send on to another address of its own."""


def recorded_files(record: Mapping[str, Any]) -> dict[str, BandFile]:
    """Return the files that a processing record names, by canonical band name, with ``scl`` if it names one.

    Parameters
    ----------
    record
        The part ``cleansat`` of a processing record, of which nothing is known yet.

    Raises
    ------
    MaskProductError
        If it names none, or not as it should.
    """
    scene = record.get("scene")
    bands = scene.get("bands") if isinstance(scene, Mapping) else None
    if not scene or not bands:
        raise MaskProductError("the mask product does not say which files its scene has.")
    try:
        files = {str(name): _band_file(each) for name, each in bands.items()}
        return files | ({"scl": _band_file(scene["scl"])} if scene.get("scl") else {})
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise MaskProductError(
            f"the mask product does not name the files of its scene as it should: {fault_of(error)}."
        ) from error


def _band_file(recorded: Mapping[str, Any]) -> BandFile:
    uri, band, nodata, scale = (recorded.get(key) for key in ("uri", "band", "nodata", "scale"))
    numbers = all(each is None or is_number(each) for each in (nodata, scale))
    if not isinstance(uri, str) or type(band) is not int or band < 1 or not numbers:
        raise ValueError(f"{dict(recorded)!r:.200} is no file of a band")
    return BandFile(uri, band, nodata, scale)


def scene_files(
    product: MaskProduct,
    wanted: Iterable[str],
    named: Mapping[str, BandFile],
    *,
    fetch_scenes: bool = False,
) -> dict[str, BandFile]:
    """Return the files of a mask's scene that are opened; see the rule at the top of this module.

    Parameters
    ----------
    product
        The mask.
    wanted
        Canonical names of bands.
    named
        The files that the product names, by canonical name.
    fetch_scenes
        Whether to open whatever files the product names.

    Raises
    ------
    SceneError
        If the scene lacks a band, or one of the files is not opened.
    """
    if product.scene is not None:
        return product.scene.wanted(wanted)
    if missing := [name for name in wanted if name not in named]:
        raise SceneError(f"the mask product names no files for {', '.join(missing)}.")
    return {name: admitted(named[name], product, fetch_scenes=fetch_scenes) for name in wanted}


def admitted(file: BandFile, product: MaskProduct, *, fetch_scenes: bool = False) -> BandFile:
    """Return a file that a product names as it may be opened.

    Parameters
    ----------
    file
        The file.
    product
        The mask.
    fetch_scenes
        Whether to open it wherever it is.

    Raises
    ------
    SceneError
        If it is not opened.
    """
    if fetch_scenes:
        return file
    uri = _near(file.uri, product) or _on_own_host(file.uri, product)
    if uri is None:
        raise SceneError(
            f"{file.uri} is not opened: the mask names it, and it lies neither near the mask nor on its host. "
            "If you trust the mask, pass fetch_scenes=True."
        )
    return file._replace(uri=uri, of_stranger=True)


def _near(uri: str, product: MaskProduct) -> str | None:
    """Return where a file really is, if that is near a mask on this machine; else None."""
    if product.folder.path is None:
        return None
    zipped = _ZIPPED.fullmatch(uri)
    text = zipped["archive"] if zipped else local_path(uri)
    if "://" in text or text.startswith("/vsi"):
        return None
    try:
        path = Path(text).resolve()
        # From Python 3.13, a circle of links is left as it is.
        if path.is_symlink() or not path.is_relative_to(_surroundings(product.folder.path)):
            return None
        if zipped is None:
            return str(path)
        # GDAL looks for archives along the whole path, so the first one has to be there.
        inside = ".." not in Path(zipped["name"]).parts and path.is_file()
        return f"zip://{path}!/{zipped['name']}" if inside else None
    except (OSError, ValueError, RuntimeError):  # a null character, or a circle of links
        return None


def _surroundings(folder: Path) -> Path:
    """Return the folder that holds the folder of masks, but never the whole machine.

    The folder of masks is what holds the folder of the product ``s2_l2a_ucl``. A mask that is not below such a
    folder is its own folder of masks.
    """
    folder = Path(os.path.abspath(folder))
    parts = folder.parts
    root = folder
    if MASK_PRODUCT in parts:
        root = Path(*parts[: len(parts) - 1 - parts[::-1].index(MASK_PRODUCT)])
    choices = [each.resolve() for each in (root.parent, root, folder)]
    return next((each for each in choices if each != Path(each.anchor)), choices[-1])


def _on_own_host(uri: str, product: MaskProduct) -> str | None:
    """Return an address if it is of the host or bucket of a mask in a store, and stays there; else None."""
    own = _HOST.fullmatch(f"{product.folder}/")
    if own is None or not _same_host(uri, own):
        return None
    if not own["scheme"].lower().startswith("http"):
        return uri
    # A host may send each chunk on to any other, so a store of Zarr cannot be asked beforehand.
    return None if is_zarr(uri) else _without_redirects(uri, own)


def _same_host(uri: str, own: re.Match[str]) -> bool:
    """Return whether an address is of a host or bucket."""
    asked = _HOST.fullmatch(uri)
    if asked is None:
        return False
    one, other = ((each["scheme"].lower().replace("s3a", "s3"), each["host"].lower()) for each in (asked, own))  # fmt: skip
    return one == other


def _without_redirects(uri: str, own: re.Match[str]) -> str:
    """Return the address at which a host has a file; GDAL would follow it to any other host.

    The host is trusted, as the mask is read from it. Who wrote the address is not, and many hosts have a page that
    sends on to what stands in its address.
    """
    import requests

    address = uri
    for _ in range(_MOST_REDIRECTS):
        try:
            answer = requests.get(
                address,
                headers={"Range": "bytes=0-0"},
                stream=True,
                allow_redirects=False,
                timeout=(CONNECT_TIMEOUT, READ_TIMEOUT),
            )
            answer.close()
        except (requests.RequestException, ValueError) as error:
            raise SceneError(f"cannot read {uri}: {innermost_reason(error)}.") from error
        onward = answer.headers.get("Location", "") if answer.is_redirect else ""
        if not onward:
            return answer.url
        address = urljoin(answer.url, onward)
        if not _same_host(re.sub("^https", own["scheme"], address), own):
            raise SceneError(
                f"{uri} is not opened: the mask names it, and its host sends on to {public_address(address)}. "
                "If you trust the mask, pass fetch_scenes=True."
            )
    raise SceneError(f"cannot read {uri}: its host sends on and on.")
