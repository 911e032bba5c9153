"""How fast a session of a training was, and what the time went into."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .run_folder import replacing

FILE = "speed.json"
"""Name of the file with the figures, in the folder of a run."""


class Stopwatch:
    """Adds up the seconds of the parts of a step."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.steps = 0

    @contextmanager
    def measure(self, part: str) -> Iterator[None]:
        """Add the time of this context to a part."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[part] += time.perf_counter() - begun

    def figures(self) -> dict[str, float]:
        """Return steps, seconds, steps a second, and the share of each part, 0 to 1."""
        total = sum(self.seconds.values())
        shares = {
            f"share of {part}": round(s / total, 3) for part, s in self.seconds.items() if total
        }
        pace = round(self.steps / total, 3) if total else 0.0
        return {"steps": self.steps, "seconds": round(total, 1), "steps a second": pace, **shares}


def write_speed(folder: Path, watch: Stopwatch, step: int, device: str, workers: int) -> str:
    """Write the figures of a session into the folder of a run, and return them as one line for people.

    Parameters
    ----------
    folder
        Folder of the run.
    watch
        Has measured the session.
    step
        Number of steps of the whole run.
    device
        ``cpu`` or ``cuda``. For ``cuda``, the name of the device and the memory that torch has taken of it, GB, are
        written too.
    workers
        Number of threads or processes that drew tiles.
    """
    figures: dict[str, object] = {
        "device": device,
        "workers": workers,
        "step": step,
        **watch.figures(),
    }
    if device == "cuda":
        import torch

        figures["device"] = torch.cuda.get_device_name()
        figures["GPU memory, GB"] = round(torch.cuda.memory_reserved() / 1e9, 2)
    with replacing(folder / FILE) as file:
        file.write(json.dumps(figures, indent=1).encode() + b"\n")
    return ", ".join(f"{name} {value}" for name, value in figures.items())
