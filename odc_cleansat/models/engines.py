"""Engines: the two ways to run a network."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

import numpy as np

from ..errors import EngineError, ModelError
from .model import Model
from .networks import torch_network
from .openvino import PROBE, openvino_graph
from .places import networks_of
from .torchscript import check_allowed
from .weights import sha256_of, weights_path

if TYPE_CHECKING:
    import openvino
    import torch


class Engine(Protocol):
    """Reflectance in, class probabilities out."""

    name: str
    """``openvino``, ``torch`` or another."""

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


ENGINES = ("openvino", "torch")
PRECISIONS = ("bf16", "f32")

GRAPH = 4
"""Raised when the graph that is compiled for a model changes, so that old ones are not taken from the cache."""

BYTES_PER_PIXEL = 2000.0
"""Memory of a CUDA device that a pixel of a batch is thought to take, until one has been measured."""

UNUSED = 90 * 86400.0
"""Seconds after which a compiled network that nobody has used is deleted: of another version, or another model."""

_LARGE = 256 * 256
"""Pixels of a window from which on what it takes is worth measuring."""


def get_engine(model: Model, name: str | None = None, precision: str | None = None) -> Engine:
    """The engine for a model, loaded once per process.

    Parameters
    ----------
    model
        The network to run.
    name
        ``openvino`` or ``torch``. By default torch where it finds a CUDA device, else OpenVINO.
    precision
        ``bf16`` or ``f32``. By default what ``CLEANSAT_PRECISION`` says in the environment, or else bf16
        where the processor computes in it, which is about twice as fast and gives 99.7 to 99.9 % of
        the same classes, in haze 97 to 99 %.

    Raises
    ------
    ModelError
        For an unknown engine or precision, or unreadable weights.
    """
    precision = precision or os.environ.get("CLEANSAT_PRECISION") or None
    check_engine(name, precision)
    with _LOCK:
        # The process id is part of the key: a forked child must not use its parent's threads.
        engine = name or _default_engine(model)
        return _load(model, sha256_of(model), engine, precision, os.getpid())


def check_engine(name: str | None, precision: str | None) -> None:
    """Refuse unknown engines and precisions, without loading anything.

    Raises
    ------
    ModelError
        Naming those there are.
    """
    if name is not None and name not in ENGINES:
        raise ModelError(f"there is no engine {name!r}; choose from {', '.join(ENGINES)}.")
    if precision is not None and precision not in PRECISIONS:
        raise ModelError(
            f"there is no precision {precision!r}; choose from {', '.join(PRECISIONS)}."
        )


_LOCK = threading.Lock()


def _unlock() -> None:
    # A forked child has no thread that would finish what was being loaded.
    global _LOCK
    _LOCK = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock)


@lru_cache(maxsize=8)
def _load(model: Model, sha256: str, name: str, precision: str | None, pid: int) -> Engine:
    """An engine; the hash is that of weights which may have been replaced meanwhile under the same name."""
    if model.members:
        members = [_load(each, sha256_of(each), name, precision, pid) for each in model.members]
        return EnsembleEngine(model, members)
    return OpenVINOEngine(model, precision) if name == "openvino" else TorchEngine(model, precision)


def _default_engine(model: Model) -> str:
    # A bare ONNX graph is nothing that torch could run.
    bare = any(each.format == "onnx" and each.architecture is None for each in networks_of(model))
    return "torch" if not bare and _has_cuda() else "openvino"


@lru_cache(maxsize=1)
def _has_cuda() -> bool:
    # Importing torch takes seconds, so ask only where an NVIDIA driver is loaded at all.
    if not Path("/proc/driver/nvidia").exists():
        return False
    import torch

    return bool(torch.cuda.is_available())


def available_cpus() -> int:
    """Processors this process may use: the affinity mask and the cgroup's quota, not the machine.

    ``CLEANSAT_THREADS`` says otherwise, e.g. in each of several processes that share a machine.
    """
    if (asked := os.environ.get("CLEANSAT_THREADS", "")).isdigit():
        return max(1, int(asked))
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return cpus
    return cpus if quota == "max" else max(1, min(cpus, round(int(quota) / int(period))))


class OpenVINOEngine:
    """Runs on the processor. Normalisation and softmax are part of the compiled graph.

    The compiled graph is kept in :func:`cache_folder`, where that can be written.
    """

    name = "openvino"

    def __init__(self, model: Model, precision: str | None = None) -> None:
        import openvino as ov

        core = ov.Core()
        capable = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if precision == "bf16" and not capable:
            raise ModelError("this processor does not compute in bf16; use precision f32.")
        self.precision = precision or ("bf16" if capable else "f32")
        self._compiled = self._cached(model, core)
        self._lock = threading.Lock()

    def __call__(self, reflectance: np.ndarray) -> np.ndarray:
        """Probabilities; see :class:`Engine`. One call runs at a time."""
        with self._lock:
            return _in_parts(self._run, reflectance)

    def _run(self, batch: np.ndarray) -> np.ndarray:
        result: np.ndarray = self._compiled(np.ascontiguousarray(batch))[0]
        return result

    def _cached(self, model: Model, core: openvino.Core) -> openvino.CompiledModel:
        """The compiled graph from the cache, or compiled and put there."""
        import openvino as ov

        options = {
            "INFERENCE_PRECISION_HINT": self.precision,
            "INFERENCE_NUM_THREADS": available_cpus(),
            # Each process would pin its threads to the first processors, and several share those.
            "ENABLE_CPU_PINNING": False,
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
        }
        weights_path(model)  # verified, whether or not the cache holds the graph
        check_allowed(model)
        processor = core.get_property("CPU", "FULL_DEVICE_NAME")
        capabilities = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        network = (
            sha256_of(model), model.architecture, model.bands, model.channels, model.mean, model.std,
            model.classes, model.output, model.format,
        )  # fmt: skip
        parts = (network, options, GRAPH, ov.__version__, processor, sorted(capabilities))
        key = hashlib.sha256(repr(parts).encode()).hexdigest()[:24]
        path = cache_folder() / f"{model.name}-{self.precision}-{key}.blob"
        try:
            found = core.import_model(io.BytesIO(_read_checked(path)), "CPU", options)
            with contextlib.suppress(OSError):
                # Unlike touch(), it makes no empty file of one that was just deleted.
                os.utime(path)
            return found
        except (OSError, RuntimeError):
            # Not there, or cut off, or another build's: as good as not there.
            compiled = _compile(model, core, options)
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            _prune(path.parent)
            with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
                _write_checked(file, compiled.export_model().getvalue())
            Path(file.name).replace(path)
        return compiled


def _write_checked(file: IO[bytes], content: bytes) -> None:
    """Behind its checksum: OpenVINO takes a compiled network with a hole in it for whole, and gives wrong answers."""
    file.write(hashlib.sha1(content, usedforsecurity=False).digest())
    file.write(content)


def _read_checked(path: Path) -> bytes:
    """What was written; an error of the system if it is not that any more."""
    with path.open("rb") as file:
        checksum, content = file.read(hashlib.sha1().digest_size), file.read()
    if hashlib.sha1(content, usedforsecurity=False).digest() != checksum:
        raise OSError(f"{path} is damaged")
    return content


def _prune(folder: Path) -> None:
    """Delete the compiled networks that have long not been used."""
    for path in (*folder.glob("*.blob"), *folder.glob("*.part")):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > UNUSED:
                path.unlink()


def _compile(
    model: Model, core: openvino.Core, options: dict[str, object]
) -> openvino.CompiledModel:
    graph = openvino_graph(model, core)
    try:
        compiled = core.compile_model(graph, "CPU", options)
    except RuntimeError as error:
        raise ModelError(
            f"model {model.name}: OpenVINO cannot compile the network: {error}"
        ) from error
    check_answers(model, lambda batch: compiled(batch)[0])
    return compiled


def cache_folder() -> Path:
    """Where compiled networks are kept: ``CLEANSAT_CACHE``, or the user's cache folder.

    It may be read-only, or missing: then networks are compiled each time, in about a second.
    """
    if folder := os.environ.get("CLEANSAT_CACHE"):
        return Path(folder)
    import platformdirs

    return platformdirs.user_cache_path("odc-cleansat")


def _in_parts(run: Callable[[np.ndarray], np.ndarray], batch: np.ndarray) -> np.ndarray:
    """Run a batch; if memory does not suffice, in halves, down to single windows.

    Raises
    ------
    EngineError
        If it does not suffice for one window.
    """
    try:
        return run(batch)
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and not _OUT_OF_MEMORY.search(str(error)):
            raise
        if len(batch) == 1:
            height, width = batch.shape[2:]
            raise EngineError(
                f"memory does not suffice for a window of {height} x {width} pixels; "
                "free some, or use a model whose tiling is finer."
            ) from error
    middle = len(batch) // 2
    return np.concatenate([_in_parts(run, batch[:middle]), _in_parts(run, batch[middle:])])


_OUT_OF_MEMORY = re.compile(
    r"out of memory|bad[ _]alloc|can't allocate|failed to allocate", re.IGNORECASE
)


class TorchEngine:
    """The reference: the network in PyTorch, on CUDA where there is a device."""

    name = "torch"

    def __init__(self, model: Model, precision: str | None = None) -> None:
        import torch

        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        cuda = self._device.type == "cuda"
        half = cuda and torch.cuda.is_bf16_supported(including_emulation=False)
        self.precision = precision or ("bf16" if half else "f32")
        if not cuda:
            torch.set_num_threads(available_cpus())
        network = torch_network(model)
        self._network = network.to(self._device, memory_format=torch.channels_last)
        self._mean, self._std = (
            torch.tensor(values, device=self._device).reshape(1, -1, 1, 1)
            for values in (model.mean, model.std)
        )
        self._logits = model.output == "logits"
        self._need = BYTES_PER_PIXEL
        self._lock = threading.Lock()
        if self._logits:
            self._check_logits(model)
        check_answers(model, self)

    def _check_logits(self, model: Model) -> None:
        """Refuse a network that ends in a softmax: a second one would make it unsure of everything."""
        answer = self._raw(_noise(model)).cpu().numpy()
        if answer.min() >= 0 and np.abs(answer.sum(axis=1) - 1).max() < 0.02:
            raise ModelError(
                f"model {model.name}: the network ends in a softmax; say output: probabilities in its document."
            )

    def __call__(self, reflectance: np.ndarray) -> np.ndarray:
        """Probabilities; see :class:`Engine`. One call runs at a time."""
        with self._lock:
            step = self._fitting(reflectance)
            parts = [reflectance[i : i + step] for i in range(0, len(reflectance), step)]
            return np.concatenate([_in_parts(self._run, part) for part in parts])

    def _fitting(self, reflectance: np.ndarray) -> int:
        """How many windows the free memory of the device should suffice for."""
        import torch

        if self._device.type == "cpu":
            return max(1, len(reflectance))
        free, _ = torch.cuda.mem_get_info(self._device)
        # What torch has taken and does not use is free to it.
        free += torch.cuda.memory_reserved(self._device) - torch.cuda.memory_allocated(self._device)
        height, width = reflectance.shape[2:]
        return max(1, min(len(reflectance), int(0.8 * free / (self._need * height * width))))

    def _run(self, reflectance: np.ndarray) -> np.ndarray:
        with self._measured(reflectance):
            answer = self._raw(reflectance)
            if self._logits:
                answer = answer.softmax(dim=1)
            result: np.ndarray = answer.cpu().numpy()
            return result

    def _raw(self, reflectance: np.ndarray) -> torch.Tensor:
        """What the network says, on its device."""
        import torch

        half = self.precision == "bf16"
        with torch.inference_mode():
            batch = torch.from_numpy(np.ascontiguousarray(reflectance)).to(self._device)
            batch = ((batch - self._mean) / self._std).to(memory_format=torch.channels_last)
            with torch.autocast(self._device.type, torch.bfloat16, half):
                answer: torch.Tensor = self._network(batch).float()
            return answer

    @contextlib.contextmanager
    def _measured(self, reflectance: np.ndarray) -> Iterator[None]:
        """Learn from what a batch took of the device's memory how much the next will take."""
        import torch

        if self._device.type == "cpu":
            yield
            return
        torch.cuda.reset_peak_memory_stats(self._device)
        before = torch.cuda.memory_allocated(self._device)
        yield
        taken = torch.cuda.max_memory_allocated(self._device) - before
        count, _, height, width = reflectance.shape
        if height * width >= _LARGE:  # on small windows what is taken once for all would count
            self._need = max(1.0, taken / (count * height * width))


