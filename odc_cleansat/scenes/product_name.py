"""What the names of a folder of bands and of its files say of the scene."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from ..errors import SceneError
from .scene import USE_OF_L1C
from .sensor import check_sensor

_ESA = re.compile(r"S2[A-D]_MSIL(?:1C|2A)_\d{8}T\d{6}_N\d{4}_R\d{3}_T\w{5}_\d{8}T\d{6}")
"""The name of a product of ESA."""


def said_by_names(folder: Path, files: Iterable[Path]) -> dict[str, str]:
    """Return the properties that follow from names: that of ESA's product, which tells its processing baseline.

    Parameters
    ----------
    folder
        Folder of a scene.
    files
        Its band files.

    Raises
    ------
    SceneError
        If the names are those of another satellite, or of ESA's level 1C.
    """
    names = [folder.resolve().name, *(file.stem for file in files)]
    check_sensor({}, names, f"the scene in {folder}")
    found = {match[0] for name in names if (match := _ESA.search(name))}
    if any("_MSIL1C_" in name for name in found):
        raise SceneError(
            f"{folder} is of level 1C by its name, top of the atmosphere; masks are made of L2A. Rename it if its bands are "
            f"surface reflectance. {USE_OF_L1C}"
        )
    return {"s2:product_uri": f"{found.pop()}.SAFE"} if len(found) == 1 else {}
