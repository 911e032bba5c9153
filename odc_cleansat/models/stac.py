"""Fields of a STAC item that describe the model, from the machine learning model extension (MLM).

Source: https://github.com/stac-extensions/mlm
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from .model import Model
from .weights import sha256_of

if TYPE_CHECKING:
    from pystac import Asset


_ARTIFACTS = {
    "onnx": "onnx",
    "safetensors": "safetensors.torch.save_file",
    "torchscript": "torch.jit.save",
    "state dict": "torch.save",
}
"""The function that wrote a file of each format, as MLM names it."""


def model_properties(model: Model, classes: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the properties of an item.

    Parameters
    ----------
    classes
        The classes of the mask as in ``classification:classes``, without nodata.
    """
    height, width = (stride + model.tiling.overlap for stride in model.tiling.stride)
    channels, count = len(model.bands), len(model.classes)
    parts = list(model.networks())
    frameworks = {"ONNX" if part.format == "onnx" else "PyTorch" for part in parts}
    return {
        "mlm:name": model.name,
        "mlm:architecture": " and ".join(dict.fromkeys(map(_architecture, parts))),
        "mlm:tasks": ["semantic-segmentation"],
        "mlm:framework": " and ".join(sorted(frameworks)),
        "mlm:pretrained": True,
        "mlm:pretrained_source": model.citation or model.title,
        "mlm:hyperparameters": model.parameters(),
        "mlm:input": [
            {
                "name": f"{_REFLECTANCE[model.level]} at {model.resolution:g} m",
                "bands": list(model.bands),
                "input": {
                    "shape": [-1, channels, height, width],
                    "dim_order": ["batch", "channel", "height", "width"],
                    "data_type": "float32",
                },
                "value_scaling": [
                    {"type": "z-score", "mean": mean, "stddev": std}
                    for mean, std in zip(model.mean, model.std, strict=True)
                ],
            }
        ],
        "mlm:output": [
            {
                "name": "class probabilities",
                "tasks": ["semantic-segmentation"],
                "result": {
                    "shape": [-1, count, height, width],
                    "dim_order": ["batch", "channel", "height", "width"],
                    "data_type": "float32",
                },
                "classification:classes": classes,
            }
        ],
    }


def model_assets(model: Model) -> dict[str, Asset]:
    """Return the asset ``model`` for the published weights, or one ``model_NAME`` for each member.

    Raises
    ------
    ModelError
        If the sha256 of the weights is not known, and they cannot be read.
    """
    if model.members:
        return {f"model_{each.name}": _asset(each) for each in model.networks()}
    return {"model": _asset(model)}


_REFLECTANCE = {"L2A": "surface reflectance", "L1C": "top-of-atmosphere reflectance"}


def _architecture(model: Model) -> str:
    return str(model.architecture) if model.architecture else f"a network kept as {model.format}"


def _asset(model: Model) -> Asset:
    from pystac import Asset

    sha256 = sha256_of(model)
    href, kind, title = _published(model, sha256)
    return Asset(
        href,
        title=f"{title}, sha256 {sha256}",
        media_type=kind,
        roles=["mlm:model", "mlm:weights"],
        extra_fields={
            "mlm:artifact_type": _ARTIFACTS[model.format],
            "eo:bands": [{"name": band} for band in model.bands],
        },
    )


def _published(model: Model, sha256: str) -> tuple[str, str, str]:
    """Return address, media type and title. For a local file, the address is its hash and not its path."""
    scheme, _, place = model.weights.partition(":")
    if scheme == "package":
        package, _, file = place.partition("/")
        address = f"https://pypi.org/project/{package.replace('_', '-')}/"
        return address, "text/html", f"{file} in the Python package {package}"
    address = f"urn:sha256:{sha256}"
    if scheme == "hf":
        place, _, revision = place.partition("@")
        owner, repository, file = place.split("/", 2)
        version = quote(revision or "main", safe="")
        address = f"https://huggingface.co/{owner}/{repository}/resolve/{version}/{quote(file)}"
    elif scheme in ("http", "https"):
        url = urlsplit(model.weights)
        place = url.path
        if scheme == "https":  # without the login and the query, which may hold a key
            address = f"https://{url.netloc.rpartition('@')[2]}{place}"
    return address, "application/octet-stream", place.rpartition("/")[2]
