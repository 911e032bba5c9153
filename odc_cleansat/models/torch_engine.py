"""The reference engine: PyTorch, on a CUDA device if there is one."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ModelError
from ..threads import available_cpus, no_fork, watched
from .inference import check_answers, noise_for, normalised_by_window, run_in_parts
from .model import Model
from .networks import torch_network

if TYPE_CHECKING:
    import torch

_BYTES_PER_PIXEL = 2000.0
"""Memory of a CUDA device that one pixel of a batch is assumed to need, bytes, until it has been measured."""

_LARGE = 256 * 256
"""Pixels of a window from which on its memory is measured: on small ones, fixed costs would count."""


_forked = False
"""Whether this process was forked after torch had been imported."""


def _note_fork() -> None:
    global _forked
    _forked = "torch" in sys.modules


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


class TorchEngine:
    """Runs a network in PyTorch."""

    name = "torch"

    def __init__(self, model: Model, precision: str | None = None) -> None:
        import torch

        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        cuda = self._device.type == "cuda"
        half = cuda and torch.cuda.is_bf16_supported(including_emulation=False)
        self.precision = precision or ("bf16" if half else "f32")
        if not cuda:
            # A forked child would wait for ever for the threads of OpenMP, which its parent alone has.
            torch.set_num_threads(1 if _forked else available_cpus())
        network = torch_network(model)
        self._network = network.to(self._device, memory_format=torch.channels_last)
        self._mean, self._std = (
            torch.tensor(values, device=self._device).reshape(1, -1, 1, 1)
            for values in (model.mean, model.std)
        )
        self._by_window = model.normalisation == "window"
        self._logits = model.output == "logits"
        self._bytes_per_pixel = _BYTES_PER_PIXEL
        self._lock = threading.Lock()
        if self._logits:
            self._check_logits(model)
        check_answers(model, self)

    def _check_logits(self, model: Model) -> None:
        """Raise if the network ends in a softmax. A second one would flatten all probabilities."""
        answer = self._output(noise_for(model)).cpu().numpy()
        if answer.min() >= 0 and np.abs(answer.sum(axis=1) - 1).max() < 0.02:
            raise ModelError(
                f"model {model.name}: the network ends in a softmax; say output: probabilities in its document."
            )

    def __call__(self, reflectance: np.ndarray) -> np.ndarray:
        """Return probabilities, ``(N, K, H, W)`` float32. One call runs at a time."""
        with no_fork(), self._lock:
            step = self._windows_that_fit(reflectance)
            parts = [reflectance[i : i + step] for i in range(0, len(reflectance), step)]
            answers = [watched(partial(run_in_parts, self._run, part)) for part in parts]
            return np.concatenate(answers)

    def _windows_that_fit(self, reflectance: np.ndarray) -> int:
        """Return how many windows should fit into the free memory of the device."""
        import torch

        if self._device.type == "cpu":
            return max(1, len(reflectance))
        free, _ = torch.cuda.mem_get_info(self._device)
        # Memory that torch has reserved and does not use is free for torch.
        free += torch.cuda.memory_reserved(self._device) - torch.cuda.memory_allocated(self._device)
        height, width = reflectance.shape[2:]
        needed = self._bytes_per_pixel * height * width
        return max(1, min(len(reflectance), int(0.8 * free / needed)))

    def _run(self, reflectance: np.ndarray) -> np.ndarray:
        with self._measure_memory(reflectance):
            answer = self._output(reflectance)
            if self._logits:
                answer = answer.softmax(dim=1)
            result: np.ndarray = answer.cpu().numpy()
            return result

    def _output(self, reflectance: np.ndarray) -> torch.Tensor:
        """Return the output of the network, a float32 tensor on its device."""
        import torch

        half = self.precision == "bf16"
        if self._by_window:
            reflectance = normalised_by_window(reflectance)
        with torch.inference_mode():
            batch = torch.from_numpy(np.ascontiguousarray(reflectance)).to(self._device)
            batch = ((batch - self._mean) / self._std).to(memory_format=torch.channels_last)
            with torch.autocast(self._device.type, torch.bfloat16, half):
                answer: torch.Tensor = self._network(batch).float()
            return answer

    @contextlib.contextmanager
    def _measure_memory(self, reflectance: np.ndarray) -> Iterator[None]:
        """Measure what a batch takes of the device's memory, to choose the size of later batches."""
        import torch

        if self._device.type == "cpu":
            yield
            return
        torch.cuda.reset_peak_memory_stats(self._device)
        before = torch.cuda.memory_allocated(self._device)
        yield
        taken = torch.cuda.max_memory_allocated(self._device) - before
        count, _, height, width = reflectance.shape
        if height * width >= _LARGE:
            self._bytes_per_pixel = max(1.0, taken / (count * height * width))
