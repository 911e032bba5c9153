"""Engines run the network of a model, with OpenVINO or with PyTorch."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Sequence
from functools import lru_cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import numpy as np

from ..arguments import meant
from ..errors import ModelError
from ..settings import setting
from ..threads import check_fork, no_fork, watched
from .model import Model
from .openvino_engine import OpenVINOEngine
from .torch_engine import TorchEngine
from .weights import sha256_of

_ENGINES = ("openvino", "torch")
_PRECISIONS = ("bf16", "f32")


class Engine(Protocol):
    """Computes class probabilities from reflectance."""

    name: str
    """Name of the engine, e.g. ``openvino`` or ``torch``."""

    precision: str
    """Arithmetic that the network runs in, ``f32`` or ``bf16``."""

    def __call__(self, reflectance: np.ndarray) -> np.ndarray:
        """Run the network.

        Parameters
        ----------
        reflectance
            ``(N, C, H, W)`` float32, unit 1, finite; H and W multiples of 32.

        Returns
        -------
        numpy.ndarray
            ``(N, K, H, W)`` float32 probabilities that sum to 1 over K.
        """
        ...


def get_engine(model: Model, name: str | None = None, precision: str | None = None) -> Engine:
    """Return the engine for a model. It is loaded once per process.

    Parameters
    ----------
    model
        The model to run.
    name
        ``openvino`` or ``torch``. By default torch if there is a CUDA device, else OpenVINO.
    precision
        ``bf16`` or ``f32``. By default the setting of that name, or else bf16
        if the processor computes in it. It is about twice as fast and gives 99.7 to 99.9 % of
        the same classes, in haze 97 to 99 %.

    Raises
    ------
    ModelError
        If there is no such engine or precision, or the weights cannot be read.
    EngineError
        If this process was forked from one that makes masks, and waits for it for ever.
    """
    precision = precision or setting("precision")
    check_engine(name, precision)
    check_fork()
    with no_fork(), _LOCK:
        engine = name or _default_engine(model)
        # The process id is part of the key: a forked child must not use its parent's threads.
        sha256 = sha256_of(model)
        return watched(partial(_load, model, sha256, engine, precision, os.getpid()))


def check_engine(name: str | None, precision: str | None) -> None:
    """Raise if there is no such engine or precision. Loads nothing.

    Raises
    ------
    ModelError
        With the names of those that there are.
    """
    if name is not None and not (isinstance(name, str) and name in _ENGINES):
        raise ModelError(
            f"there is no engine {name!r}; choose from {', '.join(_ENGINES)}.{meant(name, _ENGINES)}"
        )
    if precision is not None and not (isinstance(precision, str) and precision in _PRECISIONS):
        raise ModelError(
            f"there is no precision {precision!r}; choose from {', '.join(_PRECISIONS)}."
        )


_LOCK = threading.Lock()


def _renew_lock() -> None:
    # A forked child has no thread that would finish loading and release the lock.
    global _LOCK
    _LOCK = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


@lru_cache(maxsize=8)
def _load(model: Model, sha256: str, name: str, precision: str | None, pid: int) -> Engine:
    # The sha256 is part of the key, because the weights may have been replaced under the same name.
    if model.members:
        members = [_load(each, sha256_of(each), name, precision, pid) for each in model.members]
        return EnsembleEngine(model, members)
    return OpenVINOEngine(model, precision) if name == "openvino" else TorchEngine(model, precision)


def _default_engine(model: Model) -> str:
    # Torch cannot run an ONNX graph of unknown architecture.
    bare = any(each.format == "onnx" and each.architecture is None for each in model.networks())
    # A machine for training alone has torch, and may lack OpenVINO.
    return "torch" if not bare and (_has_cuda() or find_spec("openvino") is None) else "openvino"


_DRIVERS = ("/proc/driver/nvidia", "/dev/nvidiactl", "/dev/dxg")
"""Where a driver of NVIDIA is seen: on Linux, in a sandbox, and in Windows' Linux."""


@lru_cache(maxsize=1)
def _has_cuda() -> bool:
    # Importing torch takes seconds, so it is asked only on machines with a driver of NVIDIA.
    if not any(Path(path).exists() for path in _DRIVERS):
        return False
    import torch

    return bool(torch.cuda.is_available())


class EnsembleEngine:
    """Computes the mean probability of several models, each run by an engine of its own."""

    def __init__(self, model: Model, members: Sequence[Engine]) -> None:
        self.name = members[0].name
        self.precision = members[0].precision
        self._members = [
            (
                engine,
                [model.bands.index(band) for band in member.bands],
                [member.classes.index(c) for c in model.classes],
            )
            for engine, member in zip(members, model.members, strict=True)
        ]

    def __call__(self, reflectance: np.ndarray) -> np.ndarray:
        """Return probabilities, ``(N, K, H, W)`` float32; see :class:`Engine`."""
        # One after the other, so that the answer of one alone is in memory beside their sum.
        answers = (
            engine(reflectance[:, bands])[:, classes] for engine, bands, classes in self._members
        )
        total: np.ndarray = functools.reduce(np.add, answers)
        return total / np.float32(len(self._members))
