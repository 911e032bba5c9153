"""The check of `verify` that compares a mask with its scene, where what the scene says of itself is at hand."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from ..addresses import public_values
from ..errors import CleansatError
from ..scenes.band_folder import content_id, open_scene, stated_properties
from ..scenes.files import local_path
from ..scenes.read import read_scene
from ..storage.eo3 import allow_own_properties, read_document, scene_product
from .evidence import MISSING, Evidence, Fault, UnprovenError, WrongError, differences
from .provenance import inherited
from .scene_files import scene_files

_MOST_DOCUMENTS = 20
"""Number of documents in a scene's folder among which its own is looked for."""

_SOURCE = "cleansat:source"
"""Whence the scene of a mask was taken, which no scene says of itself."""

_OF_PIXELS = ("odc:region_code", "cleansat:datetime_placeholder")
"""What a folder of bands alone does not tell: its grid decides, or the time that somebody gave."""


class _Scene(NamedTuple):
    """What a scene says of itself."""

    label: str
    product: str
    properties: Mapping[str, Any]


def wrong_scene(evidence: Evidence) -> Iterator[Fault]:
    """What a mask says of its scene otherwise than a datacube, where one knows the scene.

    It may be of an item, of which datacube and mask have two documents. Then it is not known which one is true.
    """
    if evidence.scene is not None:
        of_item = _SOURCE in evidence.document["properties"]
        scene = _of_document(evidence.scene)
        yield from _wrong(evidence, scene, UnprovenError if of_item else WrongError)


def look_at_scene(evidence: Evidence) -> str:
    """Return what a mask was compared with: its scene in the datacube, or what lies with the files of the scene.

    Raises
    ------
    WrongError
        If the mask says something else of its scene.
    UnprovenError
        If it lacks something that the scene says.
    """
    if evidence.scene is not None:
        return "what it says of the scene was compared with the datacube"
    scene = _read_nearby(evidence) if evidence.fetch_scenes else _folder_nearby(evidence)
    if scene is None:
        return "what it took over from the scene, such as name and angles, could not be compared"
    faults = list(_wrong(evidence, scene, WrongError))
    for kind in (WrongError, UnprovenError):
        if said := [str(each) for each in faults if isinstance(each, kind)]:
            raise kind("; ".join(said))
    return "it says of the scene what the scene says of itself"


def _wrong(evidence: Evidence, scene: _Scene, kind: type[Fault]) -> Iterator[Fault]:
    """What a mask says of its scene otherwise than the scene itself."""
    record = evidence.record["scene"]
    own = public_values({"label": scene.label, "product": scene.product})
    for key, expected, found in differences(own, {key: record.get(key) for key in own}):
        yield kind(f"the {key} of the scene is {found} in the mask, and {expected} in the scene")
    said, told = inherited(scene.properties), inherited(evidence.dataset.properties)
    for key in _OF_PIXELS:
        if key not in said:
            told.pop(key, None)
    for key, expected, found in differences(said, told):
        if key == _SOURCE:
            continue
        if found is not MISSING:
            yield kind(f"{key} is {found} in the mask, and {expected} in the scene")
        else:
            yield UnprovenError(
                f"{key} of the scene is missing in the mask; older versions may have left it out"
            )


def _of_document(document: Mapping[str, Any]) -> _Scene:
    source = read_document(document)
    return _Scene(source.label, source.product.name, source.properties)


def _folder_nearby(evidence: Evidence) -> _Scene | None:
    """Return what a folder of bands near the mask says; None if the scene of the mask is none.

    The folder may be a stranger's, so no picture in it is opened, and no document that names files. A pipe, a device or a link would
    be read without end, or from elsewhere.
    """
    from eodatasets3.properties import Eo3Dict

    folder, record = _folder(evidence), evidence.record["scene"]
    if folder is None:
        return None
    try:
        scene = open_scene(folder, evidence.dataset.properties["datetime"])
        if any(path.is_symlink() or not path.is_file() for path in scene.bands.values()):
            return None
        if str(content_id(scene)) != str(record["id"]):
            return None
        product = scene_product(scene.bands)["name"]
    except (CleansatError, OSError):
        return None
    with allow_own_properties():
        return _Scene(scene.label, product, Eo3Dict(stated_properties(scene)))


def _read_nearby(evidence: Evidence) -> _Scene | None:
    """Return what a scene of any kind says, which is read where the mask names it; None if there is none of its id."""
    for place in _places(evidence):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # they are of the scene, and not of the mask
                found = read_scene(place).dataset
        except (CleansatError, OSError):
            continue
        if str(found.id) == str(evidence.record["scene"]["id"]):
            return _of_document(found.metadata_doc)
    return None


def _places(evidence: Evidence) -> Iterator[str]:
    """Yield where a scene may be: its folder, a document in it, and the address that the mask names."""
    if folder := _folder(evidence):
        of_product = (each for each in (folder, *folder.parents) if _is_product(each))
        whole = next(of_product, folder)
        yield str(whole)
        if whole.is_dir():
            documents = (p for p in sorted(whole.iterdir()) if p.suffix in (".json", ".yaml"))
            yield from map(str, islice(documents, _MOST_DOCUMENTS))
    source = evidence.document["properties"].get(_SOURCE)
    if isinstance(source, str) and "://" in source:
        yield source


def _is_product(path: Path) -> bool:
    return path.suffix.upper() in (".SAFE", ".ZARR")


def _folder(evidence: Evidence) -> Path | None:
    """Return the folder or archive of the files of a scene, if all are on this machine and may be opened; else None."""
    bands = evidence.provenance.bands
    try:
        files = scene_files(evidence.product, bands, bands, fetch_scenes=evidence.fetch_scenes)
    except CleansatError:
        return None
    places = [_container(file.uri) for file in files.values()]
    local = [str(place) for place in places if place is not None]
    return Path(os.path.commonpath(local)) if local and len(local) == len(places) else None


def _container(uri: str) -> Path | None:
    """Return the folder of a file of this machine, or the archive that it is in; None for a file elsewhere."""
    if uri.startswith("zip://"):
        return Path(uri.removeprefix("zip://").split("!")[0])
    path = local_path(uri)
    return None if "://" in path or path.startswith("/vsi") else Path(path).parent
