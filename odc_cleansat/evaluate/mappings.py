"""Translate the codes of other masks and labels into classes of the UCL."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..arguments import meant
from ..classes import SCL_TO_UCL, CloudClass
from ..errors import CleansatError, first_line
from ..storage.reader import parse_yaml, read_file
from .confusion import Question


@dataclass(frozen=True)
class ClassMapping:
    """What the values of a mask or label mean: numbers, bits, and ranges of a probability.

    A number decides before the bits, and they decide before a range. All other values are unknown: they count as no
    data, and whoever reads them says so.
    """

    name: str
    """Name by which it is found, or the text or file that it was made from."""

    codes: Mapping[int, CloudClass]
    """Code, 0 to 255, to class. The nodata value that a file declares does not count if it has a class here, because
    many masks declare that of clear."""

    source: str = ""
    """Where the codes are described."""

    nodata: frozenset[float] = frozenset()
    """Values that say that there are no data. NaN always does."""

    bits: Mapping[int, CloudClass] = field(default_factory=dict)
    """Bit, from 0, to class. Of the bits that are set in a value the first of these counts. A value is unknown if a bit
    is set that is not named, or none is."""

    ranges: tuple[tuple[float, float, CloudClass], ...] = ()
    """Lowest value, highest value and class, in rising order. A value on the edge of two belongs to the higher."""

    @property
    def classes(self) -> frozenset[CloudClass]:
        """The classes that a value can mean."""
        known = (*self.codes.values(), *self.bits.values(), *(cls for _, _, cls in self.ranges))
        return frozenset(known)

    @property
    def text(self) -> str:
        """The mapping as :func:`get_mapping` reads it, e.g. ``0=clear,bit1=cloud,255=nodata``."""
        return ",".join(f"{key}={label}" for key, label in self.rules.items())

    @property
    def rules(self) -> dict[str, str]:
        """Labels of the classes, by the number, the bit like ``bit3``, or the range like ``40..100``."""
        found = {f"{code}": cls.label for code, cls in sorted(self.codes.items())}
        found |= {f"bit{bit}": cls.label for bit, cls in self.bits.items()}
        found |= {f"{low:g}..{high:g}": cls.label for low, high, cls in self.ranges}
        return found | {f"{value:g}": CloudClass.NODATA.label for value in sorted(self.nodata)}

    @property
    def of_classes(self) -> ClassMapping:
        """The mapping of what :meth:`apply` gives: it answers the same questions."""
        return ClassMapping(self.name, {int(c): c for c in self.classes}, self.source, _EMPTY)

    @property
    def questions(self) -> frozenset[Question]:
        """The questions that a raster of these codes can answer.

        Without a code for cloud, or without one for shadow, it is not known either what is clear.
        """
        found = {q for q in (Question.CLOUD, Question.SHADOW) if self.classes & {*q.classes}}
        return frozenset(Question) if len(found) == 2 else frozenset(found)

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Translate an array of codes.

        Parameters
        ----------
        values
            Any shape, any number type; values that the mapping does not name become nodata.

        Returns
        -------
        numpy.ndarray
            Same shape, uint8 :class:`~odc_cleansat.CloudClass` codes, nodata 0.
        """
        found = self.translate(values)
        return np.where(found == UNKNOWN, np.uint8(CloudClass.NODATA), found)

    def unknown(self, values: np.ndarray, nodata: float | None = None) -> np.ndarray:
        """Return the values that the mapping does not name.

        Parameters
        ----------
        values
            Any shape, any number type.
        nodata
            The nodata value that the file declares, or None.

        Returns
        -------
        numpy.ndarray
            1-d, of the dtype of `values`, rising, each once.
        """
        values = np.asarray(values)
        strange = np.unique(values[self.translate(values) == UNKNOWN])
        return strange if nodata is None else strange[strange != nodata]

    def translate(self, values: np.ndarray) -> np.ndarray:
        """Translate an array of codes, and keep apart what is unknown.

        Parameters
        ----------
        values
            Any shape, any number type.

        Returns
        -------
        numpy.ndarray
            Same shape, uint8 :class:`~odc_cleansat.CloudClass` codes, and :data:`UNKNOWN` for values that the mapping
            does not name.
        """
        values = np.asarray(values)
        if values.dtype.kind == "b":
            values = values.astype("uint8")
        if values.dtype in ("uint8", "uint16"):
            direct: np.ndarray = self._table[: np.iinfo(values.dtype).max + 1][values]
            return direct
        with np.errstate(invalid="ignore"):
            whole = (values >= 0) & (values < _SIZE) & (values == np.floor(values))
        found: np.ndarray = self._table[np.where(whole, values, 0).astype("uint16")]
        if not whole.all():
            found[~whole] = self._one_by_one(values[~whole].astype("float64"))
        return found

    @cached_property
    def _table(self) -> np.ndarray:
        return self._one_by_one(np.arange(_SIZE, dtype="float64"))

    def _one_by_one(self, values: np.ndarray) -> np.ndarray:
        """Translate float64 values by the rules, of which a later one counts before an earlier one."""
        found = np.where(np.isnan(values), np.uint8(CloudClass.NODATA), np.uint8(UNKNOWN))
        for low, high, cls in self.ranges:
            found[(values >= low) & (values <= high)] = cls
        with np.errstate(invalid="ignore"):
            whole = (values > 0) & (values < 2**53) & (values == np.floor(values))
        numbers = np.where(whole, values, 0).astype("int64")
        known = whole & (numbers & ~sum(1 << bit for bit in self.bits) == 0)
        for bit, cls in reversed([*self.bits.items()]):
            found[known & (numbers >> bit & 1 > 0)] = cls
        for code, cls in (*self.codes.items(), *((n, CloudClass.NODATA) for n in self.nodata)):
            found[values == code] = cls
        return found


