"""Scenes of Sentinel-2: where their files are, what their bands are called, and how their values become reflectance.

:func:`read_scene` reads a STAC item, an EO3 document, a SAFE folder or a folder of bands; :func:`search` finds STAC
items.
"""

from .band_folder import open_scene, write_scene_document
from .bands import S2_BANDS, find_bands
from .files import BandFile, SceneFiles
from .offset import Offset, resolve_offset
from .read import read_scene
from .scene import Scene
from .search import search
from .stac import item_scene

__all__ = [
    "BandFile",
    "Offset",
    "S2_BANDS",
    "Scene",
    "SceneFiles",
    "find_bands",
    "item_scene",
    "open_scene",
    "read_scene",
    "resolve_offset",
    "search",
    "write_scene_document",
]
