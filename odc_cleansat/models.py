"""Models: what a network was trained on, where its weights are, and what its answers mean."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .classes import CloudClass
from .errors import ModelError, SceneError
from .reflectance import find_bands
from .windows import DEFAULT, Tiling

if TYPE_CHECKING:
    import numpy as np
    from onnx import ModelProto


@dataclass(frozen=True)
class Model:
    """A pretrained UNet and all that is needed to use it rightly."""

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

    encoder: str
    """Encoder of the `segmentation_models_pytorch.Unet`."""

    weights: str
    """``package:NAME/FILE``: a file in an installed Python package."""

    sha256: str
    """Checksum of that file, hexadecimal."""

    licence: str
    """SPDX identifier of the weights' licence."""

    citation: str
    """Who made it, and where it is described."""

    tiling: Tiling = DEFAULT
    """How scenes are cut into windows."""

    def parameters(self) -> dict[str, Any]:
        """Everything besides the weights that decides a class; part of a mask's identity."""
        tiling = asdict(self.tiling)
        return {"resolution": self.resolution, **tiling, "stride": [*self.tiling.stride]}

    def with_parameters(self, parameters: Mapping[str, Any]) -> Model:
        """The same weights under other :meth:`parameters`, such as those a mask was made with."""
        down, across = parameters["stride"]
        tiling = Tiling((down, across), parameters["overlap"], parameters["whole"])
        return replace(self, resolution=float(parameters["resolution"]), tiling=tiling)


_CITATION = (
    "DLR, ukis-csmask 1.0.0; Wieland, Fichtner and Martinis (2022), "
    "doi:10.5194/isprs-archives-XLIII-B3-2022-217-2022"
)
_MEAN = (
    0.26681777834892273,
    0.27799084782600403,
    0.28811994194984436,
    0.36494743824005127,
    0.2225709855556488,
    0.17859040200710297,
)
_STD = (
    0.33637598156929016,
    0.3125455975532532,
    0.311148464679718,
    0.27260705828666687,
    0.16653667390346527,
    0.14328984916210175,
)


def _csmask(bands: int, sha256: str) -> Model:
    names = ("blue", "green", "red", "nir", "swir16", "swir22")[:bands]
    return Model(
        name=f"unet-efficientnetb4-l2a-{bands}b",
        version=f"1.0.0-{bands}BL2A",
        title=f"UNet with EfficientNet-B4, Sentinel-2 L2A, {bands} bands, 30 m (ukis-csmask)",
        bands=names,
        mean=_MEAN[:bands],
        std=_STD[:bands],
        resolution=30.0,
        classes=(CloudClass.CLEAR, CloudClass.CLOUD, CloudClass.SHADOW),
        encoder="efficientnet-b4",
        weights=f"package:ukis_csmask/model_{bands}b_l2a.onnx",
        sha256=sha256,
        licence="Apache-2.0",
        citation=_CITATION,
    )


_MODELS = {
    model.name: model
    for model in (
        _csmask(6, "d11c530978637ca420eedc40791c62bf78997dd39e1201777e2527e4bd94904e"),
        _csmask(4, "3884d75ca497ec59d8335973477bd31eb038857007bbb36fb2aba1ad375ee043"),
    )
}

_DEFAULTS = ("unet-efficientnetb4-l2a-6b", "unet-efficientnetb4-l2a-4b")
"""In order of preference; the first whose bands a scene has is used."""


def list_models() -> list[str]:
    """Names of the registered models, the preferred first."""
    return list(_MODELS)


def get_model(name: str | Model | None = None, bands: Iterable[Hashable] | None = None) -> Model:
    """Look a model up.

    Parameters
    ----------
    name
        A registered name, a :class:`Model` (returned as it is), or None for the default.
    bands
        For the default: the names of the bands at hand. With the short-wave infrared
        that is the model of six bands, without it the one of four.

    Raises
    ------
    ModelError
        If there is no model of that name.
    SceneError
        If the bands suffice for no default model.
    """
    if isinstance(name, Model):
        return name
    if name is not None:
        if name not in _MODELS:
            raise ModelError(f"there is no model {name!r}; choose from {', '.join(list_models())}.")
        return _MODELS[name]
    if bands is None:
        return _MODELS[_DEFAULTS[0]]
    bands = list(bands)
    for candidate in map(_MODELS.__getitem__, _DEFAULTS):
        try:
            find_bands(bands, candidate.bands)
        except SceneError:
            if candidate.name == _DEFAULTS[-1]:
                raise
            continue
        return candidate
    raise AssertionError("unreachable: the last default either fits or raises")


@cache
def weights_path(model: Model) -> Path:
    """Local path of the model's weights, verified against their checksum.

    Raises
    ------
    ModelError
        If the file is missing or its sha256 is not the model's.
    """
    scheme, _, location = model.weights.partition(":")
    package, _, filename = location.partition("/")
    if scheme != "package" or not filename:
        raise ModelError(
            f"model {model.name}: cannot read weights from {model.weights!r}; "
            "the known form is package:NAME/FILE."
        )
    path = _package_file(model, package, filename)
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != model.sha256:
        raise ModelError(
            f"model {model.name}: the weights at {path} have sha256 {found}, not {model.sha256}. "
            f"They are not used; install {package} again."
        )
    return path


def _package_file(model: Model, package: str, filename: str) -> Path:
    # The package is located, never imported: it is wanted as data only.
    from importlib.util import find_spec

    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(
            f"model {model.name}: its weights come with the package {package}, which is not "
            f"installed. Run: pip install {package.replace('_', '-')}"
        )
    path = Path(next(iter(spec.submodule_search_locations))) / filename
    if not path.is_file():
        raise ModelError(
            f"model {model.name}: {package} does not contain {filename}; "
            f"install the version that odc-cleansat asks for."
        )
    return path


def read_onnx(model: Model) -> ModelProto:
    """The network as an ONNX graph in single precision.

    The published graphs store weights *and* activations in half precision, and every
    runtime that folds the batch normalisations does so in half precision, which moves the
    logits by up to 0.02. Widened to single precision before anything is folded, ONNX
    Runtime, OpenVINO and torch agree within 1e-4.

    Returns
    -------
    onnx.ModelProto
        Input ``(N, C, H, W)`` float32 normalised reflectance, output ``(N, K, H, W)``
        float32 logits; H and W are multiples of 32.
    """
    import onnx
    from onnx import TensorProto, numpy_helper

    graph = onnx.load(weights_path(model))

    def widen(tensor: TensorProto) -> None:
        if tensor.data_type == TensorProto.FLOAT16:
            values = numpy_helper.to_array(tensor).astype("float32")
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))

    for initializer in graph.graph.initializer:
        widen(initializer)
    for node in graph.graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                widen(attribute.t)
            if node.op_type == "Cast" and attribute.i == TensorProto.FLOAT16:
                attribute.i = TensorProto.FLOAT
    # Recorded types of intermediate values are now wrong; runtimes infer them anew.
    del graph.graph.value_info[:]
    return graph


def read_state_dict(model: Model) -> dict[str, np.ndarray]:
    """The weights under the parameter names of `segmentation_models_pytorch.Unet`, float32."""
    from onnx import numpy_helper

    return {
        tensor.name.removeprefix("model."): numpy_helper.to_array(tensor)
        for tensor in read_onnx(model).graph.initializer
    }