UNKNOWN = 255
"""Stands for a value that a mapping does not name."""

_SIZE = 1 << 16
"""Number of values that are translated by a table."""

_CLEAR, _CLOUD, _SHADOW = CloudClass.CLEAR, CloudClass.CLOUD, CloudClass.SHADOW
_SNOW, _WATER, _THIN = CloudClass.SNOW, CloudClass.WATER, CloudClass.THIN_CLOUD
_EMPTY, _FULL = frozenset({0.0}), frozenset({255.0})
_FOUR = {0: _CLEAR, 1: _CLOUD, 2: _THIN, 3: _SHADOW}

MAPPINGS = {
    mapping.name: mapping
    for mapping in (
        ClassMapping(
            "ucl", {int(c): c for c in CloudClass if c}, "odc_cleansat.CloudClass", _EMPTY
        ),
        ClassMapping(
            "scl",
            {k: c for k, c in SCL_TO_UCL.items() if c},
            "Sen2Cor's scene classification",
            frozenset(k for k, c in SCL_TO_UCL.items() if not c),
        ),
        ClassMapping(
            "fmask",
            {1: _CLEAR, 2: _CLOUD, 3: _SHADOW, 4: _SNOW, 5: _WATER},
            "python-fmask, and the Fmask of Digital Earth Australia: https://www.pythonfmask.org",
            _EMPTY,
        ),
        ClassMapping(
            "fmask4",
            {0: _CLEAR, 1: _WATER, 2: _SHADOW, 3: _SNOW, 4: _CLOUD},
            "Fmask 4, 255 is no data: https://github.com/GERSL/Fmask",
            _FULL,
        ),
        ClassMapping(
            "hls-fmask",
            {0: _CLEAR},
            "Bits of the Fmask layer of HLS S30 and L30, 255 is no data: "
            "https://lpdaac.usgs.gov/documents/1698/HLS_User_Guide_V2.pdf",
            _FULL,
            # Cirrus is of version 1. Clear are, if nothing else is set, the pixels beside cloud, and the aerosol.
            bits={
                1: _CLOUD,
                3: _SHADOW,
                0: _THIN,
                4: _SNOW,
                5: _WATER,
                2: _CLEAR,
                6: _CLEAR,
                7: _CLEAR,
            },
        ),
        ClassMapping(
            "cloudsen12",
            _FOUR,
            "High-quality labels: https://huggingface.co/datasets/csaybar/CloudSEN12-high",
            frozenset({99, 255}),
        ),
        ClassMapping("omnicloudmask", _FOUR, "https://pypi.org/project/omnicloudmask", _FULL),
        ClassMapping(
            "s2cloudless",
            {0: _CLEAR, 1: _CLOUD},
            "Masks, not probabilities; 255 is no data: "
            "https://docs.sentinel-hub.com/api/latest/user-guides/cloud-masks",
            _FULL,
        ),
        ClassMapping(
            "dea-s2cloudless",
            {1: _CLEAR, 2: _CLOUD},
            "oa_s2cloudless_mask of Digital Earth Australia: https://knowledge.dea.ga.gov.au",
            _EMPTY,
        ),
        ClassMapping(
            "probability",
            {},
            "Probability of cloud, 0 to 1, with the threshold of s2cloudless, such as oa_s2cloudless_prob",
            ranges=((0, 0.4, _CLEAR), (0.4, 1, _CLOUD)),
        ),
        ClassMapping(
            "clp",
            {},
            "Probability of cloud by s2cloudless, 0 to 255, with its threshold 0.4: "
            "https://docs.sentinel-hub.com/api/latest/user-guides/cloud-masks",
            ranges=((0, 102, _CLEAR), (102, 255, _CLOUD)),
        ),
        ClassMapping(
            "cld",
            {},
            "Probability of cloud, 0 to 100 %, as MSK_CLDPRB of L2A, with the threshold 40 %",
            ranges=((0, 40, _CLEAR), (40, 100, _CLOUD)),
        ),
        ClassMapping(
            "qa60",
            {0: _CLEAR},
            "Bits of QA60 of Earth Engine: "
            "https://developers.google.com/earth-engine/datasets/catalog/COPERNICUS_S2_SR_HARMONIZED",
            bits={10: _CLOUD, 11: _THIN},
        ),
        ClassMapping(
            "ukis-csmask",
            {0: _CLEAR, 1: _CLOUD, 2: _SHADOW},
            "CSmask.csm of ukis-csmask 1.0: https://github.com/dlr-eoc/ukis-csmask",
        ),
        ClassMapping(
            "on-cloud-n",
            {0: _CLEAR, 1: _CLOUD},
            "Labels: https://www.drivendata.org/competitions/83/cloud-cover/page/398",
            _FULL,
        ),
        ClassMapping(
            "shadow-label",
            {0: _CLEAR, 1: _SHADOW},
            "Labels that know shadow only, as those of doi:10.3390/rs15163955",
            _FULL,
        ),
    )
}
"""The named mappings. ``shadow-label`` answers for shadow only. Those of s2cloudless, of probabilities, of QA60 and of
``on-cloud-n`` answer for cloud only."""


