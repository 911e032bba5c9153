"""What a model is: what a network was trained on, and what its answers mean."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from ..classes import CloudClass
from ..errors import ModelError
from ..grids.windows import DEFAULT_TILING, Tiling

BUILTIN = Path(__file__).with_name("builtin")
"""Folder of the models that ship."""

STATE_DICTS = (".pt", ".pth", ".ckpt", ".bin")
"""Suffixes under which PyTorch's state dicts are kept."""

WEIGHTS = (".onnx", ".safetensors", ".torchscript", *STATE_DICTS)
"""Suffixes of all weights that can be used."""


@dataclass(frozen=True)
class Architecture:
    """A network of `segmentation_models_pytorch` (smp)."""

    name: str = "Unet"
    """Name of the class, e.g. ``Unet`` or ``DeepLabV3Plus``."""

    encoder: str = "resnet34"
    """Name of the encoder."""

    options: tuple[tuple[str, Any], ...] = ()
    """Further arguments by name; lists as tuples, so that an architecture can be hashed."""

    def __str__(self) -> str:
        """For people and documents, e.g. ``UNet, efficientnet-b4 encoder``."""
        name = "UNet" if self.name == "Unet" else self.name
        return f"{name}, {self.encoder} encoder"


@dataclass(frozen=True)
class Model:
    """A pretrained network and all that is needed to use it rightly."""

    name: str
    """Unique in the registry, e.g. ``unet-efficientnetb4-l2a-6b``."""

    version: str
    """Version of the weights, as their makers count."""

    title: str
    """One line for people."""

    bands: tuple[str, ...]
    """Input bands by canonical name, in the order of the channels."""

    mean: tuple[float, ...]
    """Mean reflectance per band, subtracted before the network."""

    std: tuple[float, ...]
    """Standard deviation of reflectance per band, divided by before the network."""

    resolution: float
    """Ground sampling the network was trained at, metres. It runs at this and no other."""

    classes: tuple[CloudClass, ...]
    """What each output channel means."""

    level: str
    """What it was trained on: ``L2A``, surface reflectance, or ``L1C``, top-of-atmosphere reflectance.
    What it is worth on the other is not known, so a scene that is known to be of it is met with a warning."""

    weights: str
    """Where the weights are: ``package:NAME/FILE``, ``file:PATH``, ``https://...`` or
    ``hf:OWNER/REPO/FILE[@REVISION]``. The suffix tells the format. Empty for an ensemble."""

    architecture: Architecture | None = None
    """The network that the weights belong to; None where the file holds the network itself."""

    sha256: str = ""
    """Checksum of that file, hexadecimal. Empty where its makers publish none."""

    licence: str = ""
    """SPDX identifier of the weights' licence."""

    citation: str = ""
    """Who made it, and where it is described."""

    card: str = field(default="", compare=False)
    """Path of the model card, Markdown. Empty if there is none."""

    channels: tuple[str, ...] = ()
    """Bands of the network's first layer, where they are more than `bands`. The others stand at
    their mean, which is 0 after normalisation, so the first layer is cut down to `bands`."""

    output: str = "logits"
    """What the network gives: ``logits`` or ``probabilities``."""

    torchscript: bool = False
    """Whether the weights are a TorchScript program, which is run only where the user allows it."""

    members: tuple[Model, ...] = ()
    """Of an ensemble, whose answer is the mean of their probabilities."""

    tiling: Tiling = DEFAULT_TILING
    """How scenes are cut into windows."""

    @property
    def format(self) -> str:
        """How the weights are stored: ``onnx``, ``safetensors``, ``torchscript`` or ``state dict``.

        Raises
        ------
        ModelError
            If the suffix of the file is that of none.
        """
        scheme, _, place = self.weights.partition(":")
        if scheme == "hf":
            place = place.partition("@")[0]
        elif scheme in ("http", "https"):
            place = re.split("[?#]", place)[0]
        suffix = PurePosixPath(place).suffix.lower()
        if suffix == ".torchscript" or (self.torchscript and suffix in STATE_DICTS):
            return "torchscript"
        if suffix in STATE_DICTS:
            return "state dict"
        if suffix in (".onnx", ".safetensors"):
            return suffix[1:]
        raise ModelError(
            f"model {self.name}: {self.weights!r} ends in none of the suffixes that are known: {', '.join(WEIGHTS)}."
        )

    def parameters(self) -> dict[str, Any]:
        """Everything besides the weights that decides a class; part of a mask's identity.

        ``document`` stands for what the document says of the network. Those that ship have none: what they say is
        known, and ids of masks derive from it.
        """
        tiling = asdict(self.tiling)
        found = {"resolution": self.resolution, **tiling, "stride": [*self.tiling.stride]}
        return found | ({"document": said} if (said := self._said()) else {})

    def _said(self) -> str:
        """Short checksum of what decides how the weights are used; empty for models that ship."""
        if (BUILTIN / f"{self.name}.yaml").is_file():
            return ""
        if self.members:
            of_members = [member._said() for member in self.members]
            return _checksum(of_members) if any(of_members) else ""
        classes = [each.label for each in self.classes]
        network = str(self.architecture and astuple(self.architecture))
        values = [self.level, self.bands, self.channels, self.mean, self.std, classes, self.output]
        return _checksum([*values, network])

    def with_parameters(self, parameters: Mapping[str, Any]) -> Model:
        """The same weights under other :meth:`parameters`, such as those a mask was made with.

        Raises
        ------
        ModelError
            If these are of a document that says something else of the network.
        """
        if parameters.get("document", "") != self._said():
            raise ModelError(
                f"the model {self.name} here has other bands, classes, normalisation or architecture."
            )
        down, across = parameters["stride"]
        tiling = Tiling((down, across), parameters["overlap"], parameters["whole"])
        return replace(self, resolution=float(parameters["resolution"]), tiling=tiling)


def _checksum(values: Any) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:12]
