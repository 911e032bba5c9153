"""Attributes as netCDF and Zarr can store them."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from ..classes import FlagsDefinition

_OF_XARRAY = ("units", "calendar")
"""Attributes of times that xarray sets itself when it writes them, and does not overwrite."""

_OF_THE_SOURCE = ("chunks", "preferred_chunks", "shards", "compressor", "compressors", "filters")
"""Encodings of the file that a band was read from, which new chunks may contradict."""


def storable(scene: xr.Dataset) -> xr.Dataset:
    """Return a Dataset that xarray can write as netCDF and as Zarr.

    Datacube puts attributes on what it loads that neither format takes: nested ones, units of times, and the
    reference to the coordinate system twice. Only attributes and encodings change, in a shallow copy.

    Parameters
    ----------
    scene
        Any dims and any dtype; lazy or not.
    """
    stored: xr.Dataset = scene.copy()
    for variable in stored.variables.values():
        variable.attrs = _attributes(variable)
        variable.encoding = {k: v for k, v in variable.encoding.items() if k not in _OF_THE_SOURCE}
    stored.attrs = {name: _value(name, value) for name, value in scene.attrs.items()}
    return stored


def _attributes(variable: xr.Variable) -> dict[Hashable, Any]:
    """Return the attributes that can be stored."""
    passed = set(variable.encoding)
    if variable.dtype.kind in "mM":
        passed.update(_OF_XARRAY)
    return {
        name: _value(name, value)
        for name, value in variable.attrs.items()
        if name not in passed and value is not None
    }


def _value(name: Hashable, value: Any) -> Any:
    """Return a value of a kind that can be stored; what is unknown stays as it is."""
    if name == "flags_definition" and isinstance(value, Mapping):
        return FlagsDefinition(value)
    if isinstance(value, bool | np.bool_):
        return int(value)
    if isinstance(value, np.datetime64):
        return str(value)
    if isinstance(value, Mapping):
        return json.dumps(value, default=str)
    if isinstance(value, list | tuple) and any(isinstance(each, Mapping) for each in value):
        return json.dumps(value, default=str)
    return value
