"""The engine for processors: OpenVINO, with a cache of compiled networks on disk."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import stat
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakSet

import numpy as np

from ..errors import ModelError, OutputError
from ..settings import setting
from ..storage.atomic import write_file
from ..threads import available_cpus, no_fork, watched
from .inference import check_answers, current_check, normalised_by_window, run_in_parts
from .model import Model
from .openvino_graph import openvino_graph
from .torchscript import check_allowed
from .weights import sha256_of, weights_path

if TYPE_CHECKING:
    import openvino

# OpenVINO reports to its makers over the network that it was imported, but not without this package of theirs.
# No mask needs the network, and nobody has asked the user.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

_GRAPH_VERSION = 4
"""Number to raise when the graph of a model changes, so that graphs in the cache are not used any more."""

_HEADER = b"odc-cleansat: a compiled network\n"
"""Beginning of the files in the cache."""

_BLOB = re.compile(r"-[a-z0-9]+-[0-9a-f]{24}\.blob$")
"""End of their names."""

_LOOK_EVERY = 50
"""Milliseconds between two looks whether a run is to be broken off."""

_UNUSED = 90 * 86400.0
"""Seconds without use after which a compiled network is deleted from the cache."""


class OpenVINOEngine:
    """Runs a network on the processor. Normalisation and softmax are part of the compiled graph.

    The compiled graph is kept in :func:`cache_folder`, if that can be written.
    """

    name = "openvino"

    def __init__(self, model: Model, precision: str | None = None) -> None:
        import openvino as ov

        core = ov.Core()
        capable = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if precision == "bf16" and not capable:
            raise ModelError("this processor does not compute in bf16; use precision f32.")
        self.precision = precision or ("bf16" if capable else "f32")
        self._compiled = _compiled_network(model, self.precision, core)
        self._by_window = model.normalisation == "window"
        self._request = self._compiled.create_infer_request()
        self._lock = threading.Lock()
        _ENGINES.add(self)

    def __call__(self, reflectance: np.ndarray) -> np.ndarray:
        """Return probabilities, ``(N, K, H, W)`` float32. One call runs at a time."""
        if self._by_window:
            reflectance = normalised_by_window(reflectance)
        with no_fork(), self._lock:
            return watched(partial(run_in_parts, self._run, reflectance))

    def release_memory(self) -> None:
        """Give back what the network computes in, some hundred MB for a large window; it is taken anew when it runs."""
        with self._lock:
            # Else it would hold the pixels and the answer of the last window.
            self._request = self._compiled.create_infer_request()
            self._compiled.release_memory()

    def _run(self, batch: np.ndarray) -> np.ndarray:
        check = current_check()
        batch = np.ascontiguousarray(batch)  # or OpenVINO would copy it
        if check is None:
            result: np.ndarray = self._compiled(batch, share_inputs=True)[0]
            return result
        check()
        request = self._request
        request.start_async([batch], share_inputs=True)
        try:
            while not request.wait_for(_LOOK_EVERY):
                check()
        except BaseException:
            request.cancel()
            with contextlib.suppress(RuntimeError):  # it says that it was cancelled
                request.wait()
            raise
        return np.array(request.get_output_tensor(0).data)


_ENGINES: WeakSet[OpenVINOEngine] = WeakSet()

if hasattr(os, "register_at_fork"):
    # The threads of these are left behind in the parent.
    os.register_at_fork(after_in_child=_ENGINES.clear)


def release_memory() -> None:
    """Let all engines of this process give back what their networks compute in."""
    for engine in list(_ENGINES):
        engine.release_memory()


def cache_folder() -> Path:
    """Return the folder of compiled networks: the setting ``cache``, or the user's cache folder.

    It may be missing or read-only. Networks are then compiled each time, which takes about a second.
    """
    if folder := setting("cache"):
        return Path(folder).expanduser()
    import platformdirs

    return platformdirs.user_cache_path("odc-cleansat")


def _compiled_network(model: Model, precision: str, core: openvino.Core) -> openvino.CompiledModel:
    """Return the compiled network from the cache, or compile it and put it there."""
    options = {
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": available_cpus(),
        # With pinning, several processes would all use the first processors.
        "ENABLE_CPU_PINNING": False,
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
    }
    # Both checks come first, because the cache may hold the network of weights that are not trusted any more.
    weights_path(model)
    check_allowed(model)
    path = cache_folder() / f"{model.name}-{precision}-{_cache_key(model, options, core)}.blob"
    try:
        found = core.import_model(io.BytesIO(_read_checked(path)), "CPU", options)
    except (OSError, RuntimeError):
        # The file is missing, damaged, or of another build of OpenVINO.
        compiled = _compile(model, core, options)
        _keep(compiled, path)
        return compiled
    with contextlib.suppress(OSError):
        # Unlike touch(), it makes no empty file of one that another process has just deleted.
        os.utime(path)
    return found


def _cache_key(model: Model, options: dict[str, object], core: openvino.Core) -> str:
    """Return a checksum of all that a compiled network depends on."""
    import openvino as ov

    network = (
        sha256_of(model), model.architecture, model.bands, model.channels, model.mean, model.std,
        model.classes, model.output, model.format,
    )  # fmt: skip
    processor = core.get_property("CPU", "FULL_DEVICE_NAME")
    capabilities = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    parts = (network, options, _GRAPH_VERSION, ov.__version__, processor, sorted(capabilities))
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:24]


def _compile(
    model: Model, core: openvino.Core, options: dict[str, object]
) -> openvino.CompiledModel:
    graph, expected = openvino_graph(model, core)
    try:
        compiled = core.compile_model(graph, "CPU", options)
    except RuntimeError as error:
        raise ModelError(
            f"model {model.name}: OpenVINO cannot compile the network: {error}"
        ) from error
    check_answers(model, lambda batch: compiled(batch)[0], expected)
    return compiled


def _keep(compiled: openvino.CompiledModel, path: Path) -> None:
    """Write a compiled network into the cache, and delete what has long not been used."""
    with contextlib.suppress(OSError, OutputError):
        path.parent.mkdir(parents=True, exist_ok=True)
        _delete_unused(path.parent)
        content = compiled.export_model().getvalue()
        # OpenVINO would load a damaged network and give wrong answers, so a checksum stands before it.
        checksum = hashlib.sha1(content, usedforsecurity=False).digest()
        write_file(path, _HEADER + checksum + content)


def _read_checked(path: Path) -> bytes:
    """Return a compiled network as it was written; raise OSError if it is missing or damaged."""
    with path.open("rb") as file:
        header = file.read(len(_HEADER))
        checksum, content = file.read(hashlib.sha1().digest_size), file.read()
    if header != _HEADER or hashlib.sha1(content, usedforsecurity=False).digest() != checksum:
        raise OSError(f"{path} is damaged")
    return content


def _delete_unused(folder: Path) -> None:
    """Delete networks that nobody uses. What has another name, or not our header, is another's and stays."""
    for path in folder.glob("*.blob"):
        with contextlib.suppress(OSError):
            status = path.lstat()
            if time.time() - status.st_mtime > _UNUSED and stat.S_ISREG(status.st_mode):
                with path.open("rb") as file:
                    ours = _BLOB.search(path.name) and file.read(len(_HEADER)) == _HEADER
                if ours:
                    path.unlink()
