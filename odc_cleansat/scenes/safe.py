"""Read scenes from the SAFE folders in which ESA distributes Sentinel-2 products."""

from __future__ import annotations

import warnings
from pathlib import Path

from ..errors import SceneError, first_line
from .scene import USE_OF_L1C, Scene
from .stac import item_scene


def is_safe(folder: Path) -> bool:
    """Return whether a folder has the name or the metadata files of a SAFE product."""
    has_name = folder.resolve().name.upper().endswith(".SAFE")
    return has_name or any((folder / name).exists() for name in ("manifest.safe", "MTD_MSIL2A.xml"))


def safe_scene(folder: Path) -> Scene:
    """Return the scene of a SAFE folder, read with stactools-sentinel2.

    Parameters
    ----------
    folder
        The folder ``NAME.SAFE`` of an L2A product.

    Raises
    ------
    SceneError
        If the product is of level 1C, renamed or incomplete, or stactools-sentinel2 is not installed.
    """
    folder = folder.resolve()
    if "MSIL1C" in folder.name:
        raise SceneError(
            f"{folder.name} is of level 1C, top of the atmosphere; masks are made of L2A. "
            f"Take the L2A product, or make it with Sen2Cor. {USE_OF_L1C}"
        )
    if not folder.name.upper().endswith(".SAFE"):
        raise SceneError(f"{folder} looks like a SAFE product; give it back its name, NAME.SAFE.")
    try:
        from stactools.sentinel2.stac import create_item
    except ImportError as error:
        raise SceneError(
            "reading a SAFE folder needs stactools-sentinel2; run: pip install 'odc-cleansat[safe]'"
        ) from error
    try:
        with warnings.catch_warnings():
            # The footprints in the metadata of all products are wound clockwise.
            warnings.filterwarnings("ignore", message="The exterior ring", category=UserWarning)
            item = create_item(str(folder))
    except Exception as error:  # of stactools and of its XML parser
        raise SceneError(
            f"{folder.name} cannot be read as a SAFE product: {type(error).__name__} "
            f"{first_line(error)}. Is it whole, with manifest.safe and the metadata of its granule?"
        ) from error
    # The id that stactools gives leaves out the time and the baseline of processing.
    item.id = str(item.properties.get("s2:product_uri") or folder.name).removesuffix(".SAFE")
    item.set_self_href(folder.as_uri())
    return item_scene(item)
