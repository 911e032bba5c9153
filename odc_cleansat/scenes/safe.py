"""Read scenes from the SAFE folders, or zip files of them, in which ESA distributes Sentinel-2 products."""

from __future__ import annotations

import re
import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import SceneError, fault_of, first_line
from .offset import QUANTIFICATION
from .scene import USE_OF_L1C, Scene
from .stac import item_scene

if TYPE_CHECKING:
    import pystac

LARGEST_METADATA = 200_000_000
"""Bytes of unpacked metadata beyond which a zip file is refused; those of a product are some 10 MB."""


def is_safe(folder: Path) -> bool:
    """Return whether a folder has the name or the metadata files of a SAFE product."""
    has_name = folder.resolve().name.upper().endswith(".SAFE")
    return has_name or any((folder / name).exists() for name in ("manifest.safe", "MTD_MSIL2A.xml"))


def safe_scene(place: Path) -> Scene:
    """Return the scene of a SAFE folder or its zip file, read with stactools-sentinel2.

    Parameters
    ----------
    place
        The folder ``NAME.SAFE`` of an L2A product, or a zip file that holds it. A zip file is not unpacked.

    Raises
    ------
    SceneError
        If the product is of level 1C, renamed or incomplete, or stactools-sentinel2 is not installed.
    """
    place = place.resolve()
    if place.is_dir():
        return _scene(place, place, str(place))
    with tempfile.TemporaryDirectory() as name:
        folder = _unpack_metadata(place, Path(name))
        return _scene(folder, place, f"zip://{place}!/{folder.name}")


def _scene(folder: Path, place: Path, root: str) -> Scene:
    """Return the scene of a folder with the metadata, whose images lie below `root`."""
    if "MSIL1C" in folder.name:
        raise SceneError(
            f"{folder.name} is of level 1C, top of the atmosphere; masks are made of L2A. "
            f"Take the L2A product, or make it with Sen2Cor. {USE_OF_L1C}"
        )
    if not folder.name.upper().endswith(".SAFE"):
        raise SceneError(f"{folder} looks like a SAFE product; give it back its name, NAME.SAFE.")
    item = _item(folder)
    # The id that stactools gives leaves out the time and the baseline of processing.
    item.id = str(item.properties.get("s2:product_uri") or folder.name).removesuffix(".SAFE")
    for asset in item.assets.values():
        asset.href = asset.href.replace(str(folder), root)
    item.set_self_href(place.as_uri())
    return item_scene(item)


def _item(folder: Path) -> pystac.Item:
    """Return the item that stactools makes of the metadata."""
    try:
        from stactools.sentinel2.stac import create_item
    except ImportError as error:
        raise SceneError(
            "reading a SAFE folder needs stactools-sentinel2; run: pip install 'odc-cleansat[safe]'"
        ) from error
    try:
        with warnings.catch_warnings(), tempfile.TemporaryDirectory() as name:
            # The footprints in the metadata of all products are wound clockwise.
            warnings.filterwarnings("ignore", message="The exterior ring", category=UserWarning)
            replaced = _without_footprint(folder, Path(name))
            return create_item(
                str(folder), read_href_modifier=lambda href: replaced.get(Path(href), href)
            )
    except SceneError:
        raise
    except Exception as error:  # of stactools and of its XML parser
        raise SceneError(
            f"{folder.name} cannot be read as a SAFE product: {fault_of(error)}. Is it whole, with manifest.safe and the metadata of its granule?"
        ) from error


def _without_footprint(folder: Path, spare: Path) -> dict[Path, str]:
    """Refuse another scale than that of Sentinel-2. Return the product's metadata file, and the path of a copy with a small square for a footprint.

    At the antimeridian footprints of products are often wrong, and stactools refuses them. None is needed: the
    footprint of a scene is that of its grid.
    """
    path = folder / "MTD_MSIL2A.xml"
    text = path.read_text(encoding="utf-8")
    told = re.search(r"<BOA_QUANTIFICATION_VALUE[^>]*>([^<]*)", text)
    if told is not None and told[1].strip() not in (str(QUANTIFICATION), f"{QUANTIFICATION}.0"):
        raise SceneError(
            f"{folder.name} says that {told[1]} is a reflectance of 1, and of Sentinel-2 it is {QUANTIFICATION}; restore "
            f"its {path.name}."
        )
    copy = spare / path.name
    square = r"\g<1>0 0 0 1 1 1 1 0 0 0"
    copy.write_text(re.sub(r"(<EXT_POS_LIST>)[^<]*", square, text), encoding="utf-8")
    return {path: str(copy)}


def _unpack_metadata(path: Path, target: Path) -> Path:
    """Unpack the metadata of a zipped product, and return their folder ``NAME.SAFE``."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = [
                each
                for each in archive.infolist()
                if each.filename.endswith((".xml", "manifest.safe")) and ".SAFE/" in each.filename
            ]
            if sum(each.file_size for each in members) > LARGEST_METADATA:
                raise SceneError(f"{path} has metadata of more than 200 MB; it is no SAFE product.")
            archive.extractall(target, members)
    except (zipfile.BadZipFile, OSError, RuntimeError) as error:
        raise SceneError(f"{path} cannot be unpacked: {first_line(error)}.") from error
    found = sorted(target.glob("*.SAFE"))
    if len(found) == 1:
        return found[0]
    raise SceneError(
        f"{path} holds {len(found) or 'no'} SAFE products; unpack it, and give the folder of one product, or of bands."
    )
