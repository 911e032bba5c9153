"""A narrower decoder from a trained one: of each layer the channels stay that say most to the next.

Nothing is trained here. The network answers worse than before and learns again what it has lost, much sooner than
from random weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

WIDTHS = "decoder_channels"
"""Option of an architecture: number of channels of each block of the decoder."""

_HEAD = "segmentation_head.0.weight"


def narrowed(weights: Mapping[str, torch.Tensor], widths: Sequence[int]) -> dict[str, torch.Tensor]:
    """Return the weights of a UNet with a narrower decoder.

    Parameters
    ----------
    weights
        Those of a trained UNet of segmentation_models_pytorch, by name.
    widths
        Number of channels of each block of the decoder, none of them more than before.

    Returns
    -------
    dict
        Weights by the same names.
    """
    import torch

    result = dict(weights)
    kept: torch.Tensor | None = None
    for block, width in enumerate(widths):
        first, second = (f"decoder.blocks.{block}.conv{layer}" for layer in (1, 2))
        if kept is not None:
            # What the block before gives comes first, and then what the encoder gives.
            had = weights[f"decoder.blocks.{block - 1}.conv2.0.weight"].shape[0]
            skipped = torch.arange(had, result[f"{first}.0.weight"].shape[1])
            result[f"{first}.0.weight"] = result[f"{first}.0.weight"][:, torch.cat([kept, skipped])]
        after = f"decoder.blocks.{block + 1}.conv1.0.weight" if block + 1 < len(widths) else _HEAD
        inner = _strongest(result, first, f"{second}.0.weight", width)
        _keep(result, first, inner)
        result[f"{second}.0.weight"] = result[f"{second}.0.weight"][:, inner]
        kept = _strongest(result, second, after, width)
        _keep(result, second, kept)
    if kept is not None:
        result[_HEAD] = result[_HEAD][:, kept]
    return result


def _strongest(
    weights: Mapping[str, torch.Tensor], layer: str, after: str, count: int
) -> torch.Tensor:
    """Return the channels of a layer that say most to the next, in ascending order."""
    scale = weights[f"{layer}.1.weight"]
    following = weights[after][:, : len(scale)].square().sum(dim=(0, 2, 3)).sqrt()
    chosen: torch.Tensor = (scale.abs() * following).argsort(descending=True)[:count].sort().values
    return chosen


def _keep(weights: dict[str, torch.Tensor], layer: str, channels: torch.Tensor) -> None:
    """Keep some channels of a convolution and of the normalisation behind it."""
    for name in ("0.weight", "1.weight", "1.bias", "1.running_mean", "1.running_var"):
        weights[f"{layer}.{name}"] = weights[f"{layer}.{name}"][channels]
