"""What a CUDA device computes and how fast: `python benchmarks/cuda.py --out figures.json`.

First come the tests for CUDA. Then networks of two sizes, with random weights, take 2048 x 2048 pixels in batches, with
the data on the device. Last a model with its weights goes from array to array.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

NETWORKS = ("unet-mobilenetv2-l2a-thin", "unet-efficientnetb4-l2a-6b")
PRECISIONS = {"f32": None, "bf16": torch.bfloat16, "f16": torch.float16}
HERE = Path(__file__).resolve().parent
TESTS = (HERE / "test_cuda.py", HERE.parent / "tests/unit/models/test_cuda.py")
"""In a bundle of training/bundle.py, and in the repository."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--model", default="", help="document of a model with weights; default: that of masks"
    )
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    parser.add_argument("--also", default="", help="folder of further packages")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    sys.path += [options.also] if options.also else []
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.exit(1, "there is no CUDA device that torch can use\n")
    figures: dict[str, Any] = {"torch": torch.__version__, "device": options.device}
    if options.device == "cuda":
        total = torch.cuda.mem_get_info()[1]
        figures |= {"device": torch.cuda.get_device_name(), "memory, GB": round(total / 1e9, 1)}
    parts = {
        "tests": lambda: tests(options.model, options.also),
        "networks": lambda: [
            row
            for name in options.networks
            for row in speeds(name, options.device, options.size, options.runs)
        ],
        "array to array": lambda: whole(options.model, options.size, options.runs),
    }
    for name, measure in parts.items():
        try:
            figures[name] = measure()
        except Exception as error:  # the other figures are still worth having
            figures[name] = f"{type(error).__name__}: {error}"
        # Written after each part, for the time may be over.
        options.out.write_text(json.dumps(figures, indent=1) + "\n")
        print(name, json.dumps(figures[name]))


def tests(model: str, also: str) -> dict[str, Any]:
    """Run the tests for CUDA, without what other tests need."""
    path = next(each for each in TESTS if each.exists())
    more = {"CLEANSAT_TESTED": model} if model else {}
    packages = os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), also)))
    command = [
        sys.executable, "-m", "pytest", "--noconftest", "-c", os.devnull, "--rootdir", str(path.parent),
        "-p", "no:cacheprovider", "-W", "ignore", "-q", "-rs", str(path),
    ]  # fmt: skip
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **more, "PYTHONPATH": packages}
    )
    return {"exit code": done.returncode, "said": (done.stdout + done.stderr).splitlines()[-12:]}


def speeds(name: str, device: str, size: int, runs: int) -> list[dict[str, Any]]:
    """Return the speed of a network in each precision and batch."""
    from odc_cleansat import get_model
    from odc_cleansat.models.networks import build_network

    model = get_model(name)
    network = build_network(model).eval().to(device, memory_format=torch.channels_last)
    rows = []
    for precision, dtype in PRECISIONS.items():
        for batch in (1, 4):
            row = {"network": name, "precision": precision, "batch": batch}
            try:
                rows.append(
                    row | timed(network, (batch, len(model.bands), size, size), device, dtype, runs)
                )
            except torch.OutOfMemoryError:
                rows.append({**row, "Mpx/s": "out of memory"})
    return rows


def timed(
    network: torch.nn.Module,
    shape: tuple[int, ...],
    device: str,
    dtype: torch.dtype | None,
    runs: int,
) -> dict[str, float]:
    cuda = device == "cuda"
    batch = torch.rand(shape, device=device).to(memory_format=torch.channels_last)
    if cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    taken = []
    with torch.inference_mode(), torch.autocast(device, dtype or torch.bfloat16, dtype is not None):
        for _ in range(runs + 1):
            begun = time.perf_counter()
            network(batch).float().softmax(dim=1)
            if cuda:
                torch.cuda.synchronize()
            taken.append(time.perf_counter() - begun)
    pixels = shape[0] * shape[2] * shape[3]
    found = {"Mpx/s": round(pixels / float(np.median(taken[1:])) / 1e6, 2)}
    if cuda:
        found["memory, GB"] = round(torch.cuda.max_memory_allocated() / 1e9, 2)
    return found


def whole(document: str, size: int, runs: int) -> dict[str, Any]:
    """Return the speed of a model from an array of reflectance to an array of probabilities."""
    from odc_cleansat import get_model
    from odc_cleansat.models.registry import read_model
    from odc_cleansat.models.torch_engine import TorchEngine

    model = read_model(document) if document else get_model()
    engine = TorchEngine(model)
    pixels = np.random.default_rng(0).uniform(0, 0.5, (1, len(model.bands), size, size))
    taken = []
    for _ in range(runs + 1):
        begun = time.perf_counter()
        engine(pixels.astype("float32"))
        taken.append(time.perf_counter() - begun)
    speed = size**2 / float(np.median(taken[1:])) / 1e6
    return {"model": model.name, "precision": engine.precision, "Mpx/s": round(speed, 2)}


if __name__ == "__main__":
    main()
