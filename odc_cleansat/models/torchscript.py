"""TorchScript weights are programs. They are loaded only if the user allows it."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ModelError, first_line
from ..settings import setting
from .model import Model
from .registry import models_folder, not_writable
from .weights import not_finite, sha256_of, weights_path

if TYPE_CHECKING:
    import torch

_ON_TRIAL: ContextVar[frozenset[str]] = ContextVar("_ON_TRIAL", default=frozenset())
"""Sha256 of the files that may run within :func:`torchscript_on_trial`."""


@contextlib.contextmanager
def torchscript_on_trial(model: Model) -> Iterator[None]:
    """Allow the model's TorchScript within a ``with`` block, and from then on if the block raises nothing.

    Raises
    ------
    ModelError
        If the permission cannot be stored.
    """
    hashes = [sha256_of(each) for each in model.networks() if each.format == "torchscript"]
    before = _ON_TRIAL.set(frozenset(hashes))
    try:
        yield
    finally:
        _ON_TRIAL.reset(before)
    for each in hashes:
        allow_torchscript(each)


def allow_torchscript(sha256: str) -> None:
    """Store the user's permission to run the TorchScript file of this sha256.

    It is kept in ``torchscript-allowed.txt`` in the folder of the user's models.

    Raises
    ------
    ModelError
        If that file cannot be written.
    """
    record = _record_of_allowed()
    if sha256 in _allowed_sha256():
        return
    try:
        record.parent.mkdir(parents=True, exist_ok=True)
        with open(record, "a", encoding="utf-8") as file:
            file.write(f"{sha256}\n")
    except OSError as error:
        raise not_writable(record, error) from error


def check_allowed(model: Model) -> None:
    """Raise if the model, or a member of an ensemble, is TorchScript that the user has not allowed.

    Raises
    ------
    ModelError
        With the reason, and the way to allow it.
    """
    if setting("allow-torchscript") == "1":
        return
    for each in model.networks():
        if each.format != "torchscript":
            continue
        if sha256_of(each) not in _ON_TRIAL.get() | _allowed_sha256():
            raise ModelError(
                f"model {each.name}: its weights are TorchScript, a program that can do what it likes with "
                "your rights when it is run. If you trust its makers, set CLEANSAT_ALLOW_TORCHSCRIPT=1, or "
                f"allow this file alone: cleansat models fetch --allow-torchscript {each.name} (or import, "
                "if it is not listed yet)."
            )


def load_torchscript(model: Model) -> torch.nn.Module:
    """Return the model's TorchScript program in evaluation mode. It takes the bands of the model.

    Raises
    ------
    ModelError
        If it is not allowed, the file is no TorchScript, or its weights are not finite.
    """
    import torch

    path = weights_path(model)
    check_allowed(model)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch advises its makers to use another format
            network = torch.jit.load(path, map_location="cpu").eval()
    except (RuntimeError, ValueError, OSError) as error:
        raise ModelError(
            f"model {model.name}: {path} is no TorchScript: {first_line(error)}."
        ) from error
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise not_finite(model, name)
    network = network.float()
    return network if model.channels in ((), model.bands) else _fill_channels(network, model)


def _fill_channels(network: torch.nn.Module, model: Model) -> torch.nn.Module:
    """Return a network that sets the channels without a band to 0, the mean after normalisation."""
    import torch

    sources = model.band_of_channel()

    class FillChannels(torch.nn.Module):  # type: ignore[misc]
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            padded = torch.cat([images, torch.zeros_like(images[:, :1])], dim=1)
            return padded[:, sources]

    return torch.nn.Sequential(FillChannels(), network).eval()


def _record_of_allowed() -> Path:
    return models_folder() / "torchscript-allowed.txt"


def _allowed_sha256() -> set[str]:
    record = _record_of_allowed()
    return set(record.read_text("utf-8").split()) if record.is_file() else set()
