"""Compute how many scenes machines mask in an hour, and what that costs.

Run ``python deploy/capacity.py --scenes 100000 --hours 24``. ``capacity.toml`` beside it has the assumptions; ``--file``
names another. docs/capacity.md shows what it prints.
"""

from __future__ import annotations

import argparse
import math
import tomllib
from pathlib import Path
from typing import Any

ASSUMPTIONS = Path(__file__).with_name("capacity.toml")
WORKER_GB = 3.5
"""Memory of a worker: a whole tile takes 2.9 GB."""


def workers(machine: dict[str, Any]) -> int:
    """Return how many scenes a machine masks at a time."""
    return max(1, min(machine["processors"] // 2, int(machine["memory"] // WORKER_GB)))


def tiles_an_hour(machine: dict[str, Any], known: dict[str, Any]) -> float:
    """Return how many tiles a machine masks in an hour."""
    speed, millions = known["speed"], known["tile"]["pixels"] / 1e6
    beside = speed["other"] + speed["store"]
    if "pixels" in machine:  # one device computes for all workers, while these read and write
        device = millions / machine["pixels"]
        return float(3600 / max(device, beside / (workers(machine) * speed["together"])))
    seconds = millions / speed[machine["speed"]] + beside
    together = speed["together"] if workers(machine) > 1 else 1.0
    return float(3600 / seconds * workers(machine) * together)


def other_dollars(known: dict[str, Any]) -> float:
    """Return what requests cost for 1,000 tiles, and storage of their masks for a month, in dollars."""
    tile, prices = known["tile"], known["prices"]
    requests = tile["reads"] * prices["read_1000"] + tile["writes"] * prices["write_1000"]
    return float(requests + tile["mask_mb"] * prices["storage"])


def machine_table(known: dict[str, Any], scenes: int, hours: float) -> str:
    """Return the table of machines in Markdown."""
    spot, area = known["prices"]["spot"], known["tile"]["area"]
    lines = [
        "| machine | tiles an hour | of a processor | dollars for 1,000 tiles, on demand | on spot machines | "
        f"dollars for 1,000,000 km2, on demand | machines for {scenes:,} tiles in {hours:g} h |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, machine in known["machines"].items():
        rate = tiles_an_hour(machine, known)
        dollars = 1000 / rate * machine["dollars"]
        region = dollars * 1e6 / area / 1000
        count = math.ceil(scenes / rate / hours)
        lines.append(
            f"| `{name}` | {rate:.0f} | {rate / machine['processors']:.0f} | {dollars:.2f} | {dollars * spot:.2f} | "
            f"{region:.2f} | {count} |"
        )
    return "\n".join(lines)


def assumption_table(known: dict[str, Any]) -> str:
    """Return the table of assumptions in Markdown."""
    tile, speed, prices = known["tile"], known["speed"], known["prices"]
    lines = [
        "| what | value | ground |", "|---|---|---|",
        f"| pixels of a tile | {tile['pixels'] / 1e6:.1f} million | 110 km at 30 m, as the network sees it |",
        f"| area that a tile adds | {tile['area']:,} km2 | tiles overlap |",
        f"| network, two processors | {speed['bf16']} million pixels a second in bf16, {speed['f32']} in f32 | measured with the default, by seconds of processors |",
        f"| beside the network | {speed['other']:g} s a tile | measured with files on the machine, by seconds of processors that did nothing else |",
        f"| scenes and masks in a bucket | {speed['store']:g} s a tile more | assumed |",
        f"| workers side by side | {speed['together']:.0%} of their sum | measured for two |",
        f"| prices | of {prices['date']} | {prices['source']} |",
        f"| spot machines | {prices['spot']:.0%} of the price | assumed |",
        f"| requests, and masks for a month | {other_dollars(known):.2f} dollars for 1,000 tiles, in addition | "
        f"{tile['reads']} reads, {tile['writes']} files, {tile['mask_mb']} MB a mask assumed |",
    ]  # fmt: skip
    for name, machine in known["machines"].items():
        pace = (
            f"{machine['pixels']:g} million pixels a second"
            if "pixels" in machine
            else machine["speed"]
        )
        lines.append(
            f"| `{name}` | {workers(machine)} workers, {machine['dollars']} dollars an hour, {pace} | {machine['ground']} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=100_000, help="whole tiles")
    parser.add_argument("--hours", type=float, default=24.0, help="in which they are to be masked")
    parser.add_argument("--file", type=Path, default=ASSUMPTIONS, help="assumptions")
    asked = parser.parse_args()
    known = tomllib.loads(asked.file.read_text("utf-8"))
    print(machine_table(known, asked.scenes, asked.hours))
    print()
    print(assumption_table(known))


if __name__ == "__main__":
    main()
