"""Engines: the two ways to run a network. The only module that imports torch or openvino."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import tempfile
import threading
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from .errors import EngineError, ModelError
from .models import Model, read_onnx, read_state_dict, weights_path

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

GRAPH = 2
"""Raised when the graph that is compiled for a model changes, so that old ones are not taken from the cache."""


def get_engine(model: Model, name: str | None = None, precision: str | None = None) -> Engine:
    """The engine for a model, loaded once per process.

    Parameters
    ----------
    model
        The network to run.
    name
        ``openvino`` or ``torch``. By default torch where it finds a CUDA device, else OpenVINO.
    precision
        ``bf16`` or ``f32``. By default bf16 where the processor computes in it, which is
        about twice as fast and gives 99.9 % of the same classes.

    Raises
    ------
    ModelError
        For an unknown engine or precision, or unreadable weights.
    """
    check_engine(name, precision)
    with _LOCK:
        # The process id is part of the key: a forked child must not use its parent's threads.
        return _load(model, name or _default_engine(), precision, os.getpid())


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


@lru_cache(maxsize=8)
def _load(model: Model, name: str, precision: str | None, pid: int) -> Engine:
    return OpenVINOEngine(model, precision) if name == "openvino" else TorchEngine(model, precision)


@lru_cache(maxsize=1)
def _default_engine() -> str:
    # Importing torch takes seconds, so ask only where an NVIDIA driver is loaded at all.
    if not Path("/proc/driver/nvidia").exists():
        return "openvino"
    import torch

    return "torch" if torch.cuda.is_available() else "openvino"


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
        processor = core.get_property("CPU", "FULL_DEVICE_NAME")
        capabilities = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        parts = (model, options, GRAPH, ov.__version__, processor, sorted(capabilities))
        key = hashlib.sha256(repr(parts).encode()).hexdigest()[:24]
        path = cache_folder() / f"{model.name}-{self.precision}-{key}.blob"
        try:
            return core.import_model(io.BytesIO(path.read_bytes()), "CPU", options)
        except (OSError, RuntimeError):
            # Not there, or cut off, or another build's: as good as not there.
            compiled = core.compile_model(_openvino_graph(model, core), "CPU", options)
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
                file.write(compiled.export_model().getvalue())
            Path(file.name).replace(path)
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


def _openvino_graph(model: Model, core: openvino.Core) -> openvino.Model:
    """``(x - mean) / std``, the network, softmax; any batch, height and width."""
    import openvino as ov
    from openvino import opset13 as ops

    network = core.read_model(read_onnx(model).SerializeToString(), b"")
    network.reshape([-1, len(model.bands), -1, -1])
    _fuse_upsampling(network)
    reflectance = ops.parameter([-1, len(model.bands), -1, -1], np.float32, name="reflectance")
    mean, std = (_per_channel(values) for values in (model.mean, model.std))
    normalised = ops.divide(ops.subtract(reflectance, mean), std)
    for target in network.inputs[0].get_target_inputs():
        target.replace_source_output(normalised.output(0))
    logits = network.outputs[0].get_node().input_value(0)
    return ov.Model([ops.softmax(logits, axis=1)], [reflectance], model.name)


def _fuse_upsampling(network: openvino.Model) -> None:
    """Turn "double the size, append the skip, convolve" into one transposed and one plain convolution.

    The result is the same but for rounding. A 3 x 3 kernel over pixels that are repeated twice adds
    up weights that meet the same pixel, so 4 x 4 weights at half the resolution do with 4/9 of the
    multiplications, and neither the doubled nor the joined tensor is ever written: a tenth less time.
    """
    from openvino import opset13 as ops

    # Row k of the 4 x 4 kernel is the sum of these rows of the 3 x 3 kernel.
    rows = np.array([[0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]], dtype="float32")
    for node in network.get_ordered_ops():
        if node.get_type_name() != "Convolution":
            continue
        source, skip = _uncast(node.input_value(0)), None
        if source.get_node().get_type_name() == "Concat":
            source, skip = (source.get_node().input_value(i) for i in (0, 1))
            source = _uncast(source)
        if source.get_node().get_type_name() != "Interpolate":
            continue
        small = _uncast(source.get_node().input_value(0))
        kernel = np.asarray(node.input_value(1).get_node().data, dtype="float32")
        channels = small.get_partial_shape()[1].get_length()
        transposed = np.einsum("ak,oikl,bl->ioab", rows, kernel[:, :channels], rows)
        result = ops.convolution_backprop_data(
            small,
            ops.constant(np.ascontiguousarray(transposed)),
            strides=[2, 2], pads_begin=[1, 1], pads_end=[1, 1], dilations=[1, 1],
        )  # fmt: skip
        if skip is not None:
            own = ops.constant(np.ascontiguousarray(kernel[:, channels:]))
            result = ops.add(result, ops.convolution(skip, own, [1, 1], [1, 1], [1, 1], [1, 1]))
        for target in node.output(0).get_target_inputs():
            target.replace_source_output(result.output(0))
    network.validate_nodes_and_infer_types()


def _uncast(value: openvino.Output) -> openvino.Output:
    """What a tensor was before casts between precisions, which mean nothing here."""
    while value.get_node().get_type_name() == "Convert":
        value = value.get_node().input_value(0)
    return value


class TorchEngine:
    """The reference: `segmentation_models_pytorch.Unet` in PyTorch, on CUDA where there is one."""

    name = "torch"

    def __init__(self, model: Model, precision: str | None = None) -> None:
        import torch

        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.precision = precision or ("bf16" if self._device.type == "cuda" else "f32")
        if self._device.type == "cpu":
            torch.set_num_threads(available_cpus())
        self._network = torch_network(model).to(self._device, memory_format=torch.channels_last)
        self._mean, self._std = (
            torch.from_numpy(_per_channel(values)).to(self._device)
            for values in (model.mean, model.std)
        )
        self._lock = threading.Lock()

    def __call__(self, reflectance: np.ndarray) -> np.ndarray:
        """Probabilities; see :class:`Engine`. One call runs at a time."""
        with self._lock:
            return _in_parts(self._run, reflectance)

    def _run(self, reflectance: np.ndarray) -> np.ndarray:
        import torch

        half = self.precision == "bf16"
        with torch.inference_mode(), torch.autocast(self._device.type, torch.bfloat16, half):
            batch = torch.from_numpy(np.ascontiguousarray(reflectance)).to(self._device)
            batch = ((batch - self._mean) / self._std).to(memory_format=torch.channels_last)
            result: np.ndarray = self._network(batch).float().softmax(dim=1).cpu().numpy()
            return result


def torch_network(model: Model) -> torch.nn.Module:
    """The model as an `smp.Unet` in evaluation mode: normalised reflectance in, logits out.

    Raises
    ------
    ModelError
        If the weights are not those of the architecture that the model names.
    """
    import segmentation_models_pytorch as smp
    import torch

    network = smp.Unet(
        model.encoder,
        encoder_weights=None,
        in_channels=len(model.bands),
        classes=len(model.classes),
    )
    weights: dict[str, Any] = {
        name: torch.from_numpy(values.copy()) for name, values in read_state_dict(model).items()
    }
    missing, unexpected = network.load_state_dict(weights, strict=False)
    # A UNet never calls the encoder's classification head, and exports leave out what is
    # never called; the counters only matter in training.
    unused = ("encoder._conv_head.", "encoder._bn1.")
    missing = [
        name
        for name in missing
        if not name.startswith(unused) and not name.endswith("num_batches_tracked")
    ]
    if missing or unexpected:
        raise ModelError(
            f"model {model.name}: the weights do not fit smp.Unet({model.encoder!r}); "
            f"missing {missing[:3]}, unexpected {unexpected[:3]}."
        )
    return network.eval()


def _per_channel(values: tuple[float, ...]) -> np.ndarray:
    return np.asarray(values, dtype="float32").reshape(1, -1, 1, 1)
