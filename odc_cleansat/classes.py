"""The classes of the UCL, and everything that derives from them.

:class:`CloudClass` is the only place where a code gets a meaning. Flags definitions, CF attributes,
STAC classes, colours and legends are computed from it, so they cannot disagree.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from enum import IntEnum
from typing import Any

import numpy as np

CONFIDENCE_NODATA = 255
"""Nodata value of ``ucl_confidence``; the other values are percent, 0 to 100."""


class CloudClass(IntEnum):
    """Codes of the UNet classification layer (UCL), uint8.

    They are the codes of Fmask where the two overlap, so styles that were made for Fmask can be used.
    A model writes only the classes it knows.
    """

    NODATA = 0
    CLEAR = 1
    CLOUD = 2
    SHADOW = 3
    SNOW = 4
    WATER = 5
    THIN_CLOUD = 6

    @property
    def label(self) -> str:
        """Lower-case name as it stands in flags and documents, e.g. ``thin_cloud``."""
        return self.name.lower()

    @property
    def description(self) -> str:
        """Name for people, e.g. ``cloud shadow``."""
        return _DESCRIPTIONS[self]

    @property
    def colour(self) -> str:
        """Hexadecimal RGB colour; people with the common forms of colour blindness can tell them apart."""
        return _COLOURS[self]


_DESCRIPTIONS = {
    CloudClass.NODATA: "no data",
    CloudClass.CLEAR: "clear",
    CloudClass.CLOUD: "cloud",
    CloudClass.SHADOW: "cloud shadow",
    CloudClass.SNOW: "snow or ice",
    CloudClass.WATER: "water",
    CloudClass.THIN_CLOUD: "thin cloud",
}

# After Okabe and Ito (2008), https://jfly.uni-koeln.de/color/: orange against blue stays apart in
# deuteranopia, protanopia and tritanopia, and both against the grey of clear ground.
_COLOURS = {
    CloudClass.NODATA: "#ffffff",
    CloudClass.CLEAR: "#d9d9d9",
    CloudClass.CLOUD: "#e69f00",
    CloudClass.SHADOW: "#0072b2",
    CloudClass.SNOW: "#cc79a7",
    CloudClass.WATER: "#009e73",
    CloudClass.THIN_CLOUD: "#f0e442",
}

CLOUDS = (CloudClass.CLOUD, CloudClass.THIN_CLOUD)
"""The classes that count as cloud where its kind does not matter."""

SCL_TO_UCL = {
    0: CloudClass.NODATA,
    1: CloudClass.NODATA,
    2: CloudClass.CLEAR,
    3: CloudClass.SHADOW,
    4: CloudClass.CLEAR,
    5: CloudClass.CLEAR,
    6: CloudClass.CLEAR,
    7: CloudClass.CLEAR,
    8: CloudClass.CLOUD,
    9: CloudClass.CLOUD,
    10: CloudClass.THIN_CLOUD,
    11: CloudClass.CLEAR,
}
"""Cloud class of each code of Sen2Cor's SCL: 8 and 9 cloud, 10 thin cirrus, 3 shadow, 0 and 1 no data.

