"""Processors, memory, and the engine that they give to the default model."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator
from pathlib import Path

from ..batch.cluster import SCENE_MEMORY, THREADS_VARIABLE
from ..settings import setting
from ..threads import available_cpus, available_memory
from .apart import ApartError, run_apart
from .finding import OK, WARNING, WRONG, Finding

TOPIC = "machine"

_FEATURES = {
    "avx2": "AVX2", "avx512f": "AVX-512", "avx512_bf16": "AVX-512 BF16", "amx_bf16": "AMX BF16",
    "asimd": "NEON", "sve": "SVE", "bf16": "BF16",
}  # fmt: skip
"""Flags in /proc/cpuinfo that matter for networks, and what people call them."""

_NVIDIA = Path("/proc/driver/nvidia")
_CPUINFO = Path("/proc/cpuinfo")

# As masks do it: the weights are verified, and the network is compiled and tried. Nothing is fetched.
_ENGINE = """
import json
from odc_cleansat.errors import CleansatError
try:
    from odc_cleansat.models.engines import get_engine
    from odc_cleansat.models.registry import get_model
    model = get_model()
    engine = get_engine(model)
    print(json.dumps({"model": model.name, "engine": engine.name, "precision": engine.precision}))
except CleansatError as error:
    print(json.dumps({"problem": str(error)}))
"""


def probe(seconds: float) -> Iterator[Finding]:
    """Look at processors, memory and engine.

    Parameters
    ----------
    seconds
        Most time to load the default model.
    """
    yield from _processors()
    yield _memory()
    yield from _engine(seconds)


def _processors() -> Iterator[Finding]:
    name, features = processor()
    count = available_cpus()
    asked = setting("threads") or ""
    by = f" by {THREADS_VARIABLE}" if asked.isdigit() else ""
    known = f" with {', '.join(features)}" if features else ""
    yield Finding(
        TOPIC, OK, f"{count} of {os.cpu_count()} processors may be used{by}: {name}{known}"
    )
    if asked and not asked.isdigit():
        yield Finding(
            TOPIC,
            WARNING,
            f"{THREADS_VARIABLE} is {asked!r}, which is no number, so it has no effect",
            f"Set {THREADS_VARIABLE} to a whole number, or remove it.",
        )
    if platform.machine() == "x86_64" and features and "AVX2" not in features:
        yield Finding(
            TOPIC,
            WARNING,
            "the processor has no AVX2, so masks take many times longer",
            "Use a newer machine; in a virtual machine, have it pass on the features of its host.",
        )


def processor() -> tuple[str, list[str]]:
    """Return the name of the processor, and its features that matter for networks."""
    try:
        text = _CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    name = re.search(r"^(?:model name|CPU part)\s*:\s*(.+)$", text, re.MULTILINE)
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", text, re.MULTILINE)
    there = set(flags[1].split()) if flags else set()
    features = [shown for flag, shown in _FEATURES.items() if flag in there]
    return (name[1].strip() if name else platform.machine() or "of an unknown kind"), features


def _memory() -> Finding:
    free = available_memory()
    if free >= SCENE_MEMORY:
        together = free // SCENE_MEMORY
        return Finding(
            TOPIC, OK, f"{free / 1e9:.1f} GB of memory are free: enough for {together} whole tiles at a time"
        )  # fmt: skip
    return Finding(
        TOPIC,
        WARNING,
        f"{free / 1e9:.1f} GB of memory are free, and a whole tile takes {SCENE_MEMORY / 1e9:.1f} GB",
        "Use a machine with more memory, end what else runs here, or raise the limit of the container.",
    )


def _engine(seconds: float) -> Iterator[Finding]:
    try:
        found = run_apart(_ENGINE, seconds, CLEANSAT_OFFLINE="1")
    except ApartError as error:
        found = {"problem": f"the default model cannot be loaded: {error}"}
    if problem := found.get("problem"):
        yield Finding(TOPIC, WRONG, problem, _engine_mend(problem))
        return
    engine, precision = found["engine"], found["precision"]
    yield Finding(
        TOPIC, OK, f"the default model, {found['model']}, runs with {engine} in {precision}"
    )
    if precision == "f32" and engine == "openvino":
        chosen = setting("precision") == "f32"
        if not chosen:
            yield Finding(
                TOPIC,
                OK,
                "the processor does not compute in bf16; one that does is about twice as fast",
            )
    if engine == "openvino" and _NVIDIA.exists():
        yield Finding(
            TOPIC,
            WARNING,
            "there is a driver of NVIDIA, but torch finds no device that it can use",
            "Run nvidia-smi, and install a build of torch for the CUDA that it shows.",
        )


def _engine_mend(problem: str) -> str:
    if "precision" in problem:
        return "Set CLEANSAT_PRECISION to bf16 or f32, or remove it."
    if "SIGILL" in problem:
        return "The processor lacks instructions that OpenVINO or numpy use; take a newer machine."
    if "ImportError" in problem or "ModuleNotFoundError" in problem:
        return "Run `cleansat doctor python`, which names the package to install again."
    if available_memory() < SCENE_MEMORY:
        return "Give it more memory: the limit of the container, or ulimit, is too low."
    if "within" in problem:
        return "See what keeps this machine busy, and try again."
    return "Run `cleansat models verify`, which names the file that is wrong."
