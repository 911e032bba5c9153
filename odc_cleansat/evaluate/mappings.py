"""Translate the codes of other masks and labels into classes of the UCL."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..arguments import meant
from ..classes import SCL_TO_UCL, CloudClass
from ..errors import CleansatError, SceneError, first_line
from ..storage.reader import parse_yaml, read_file
from .confusion import Question


@dataclass(frozen=True)
class ClassMapping:
    """The codes of a mask or label, and the class of each."""

    name: str
    """Name by which it is found, or the text or file that it was made from."""

    codes: Mapping[int, CloudClass]
    """Code, 0 to 255, to class. Codes that are not named are no data. The nodata value that a file declares
    does not count, because many masks declare that of clear."""

    source: str = ""
    """Where the codes are described."""

    @property
    def questions(self) -> frozenset[Question]:
        """The questions that a raster of these codes can answer.

        Without a code for cloud, or without one for shadow, it is not known either what is clear.
        """
        known = set(self.codes.values())
        found = {q for q in (Question.CLOUD, Question.SHADOW) if known.intersection(q.classes)}
        return frozenset(Question) if len(found) == 2 else frozenset(found)

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Translate an array of codes.

        Parameters
        ----------
        values
            Any shape, any number type; values that are no code of the mapping become nodata.

        Returns
        -------
        numpy.ndarray
            Same shape, uint8 :class:`~odc_cleansat.CloudClass` codes, nodata 0.
        """
        table = np.zeros(256, dtype="uint8")
        for code, cls in self.codes.items():
            table[code] = cls
        values = np.asarray(values)
        if values.dtype.kind == "b":
            values = values.astype("uint8")
        if values.dtype == "uint8":
            direct: np.ndarray = table[values]
            return direct
        with np.errstate(invalid="ignore"):
            code = (values >= 0) & (values <= 255) & (values == np.floor(values))
        found: np.ndarray = table[np.where(code, values, 0).astype("uint8")]
        return np.where(code, found, np.uint8(CloudClass.NODATA))


_CLEAR, _CLOUD, _SHADOW = CloudClass.CLEAR, CloudClass.CLOUD, CloudClass.SHADOW
_SNOW, _WATER, _THIN = CloudClass.SNOW, CloudClass.WATER, CloudClass.THIN_CLOUD
_FOUR = {0: _CLEAR, 1: _CLOUD, 2: _THIN, 3: _SHADOW}

MAPPINGS = {
    mapping.name: mapping
    for mapping in (
        ClassMapping("ucl", {int(c): c for c in CloudClass if c}, "odc_cleansat.CloudClass"),
        ClassMapping(
            "scl", {k: c for k, c in SCL_TO_UCL.items() if c}, "Sen2Cor's scene classification"
        ),
        ClassMapping(
            "fmask",
            {1: _CLEAR, 2: _CLOUD, 3: _SHADOW, 4: _SNOW, 5: _WATER},
            "python-fmask, and the Fmask of Digital Earth Australia: https://www.pythonfmask.org",
        ),
        ClassMapping(
            "fmask4",
            {0: _CLEAR, 1: _WATER, 2: _SHADOW, 3: _SNOW, 4: _CLOUD},
            "Fmask 4, 255 is no data: https://github.com/GERSL/Fmask",
        ),
        ClassMapping(
            "cloudsen12",
            _FOUR,
            "High-quality labels: https://huggingface.co/datasets/csaybar/CloudSEN12-high",
        ),
        ClassMapping("omnicloudmask", _FOUR, "https://pypi.org/project/omnicloudmask"),
        ClassMapping(
            "s2cloudless",
            {0: _CLEAR, 1: _CLOUD},
            "Masks, not probabilities; 255 is no data: "
            "https://docs.sentinel-hub.com/api/latest/user-guides/cloud-masks",
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
        ),
        ClassMapping(
            "shadow-label",
            {0: _CLEAR, 1: _SHADOW},
            "Labels that know shadow only, as those of doi:10.3390/rs15163955",
        ),
    )
}
"""The named mappings. ``shadow-label`` answers for shadow only, ``s2cloudless`` and ``on-cloud-n`` for
cloud only."""


def get_mapping(spec: str | ClassMapping) -> ClassMapping:
    """Return the mapping of a name, or make one.

    Parameters
    ----------
    spec
        A name in :data:`MAPPINGS`; or codes and classes, like ``0=clear,1=cloud,3=shadow``; or the
        path of a JSON or YAML file that maps codes to classes; or a mapping, which is returned unchanged.

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


def check_codes(mapping: ClassMapping, values: np.ndarray, nodata: float | None, name: str) -> None:
    """Raise if a raster is read as a UCL by default, but holds other codes.

    Parameters
    ----------
    mapping
        The mapping of the raster; only that of the UCL is checked.
    values
        Any shape, any number type: pixels of the raster.
    nodata
        The nodata value that the file declares, or None.
    name
        Name of the raster, for the message.

    Raises
    ------
    SceneError
        If there are other codes; the message names some of them.
    """
    if mapping is not MAPPINGS["ucl"]:
        return
    allowed = [0, 255, *mapping.codes, *([] if nodata is None else [nodata])]
    found = np.unique(values)
    strange = found[~np.isin(found, allowed) & np.isfinite(found)]
    if strange.size:
        raise SceneError(
            f"{name} holds {', '.join(f'{code:g}' for code in strange[:5])}, which are no codes of a UCL; name the "
            f"mapping of its codes: {', '.join(MAPPINGS)}."
        )


def parse_class(text: str) -> CloudClass | None:
    """Return the class of a name like ``cloud`` or ``Thin cloud``; None if there is none."""
    label = text.strip().lower().replace("-", "_").replace(" ", "_")
    return next((c for c in CloudClass if c.label == label), None)


def is_mapping(text: str) -> bool:
    """Return whether a text names or describes a mapping, and is not a part of a path."""
    described = re.match(r"\d+=", text) or text.endswith((".json", ".yaml", ".yml"))
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
    codes = {}
    for code, text in pairs:
        if not str(code).strip().isdecimal() or int(code) > 255:
            raise CleansatError(f"{name}: the code {code!r} is not a number from 0 to 255.")
        cls = parse_class(str(text))
        if cls is None:
            labels = ", ".join(c.label for c in CloudClass)
            raise CleansatError(
                f"{name}: there is no class {str(text).strip()!r}; choose from {labels}."
                f"{meant(str(text).strip(), (c.label for c in CloudClass))}"
            )
        if cls is not CloudClass.NODATA:
            codes[int(code)] = cls
    return ClassMapping(name, codes)
