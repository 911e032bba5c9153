"""A model document for the user to fill in, begun with what a file of weights tells."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..scenes.bands import S2_BANDS
from .install import check_suffix

_ALL = [band for band in S2_BANDS if band != "scl"]
_BANDS: dict[int, Sequence[str]] = {
    3: ("blue", "green", "red"),
    4: ("blue", "green", "red", "nir"),
    6: ("blue", "green", "red", "nir", "swir16", "swir22"),
    12: [band for band in _ALL if band != "cirrus"],
    13: _ALL,
}
_CLASSES: dict[int, Sequence[str]] = {
    2: ("clear", "cloud"),
    3: ("clear", "cloud", "shadow"),
    4: ("clear", "cloud", "thin_cloud", "shadow"),
}
"""Likely meanings by the number of channels, for the user to correct."""

_NO_ARCHITECTURE = "# architecture: the ONNX file holds the network itself"

_ARCHITECTURE = """architecture:
  name: Unet               # a class of segmentation_models_pytorch
  encoder: mobilenet_v2
  # further arguments of the class, such as
  # decoder_channels: [256, 128, 64, 32, 16]"""

_TEMPLATE = """\
# A model document. Correct what is wrong, fill in what is missing, and run:
#   cleansat models import THIS_FILE

name: {name}
version: "1"
title: What it is, in one line

# What the network was trained on. It is right for such data only.
level: L2A                 # or L1C
resolution: 30             # metres; it runs at this resolution, whatever that of the scene is

# Its input channels in their order, by their names in Element 84's STAC and the product s2_l2a.
bands: [{bands}]{of_bands}
# Mean and standard deviation of the reflectance (0 to 1) of each band: one number for each band. With wrong ones
# the output is nonsense. Remove both lines only if the network was trained on reflectance without normalisation.
mean: []
std: []

# What its output channels mean, in their order: clear, cloud, thin_cloud, shadow, snow, water.
classes: [{classes}]{of_classes}
output: logits             # or probabilities, where the network ends in a softmax

weights: file:{file}       # beside this document; or https://..., hf:OWNER/REPO/FILE@REVISION
{architecture}

licence: ""                # of the weights, as SPDX writes it, e.g. CC-BY-4.0
citation: Who made it, and where it is described
# Curves of probability and the share of such pixels that is right, for a confidence that is measured; see docs/how-to/models.md.
# calibration: {{clear: [[0, 0.8], [1, 1]], shadow: [[0, 0.2], [0.8, 0.7], [1, 1]]}}
# A model card, THIS_FILE with the suffix .md, is copied too and shown by: cleansat models show
"""


def document_template(weights: Path) -> str:
    """Return a model document to fill in, with what can be read from the file of weights.

    Raises
    ------
    ModelError
        If the file has no suffix of weights.
    """
    check_suffix(weights)
    bands, classes = _counts(weights)
    return _TEMPLATE.format(
        name=weights.stem.lower().replace(" ", "-").replace("_", "-"),
        file=weights.name,
        bands=", ".join(_BANDS.get(bands, _BANDS[6])),
        of_bands=f"  # the first layer takes {bands}" if bands else "",
        classes=", ".join(_CLASSES.get(classes, _CLASSES[3])),
        of_classes=f"  # there are {classes}" if classes else "",
        architecture=_NO_ARCHITECTURE if weights.suffix == ".onnx" else _ARCHITECTURE,
    )


def _counts(weights: Path) -> tuple[int, int]:
    """Return the numbers of input and output channels, 0 if the file does not give them."""
    try:
        if weights.suffix == ".onnx":
            return _counts_of_onnx(weights)
        if weights.suffix == ".safetensors":
            return _counts_of_safetensors(weights)
    except Exception:  # the import will report what is wrong with the file
        pass
    return 0, 0


def _counts_of_onnx(weights: Path) -> tuple[int, int]:
    import onnx

    graph = onnx.load(weights, load_external_data=False).graph
    constants = {each.name for each in graph.initializer}
    first = next(each for each in graph.input if each.name not in constants)
    taken, given = (
        each.type.tensor_type.shape.dim[1].dim_value for each in (first, graph.output[0])
    )
    return taken, given


def _counts_of_safetensors(weights: Path) -> tuple[int, int]:
    from safetensors import safe_open

    with safe_open(weights, framework="numpy") as file:
        shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    kernels = {name: shape for name, shape in shapes.items() if len(shape) == 4}
    head = next((s for n, s in kernels.items() if "segmentation_head" in n), [0])
    stems = (".encoder._conv_stem", ".encoder.conv1", ".encoder.features.0.", ".encoder.stem")
    # Training programs may put a prefix before them, such as `model.` or `module.`.
    stem = next((s for n, s in kernels.items() if any(each in f".{n}" for each in stems)), [0, 0])
    return stem[1], head[0]
