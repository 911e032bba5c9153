"""Masks and scenes of an Open Data Cube: load, recall, index.

:func:`load` gives scenes with their masks, :func:`recall` gives masks on any grid. The driver makes ``ucl`` one more
band of a scene for `dc.load` and `odc.stac.load`.
"""

from __future__ import annotations

from .catalog import Catalog, open_catalog
from .driver import CleansatDriver, with_ucl
from .embedded import embedded_cube, stop_cube
from .index import add_dataset, add_product, find_dataset
from .load import load
from .recall import recall

__all__ = [
    "Catalog",
    "CleansatDriver",
    "add_dataset",
    "add_product",
    "embedded_cube",
    "find_dataset",
    "load",
    "open_catalog",
    "recall",
    "stop_cube",
    "with_ucl",
]
