"""The device on which a network is trained, and its precision."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import ModelError

if TYPE_CHECKING:
    import torch


def find_device(name: str | None) -> torch.device:
    """Return the device ``cuda`` or ``cpu``; by default cuda where there is one.

    Raises
    ------
    ModelError
        If cuda is asked for, and there is none.
    """
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        raise ModelError("there is no CUDA device that torch can use; train on the cpu.")
    return torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))


def best_precision(device: str) -> str:
    """Return ``bf16`` for a device that computes in it, and ``f32`` for others.

    OpenVINO knows it of a processor. Where it is not installed, a processor computes in ``f32``.
    """
    if device == "cuda":
        import torch

        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "f32"
    try:
        import openvino
    except ImportError:
        return "f32"

    capabilities = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "bf16" if "BF16" in capabilities else "f32"
