"""Scenes whose numbers mean different things, in one load.

Providers differ in what they do with the radiometric offset, and in the scale. The mask of a scene is made of that scene alone,
so it is right. The bands of several scenes in one array are not comparable.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

from ..errors import CubeError, ReflectanceWarning, warn_caller
from ..scenes.bands import is_reflective
from ..scenes.files import SceneFiles
from ..scenes.offset import QUANTIFICATION
from .special_addresses import SHIFTED, file_address

if TYPE_CHECKING:
    import pystac
    from datacube.model import Dataset


def check_one_scale(scenes: Iterable[SceneFiles]) -> None:
    """Raise if the numbers of scenes become reflectance by different scales.

    Parameters
    ----------
    scenes
        The files of each scene.

    Raises
    ------
    CubeError
        Naming a scene of each scale.
    """
    if len(scales := _scales(scenes)) > 1:
        raise CubeError(
            f"the bands of these scenes have different scales ({_listed(scales)}), and one array has one. Load the scenes of each "
            "scale by themselves, or the measurement ucl alone."
        )


def warn_of_mixture(offsets: Iterable[tuple[SceneFiles, float]], *, harmonized: bool) -> None:
    """Warn if the numbers of scenes become reflectance in several ways.

    Parameters
    ----------
    offsets
        The files of each scene, and its radiometric offset in digital numbers.
    harmonized
        Whether the offsets are taken off.

    Warns
    -----
    ReflectanceWarning
        If scales differ, or offsets that are not taken off.
    """
    offsets = list(offsets)
    if len(scales := _scales(files for files, _ in offsets)) > 1:
        warn_caller(
            f"the bands of these scenes have different scales ({_listed(scales)}). `ucl` is right for each; load the bands of "
            "the scenes of each scale by themselves.",
            ReflectanceWarning,
        )
    found: dict[float, str] = {}
    for files, offset in offsets:
        found.setdefault(offset, files.label)
    if len(found) > 1 and not harmonized:
        warn_caller(
            f"the bands of these scenes have different radiometric offsets ({_listed(found)}). `ucl` is right for each; pass "
            "harmonized=True to have the offsets taken off the bands, too.",
            ReflectanceWarning,
        )


def reflective_measurements(scene: Dataset) -> list[str]:
    """Return the measurements of a dataset that are reflectance bands."""
    return [
        name
        for name, measurement in scene.product.measurements.items()
        if name in scene.measurements
        and any(map(is_reflective, (name, *measurement.get("aliases", ()))))
    ]


def reflective_assets(item: pystac.Item) -> list[str]:
    """Return the assets of an item that are reflectance bands, at any resolution and in any format."""
    return [n for n in item.assets if is_reflective(re.sub(r"[-_]jp2$|[-_]r?\d+m$", "", n.lower()))]


def shifted_paths(files: SceneFiles, bands: Iterable[str], offset: float) -> dict[str, str]:
    """Return the addresses of bands whose radiometric offset is taken off as they are read.

    Parameters
    ----------
    files
        The files of the scene.
    bands
        Names of its reflectance bands.
    offset
        The offset in digital numbers, or in reflectance between -1 and 0. Without one there is nothing to do.
    """
    if not offset:
        return {}
    if abs(offset) < 1:
        offset = round(offset / (_scale_of(files) or 1 / QUANTIFICATION))
    return {name: file_address(SHIFTED, files.files[name], offset) for name in bands}


def without_offset(item: pystac.Item, paths: Mapping[str, str]) -> pystac.Item:
    """Return a copy of an item, some of whose assets have other addresses and state no offset.

    Parameters
    ----------
    item
        An item of any provider.
    paths
        Name of an asset to its address.
    """
    clone = item.clone()
    for name, path in paths.items():
        asset = clone.assets[name]
        asset.href = path
        asset.extra_fields = copy.deepcopy(asset.extra_fields)
        places = [asset.extra_fields]
        for key in ("raster:bands", "bands"):
            places += asset.extra_fields.get(key) or []
        for place in places:
            _forget_offset(place)
    return clone


def _forget_offset(place: Any) -> None:
    if isinstance(place, MutableMapping):
        for key in place.keys() & {"offset", "raster:offset"}:
            place[key] = 0


def _scales(scenes: Iterable[SceneFiles]) -> dict[float, str]:
    """Return the scales of scenes, each with the name of its first scene."""
    found: dict[float, str] = {}
    for files in scenes:
        if (scale := _scale_of(files)) is not None:
            found.setdefault(scale, files.label)
    return found


def _scale_of(files: SceneFiles) -> float | None:
    """Return the reflectance per number that the metadata of a scene tell; None if it has no reflectance bands."""
    name = next((each for each in files.files if is_reflective(each)), None)
    if name is None:
        return None
    scale = files.files[name].scale
    if scale in (None, 0, 1):  # which says nothing, as in a file
        floating = str(files.hints[name].get("dtype")).startswith("float")
        return 1.0 if floating else 1 / QUANTIFICATION
    return round(float(scale or 0), 9)


def _listed(found: Mapping[float, str]) -> str:
    return "; ".join(f"{label}: {value:g}" for value, label in found.items())
