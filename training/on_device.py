"""Train from a bundle on a machine that reaches nothing: `python train.py [--minutes 9] [--out out]`.

Written by training/bundle.py. The same command goes on where the last one ended. It leaves in the folder `out`:

  NAME.yaml, NAME.safetensors   the model, for `cleansat models import`
  checkpoint.pt, progress.csv   from which it goes on, and its course
  speed.json, figures.json      the speed of the training, and of masks on the GPU
  log.txt                       what was said
  results.tar                   all but the checkpoint, to be taken home
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tarfile
import threading
import time
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).resolve().parent
CODE = HERE / "code"
ALSO = CODE / "also"
BUILTIN = CODE / "odc_cleansat" / "models" / "builtin"

NEEDED = (
    "torch", "torchvision", "numpy", "scipy", "PIL", "matplotlib", "yaml", "safetensors", "onnx",
    "huggingface_hub",
)  # fmt: skip
"""Modules that the machine must have of its own. For others, the bundle has copies."""

FOR_CHECKS = 75.0
"""Seconds that are kept for the checks of a GPU."""

FOR_EXPORT = 10.0
"""Seconds that are kept for writing the model."""

MANY = 10_000_000
"""Steps of a run whose pace is not known yet."""

COMMAND = f"import sys; sys.path.append({str(ALSO)!r}); from odc_cleansat.cli import main; main()"
"""Copies of packages come last, so that those of the machine are taken where there are some."""


def main() -> int:
    begun = time.monotonic()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=9, help="for all, the checks included")
    parser.add_argument("--out", type=Path, default=HERE / "out")
    parser.add_argument("--no-checks", action="store_true", help="do not look at the GPU's speed")
    options = parser.parse_args()
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        print(f"this machine lacks {', '.join(missing)}; a bundle cannot carry them.")
        return 1
    unpack()
    out: Path = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    checks = not options.no_checks and has_gpu()
    end = begun + 60 * options.minutes - (FOR_CHECKS if checks else 0) - FOR_EXPORT
    with (out / "log.txt").open("a") as log:
        code = train(out, begun, end, log)
        if checks:
            check(out, log, begun + 60 * options.minutes)
    pack(out)
    return code


def unpack() -> None:
    """Unpack the code and the weights, once."""
    if not CODE.exists():
        with tarfile.open(HERE / "code.tar.xz") as archive:
            archive.extractall(HERE, filter="data")
    sys.path.insert(0, str(CODE))
    from safetensors.numpy import save_file

    from odc_cleansat.training.packing import read_packed_weights

    for path in (HERE / "weights").glob("*.xz"):
        weights = BUILTIN / f"{path.stem}.safetensors"
        if not weights.exists():
            save_file(read_packed_weights(path), weights)


def has_gpu() -> bool:
    import torch

    return bool(torch.cuda.is_available())


def train(out: Path, begun: float, end: float, log) -> int:
    """Train until the end, seconds of the clock; return the exit code.

    The learning rate falls in the last steps, so their number is chosen by the pace of a first session.
    """
    speed = out / "speed.json"
    starting = 0.0
    if not speed.exists():
        code = session(out, MANY, 0.12 * (end - begun), log)
        if code or not speed.exists():
            return code
        starting = time.monotonic() - begun - json.loads(speed.read_text())["seconds"]
    known = json.loads(speed.read_text())
    left = end - time.monotonic() - starting
    steps = int(known["step"] + 0.9 * left * known["steps a second"])
    if steps <= known["step"]:
        log_line(log, "There is no time left for more steps; give more --minutes.")
        return 0
    return session(out, steps, left, log)


def session(out: Path, steps: int, seconds: float, log) -> int:
    """Run `cleansat train` for some steps or seconds, whichever are over first."""
    return run(
        [
            sys.executable, "-c", COMMAND, "train", str(HERE / "recipe.yaml"), "--data", str(HERE),
            "--out", str(out), "--steps", str(steps), "--hours", f"{max(seconds, 1) / 3600:.6f}",
        ],
        log,
    )  # fmt: skip


def check(out: Path, log, end: float) -> None:
    """Measure and test the GPU. Whatever happens, the training is done."""
    models = sorted(out.glob("*.safetensors"))
    document = str(models[0].with_suffix(".yaml")) if models else ""
    limit = max(20.0, end - time.monotonic())
    run([sys.executable, str(CODE / "cuda.py"), "--also", str(ALSO), "--model", document,
         "--out", str(out / "figures.json")], log, limit)  # fmt: skip


def run(command: list[str], log, limit: float | None = None) -> int:
    """Run a command, print what it says, and write it to the log."""
    path = os.pathsep.join(filter(None, (str(CODE), os.environ.get("PYTHONPATH"))))
    more = {
        "PYTHONPATH": path,
        "CLEANSAT_OFFLINE": "1",
        "HF_HUB_OFFLINE": "1",
        "PYTHONUNBUFFERED": "1",
    }
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=HERE,
        env={**os.environ, **more},
    ) as child:  # fmt: skip
        timer = threading.Timer(limit or 86400, child.kill)
        timer.start()
        for line in child.stdout:
            log_line(log, line.rstrip())
        code = child.wait()
        timer.cancel()
    if code:
        log_line(log, f"ended with {code}: {' '.join(command[:4])} ...")
    return code


def log_line(log, line: str) -> None:
    print(line, flush=True)
    log.write(line + "\n")
    log.flush()


def pack(out: Path) -> None:
    """Write all small files of the run as one."""
    with tarfile.open(out / "results.tar", "w") as archive:
        for path in sorted(out.iterdir()):
            if path.is_file() and path.name not in ("checkpoint.pt", "results.tar", ".lock"):
                archive.add(path, path.name)


if __name__ == "__main__":
    sys.exit(main())
