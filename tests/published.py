"""Weights in the formats and shapes of those that CloudSEN12 publishes, with random numbers."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

SMALL = {"encoder_name": "resnet18", "encoder_depth": 3, "decoder_channels": [16, 8, 8]}
"""Arguments of a network that is soon compiled."""


def network(channels: int, classes: int) -> Any:
    """The network of CloudSEN12."""
    import segmentation_models_pytorch as smp
    import torch

    torch.manual_seed(0)
    return smp.Unet(
        "mobilenet_v2", encoder_weights=None, in_channels=channels, classes=classes
    ).eval()


def write_published(folder: Path) -> None:
    """Write ``UNetMobV2_V1.pt``, a state dict, and ``cloudsen12l2a.pt``, which is TorchScript."""
    import segmentation_models_pytorch as smp
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch would have people use something else
        twelve = smp.Unet(**SMALL, encoder_weights=None, in_channels=12, classes=4).eval()
        traced = torch.jit.trace(twelve, torch.zeros(1, 12, 64, 64), check_trace=False)
    traced.save(folder / "cloudsen12l2a.pt")
    torch.save(network(13, 4).state_dict(), folder / "UNetMobV2_V1.pt")