def get_mapping(spec: str | ClassMapping) -> ClassMapping:
    """Return the mapping of a name, or make one.

    Parameters
    ----------
    spec
        A name in :data:`MAPPINGS`; or codes and classes, like ``0=clear,1=cloud,3=shadow``; or the
        path of a JSON or YAML file that maps codes to classes; or a mapping, which is returned unchanged.
        In place of a code there may be a bit, like ``bit3=shadow``, or a range, like ``40..100=cloud``.

    Raises
    ------
    CleansatError
        If it is none of these, or a code or a class is wrong.
    """
    if isinstance(spec, ClassMapping):
        return spec
    if not isinstance(spec, str):
        raise CleansatError(f"the mapping is {spec!r:.100}; pass a name, or codes and classes.")
    if spec in MAPPINGS:
        return MAPPINGS[spec]
    if "=" in spec:
        return _parse_mapping(spec, (_code_and_class(pair) for pair in spec.split(",")))
    if spec.endswith((".json", ".yaml", ".yml")):
        return _parse_mapping(spec, _read_mapping(Path(spec)).items())
    raise CleansatError(
        f"there is no mapping {spec!r}; choose from {', '.join(MAPPINGS)}, or write codes and classes, "
        f"like 0=clear,1=cloud,3=shadow, or name a JSON or YAML file of them.{meant(spec, MAPPINGS)}"
    )


def parse_class(text: str) -> CloudClass | None:
    """Return the class of a name like ``cloud`` or ``Thin cloud``; None if there is none."""
    label = text.strip().lower().replace("-", "_").replace(" ", "_")
    return next((c for c in CloudClass if c.label == label), None)


def is_mapping(text: str) -> bool:
    """Return whether a text names or describes a mapping, and is not a part of a path."""
    described = re.match(rf"(bit)?{_NUMBER}(\.\.{_NUMBER})?=", text) or text.endswith(
        (".json", ".yaml", ".yml")
    )
    return text in MAPPINGS or bool(described and not text.startswith("//"))


def _read_mapping(path: Path) -> dict[Any, Any]:
    try:
        found = parse_yaml(read_file(path), str(path))  # JSON is YAML
    except (CleansatError, OSError) as error:
        raise CleansatError(f"cannot read the mapping {path}: {first_line(error)}.") from error
    if not isinstance(found, dict):
        raise CleansatError(f"{path} does not map codes to classes, like `1: clear`.")
    return found


def _code_and_class(pair: str) -> tuple[str, str]:
    code, _, text = pair.partition("=")
    return code, text


def _parse_mapping(name: str, pairs: Iterable[tuple[Any, Any]]) -> ClassMapping:
    codes: dict[int, CloudClass] = {}
    bits: dict[int, CloudClass] = {}
    ranges: list[tuple[float, float, CloudClass]] = []
    nodata: set[float] = set()
    for given, text in pairs:
        key, cls = str(given).strip(), _parse_class(name, str(text).strip())
        if match := re.fullmatch(rf"({_NUMBER})\.\.({_NUMBER})", key):
            ranges.append((float(match[1]), float(match[2]), cls))
        elif (match := re.fullmatch(r"bit(\d+)", key)) and int(match[1]) < _BITS:
            bits[int(match[1])] = cls
        elif cls is CloudClass.NODATA and re.fullmatch(_NUMBER, key):
            nodata.add(float(key))
        elif key.isdecimal() and int(key) <= 255:
            codes[int(key)] = cls
        else:
            raise CleansatError(
                f"{name}: the code {given!r} is not a number from 0 to 255, nor a bit like bit3, from bit0 to "
                f"bit{_BITS - 1}, nor a range like 40..100."
            )
    ranges.sort(key=lambda each: each[:2])
    edges = [edge for low, high, _ in ranges for edge in (low, high)]
    if edges != sorted(edges):
        raise CleansatError(
            f"{name}: two ranges overlap, or one goes down; write each from low to high."
        )
    return ClassMapping(name, codes, "", frozenset(nodata), bits, tuple(ranges))


def _parse_class(name: str, text: str) -> CloudClass:
    cls = parse_class(text)
    if cls is None:
        labels = [c.label for c in CloudClass]
        raise CleansatError(
            f"{name}: there is no class {text!r}; choose from {', '.join(labels)}.{meant(text, labels)}"
        )
    return cls


_NUMBER = r"-?\d+(?:\.\d+)?"
_BITS = 32
"""Number of bits of the largest values that have bits."""
