"""The description of a model: what its network was trained on, and what its output means."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, astuple, dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from ..arguments import is_number
from ..classes import CloudClass
from ..errors import ModelError
from ..grids.windows import DEFAULT_TILING, Tiling

BUILTIN = Path(__file__).with_name("builtin")
"""Folder of the documents of the models that ship with this package."""

_STATE_DICTS = (".pt", ".pth", ".ckpt", ".bin")
"""Suffixes of files that hold a state dict of PyTorch."""

WEIGHTS = (".onnx", ".safetensors", ".torchscript", *_STATE_DICTS)
"""Suffixes of all files of weights that can be used."""


Calibration = tuple[tuple[str, tuple[tuple[float, float], ...]], ...]
"""Labels of classes with the points of their curves."""


@dataclass(frozen=True)
class Architecture:
    """A network of `segmentation_models_pytorch` (smp)."""

    name: str = "Unet"
    """Name of the class, e.g. ``Unet`` or ``DeepLabV3Plus``."""

    encoder: str = "resnet34"
    """Name of the encoder."""

    options: tuple[tuple[str, Any], ...] = ()
    """Further arguments of the class by name. Lists are tuples here, so that an architecture can be hashed."""

    def __str__(self) -> str:
        """Return a description for people, e.g. ``UNet, efficientnet-b4 encoder``."""
        name = "UNet" if self.name == "Unet" else self.name
        return f"{name}, {self.encoder} encoder"


@dataclass(frozen=True)
class Model:
    """A pretrained network, and everything that is needed to use it correctly."""

    name: str
    """Unique in the registry, e.g. ``unet-efficientnetb4-l2a-6b``."""

    version: str
    """Version of the weights, as their makers number them."""

    title: str
    """Description of one line."""

    bands: tuple[str, ...]
    """Canonical names of the input bands, in the order of the channels."""

    mean: tuple[float, ...]
    """Mean reflectance of each band (unit 1), which is subtracted before the network runs."""

    std: tuple[float, ...]
    """Standard deviation of the reflectance of each band (unit 1). The difference from the mean is divided by it."""

    resolution: float
    """Pixel size that the network was trained at, metres. It runs at this pixel size and at no other."""

    classes: tuple[CloudClass, ...]
    """Class of each output channel."""

    level: str
    """Level of the data that the network was trained on: ``L2A``, surface reflectance, or ``L1C``,
    top-of-atmosphere reflectance. A scene of the other level causes a warning."""

    weights: str
    """URI of the weights: ``package:NAME/FILE``, ``file:PATH``, ``https://...`` or
    ``hf:OWNER/REPO/FILE[@REVISION]``. The suffix gives the format. Empty for an ensemble."""

    architecture: Architecture | None = None
    """Network that the weights belong to. None if the file holds the network itself."""

    sha256: str = ""
    """Sha256 of the file of weights, hexadecimal. Empty if its makers publish none."""

    licence: str = ""
    """SPDX identifier of the weights' licence."""

    citation: str = ""
    """Who made the model, and where it is described."""

    card: str = field(default="", compare=False)
    """Path of the model card, a Markdown file. Empty if there is none."""

    channels: tuple[str, ...] = ()
    """Bands of the network's first layer, if it takes more than `bands`. The bands that are missing are set to
    their mean, which is 0 after normalisation."""

    normalisation: str = "fixed"
    """What is subtracted and divided by: ``fixed``, `mean` and `std`, or ``window``, the mean and standard deviation of
    each band in the window that the network sees."""

    output: str = "logits"
    """Output of the network: ``logits`` or ``probabilities``."""

    torchscript: bool = False
    """Whether the weights are a TorchScript program, which runs only if the user allows it."""

    calibration: Calibration = ()
    """Labels of classes, and points of a curve for each: a probability of the network, and the share of such pixels that
    are right, both 0 to 1. Thin cloud has the curve of cloud. Without a curve, confidence is the probability."""

    members: tuple[Model, ...] = ()
    """Models of an ensemble, which gives the mean of their probabilities. Empty for a single network."""

    speed: float = field(default=0.0, compare=False)
    """How many times as fast as ``unet-efficientnetb4-l2a-6b`` over the same area. 0 if that was not measured."""

    accuracy: tuple[tuple[str, float], ...] = field(default=(), compare=False)
    """Labels of classes, and the F1 of each, 0 to 1, in six simulated scenes (`benchmarks/students.py`). Empty if that
    was not measured."""

    tiling: Tiling = DEFAULT_TILING
    """Size and overlap of the windows that scenes are cut into."""

    @property
    def format(self) -> str:
        """Format of the weights: ``onnx``, ``safetensors``, ``torchscript`` or ``state dict``.

        Raises
        ------
        ModelError
            If the file has none of the known suffixes.
        """
        scheme, _, place = self.weights.partition(":")
        if scheme == "hf":
            place = place.partition("@")[0]
        elif scheme in ("http", "https"):
            place = re.split("[?#]", place)[0]
        suffix = PurePosixPath(place).suffix.lower()
        if suffix == ".torchscript" or (self.torchscript and suffix in _STATE_DICTS):
            return "torchscript"
        if suffix in _STATE_DICTS:
            return "state dict"
        if suffix in (".onnx", ".safetensors"):
            return suffix[1:]
        raise ModelError(
            f"model {self.name}: {self.weights!r} has none of the suffixes that are known: {', '.join(WEIGHTS)}."
        )

    @property
    def is_noncommercial(self) -> bool:
        """Whether the licence is one of Creative Commons that forbids commercial use."""
        return "-NC" in self.licence.upper()

    def networks(self) -> Iterator[Model]:
        """Yield the model itself, or each single network of an ensemble."""
        for member in self.members:
            yield from member.networks()
        if not self.members:
            yield self

    def band_of_channel(self) -> list[int]:
        """Return for each channel of the first layer the index of its band, ``len(bands)`` if it has none."""
        channels = self.channels or self.bands
        return [self.bands.index(c) if c in self.bands else len(self.bands) for c in channels]

    def parameters(self) -> dict[str, Any]:
        """Return all that decides a class, besides the weights. It is part of a mask's identity.

        ``document`` is a checksum of what the document says about the network. It is absent for models that ship:
        ids of existing masks derive from these parameters without it.
        """
        tiling = asdict(self.tiling)
        found = {"resolution": self.resolution, **tiling, "stride": [*self.tiling.stride]}
        checksum = self._document_checksum()
        return found | ({"document": checksum} if checksum else {})

    def _document_checksum(self) -> str:
        """Return a checksum of what decides how the weights are used; empty for models that ship."""
        if (BUILTIN / f"{self.name}.yaml").is_file():
            return ""
        if self.members:
            of_members = [member._document_checksum() for member in self.members]
            return _checksum(of_members) if any(of_members) else ""
        classes = [each.label for each in self.classes]
        network = str(self.architecture and astuple(self.architecture))
        values = [self.level, self.bands, self.channels, self.mean, self.std, classes, self.output]
        if self.normalisation != "fixed":
            values.append(self.normalisation)
        if self.calibration:
            values.append(self.calibration)
        return _checksum([*values, network])

    def with_parameters(self, parameters: Mapping[str, Any]) -> Model:
        """Return the model with other :meth:`parameters`, such as those of an existing mask.

        Raises
        ------
        ModelError
            If the parameters belong to a document that describes another network, or cannot be those of a model.
        """
        if not isinstance(parameters, Mapping):
            raise ModelError(f"the parameters {parameters!r:.100} are no mapping.")
        if parameters.get("document", "") != self._document_checksum():
            raise ModelError(
                f"the model {self.name} here has other bands, classes, normalisation or architecture."
            )
        stride, overlap, whole, resolution = map(
            parameters.get, ("stride", "overlap", "whole", "resolution")
        )
        try:
            tiling = Tiling.of(stride, overlap, whole)
        except ValueError as error:
            raise ModelError(f"the parameters {parameters!r:.200} {error}.") from None
        if not is_number(resolution) or not resolution > 0:
            raise ModelError(f"the parameters have the resolution {resolution!r:.100}.")
        return replace(self, resolution=float(resolution), tiling=tiling)


def _checksum(values: Any) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:12]