class EnsembleEngine:
    """The mean probability of several models, each run by an engine of its own."""

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
        """Probabilities; see :class:`Engine`."""
        total = np.float32(0)
        for engine, bands, classes in self._members:
            total = total + engine(reflectance[:, bands])[:, classes]
        mean: np.ndarray = total / np.float32(len(self._members))
        return mean


def check_answers(model: Model, run: Callable[[np.ndarray], np.ndarray]) -> None:
    """Try a network on noise, and refuse it if it does not give probabilities.

    Raises
    ------
    ModelError
        Saying what it gives.
    """
    answer = run(_noise(model))
    if answer.shape != (wanted := (1, len(model.classes), *PROBE[1:])):
        raise ModelError(
            f"model {model.name}: the network gives an array of the shape {answer.shape}, not {wanted}: one "
            f"channel for each of its classes ({', '.join(c.label for c in model.classes)})."
        )
    if not np.isfinite(answer).all():
        raise ModelError(
            f"model {model.name}: the network gives values that are not finite; its weights are spoilt, or "
            "too large for this precision."
        )
    if answer.min() < -0.001 or np.abs(answer.sum(axis=1) - 1).max() > 0.02:
        raise ModelError(
            f"model {model.name}: what the network gives are no probabilities, which add up to 1; if it has "
            "no softmax at its end, say output: logits in its document."
        )


def _noise(model: Model) -> np.ndarray:
    """Reflectance to try a network on."""
    noise = np.random.default_rng(0).uniform(0, 0.6, (1, len(model.bands), *PROBE[1:]))
    return noise.astype("float32")