Source of the codes: Sen2Cor's L2A product definition, `SCL` legend.
"""


def scl_to_ucl(scl: np.ndarray) -> np.ndarray:
    """Translate Sen2Cor's scene classification into cloud classes, to compare it with a UCL.

    Parameters
    ----------
    scl
        Any shape, integer, codes 0 to 11. Other codes become nodata.

    Returns
    -------
    numpy.ndarray
        Same shape, uint8 :class:`CloudClass` codes, nodata 0.
    """
    table = np.zeros(256, dtype="uint8")
    for code, cls in SCL_TO_UCL.items():
        table[code] = cls
    scl = np.asarray(scl)
    codes = np.where((scl >= 0) & (scl <= 255), scl, 0).astype("uint8")
    classes: np.ndarray = table[codes]
    return classes


def flags_definition(classes: Iterable[CloudClass] = CloudClass) -> dict[str, Any]:
    """Return the ``flags_definition`` of the measurement ``ucl``.

    It has one flag named ``ucl`` over bits 0 to 7. `datacube.utils.masking.make_mask` and
    `odc.algo.enum_to_bool` read it.
    """
    return {
        "ucl": {
            "bits": list(range(8)),
            "description": "UNet classification layer: cloud and cloud shadow",
            "values": {str(int(c)): c.label for c in classes},
        }
    }


class FlagsDefinition(np.str_, Mapping):  # type: ignore[type-arg, misc]
    """A ``flags_definition`` that netCDF and Zarr can store: a mapping, and its own JSON text.

    NetCDF stores no nested attributes, so it stores the text. Zarr stores what :meth:`item` returns, the
    mapping. The tools of the Open Data Cube read it as a mapping. For the text that comes back from a netCDF file that
    is what Python's `json` reads in it.

    Parameters
    ----------
    definition
        The mapping: flags by name, of what JSON can hold.
    """

    _flags: dict[str, Any]

    def __new__(cls, definition: Mapping[str, Any]) -> FlagsDefinition:
        made: FlagsDefinition = super().__new__(cls, json.dumps(dict(definition)))
        made._flags = dict(definition)
        return made

    def __getitem__(self, flag: Any) -> Any:
        return self._flags[flag]

    def __iter__(self) -> Iterator[str]:
        return iter(self._flags)

    def __len__(self) -> int:
        return len(self._flags)

    def __reduce__(self) -> tuple[Any, ...]:
        return FlagsDefinition, (self._flags,)

    # NumPy takes it for a string only if that is its first base, whose methods would be found first.
    __contains__, __eq__, get = Mapping.__contains__, Mapping.__eq__, Mapping.get
    keys, items, values = Mapping.keys, Mapping.items, Mapping.values
    __hash__ = np.str_.__hash__

    def __ne__(self, other: object) -> bool:
        return not self == other

    def item(self, *_: Any) -> Any:
        """Return the mapping, a dictionary: what xarray writes into Zarr."""
        return dict(self._flags)


def ucl_attrs(classes: Iterable[CloudClass] = CloudClass) -> dict[str, Any]:
    """Return the attributes of a ``ucl`` DataArray: nodata, units, ODC flags and CF flags."""
    classes = list(classes)
    return {
        "units": "1",
        "nodata": int(CloudClass.NODATA),
        "long_name": "UNet classification layer",
        "flags_definition": FlagsDefinition(flags_definition(classes)),
        "flag_values": [int(c) for c in classes],
        "flag_meanings": " ".join(c.label for c in classes),
    }


def confidence_attrs() -> dict[str, Any]:
    """Return the attributes of a ``ucl_confidence`` DataArray: percent, nodata 255."""
    return {
        "units": "percent",
        "nodata": CONFIDENCE_NODATA,
        "long_name": "confidence of the class: share of such pixels that is right, or its probability",
    }


def stac_classes(classes: Iterable[CloudClass] = CloudClass) -> list[dict[str, Any]]:
    """Return ``classification:classes`` of STAC's classification extension, version 2."""
    return [
        {
            "value": int(c),
            "name": c.label,
            "description": c.description,
            "color_hint": c.colour.removeprefix("#"),
            **({"nodata": True} if c is CloudClass.NODATA else {}),
        }
        for c in classes
    ]


def class_percent(
    ucl: np.ndarray, classes: Iterable[CloudClass] = CloudClass
) -> dict[CloudClass, float]:
    """Return the share of each class among the pixels with data.

    Parameters
    ----------
    ucl
        Any shape, uint8 :class:`CloudClass` codes.
    classes
        The classes to report.

    Returns
    -------
    dict
        Percent of the pixels with data, for each class except nodata; NaN if no pixel has data.
    """
    counts = np.bincount(np.asarray(ucl).ravel(), minlength=256)
    total = counts.sum() - counts[CloudClass.NODATA]
    return {
        c: 100 * float(counts[c]) / float(total) if total else float("nan")
        for c in classes
        if c is not CloudClass.NODATA
    }
