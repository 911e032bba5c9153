"""Time the first mask of a scene that a server has: a process that begins, from the address of a STAC item to a mask.

    python benchmarks/first_mask.py [--scene FOLDER] [--times 3]

The files are COGs on a server of this machine, which answers requests for ranges. By default they are those of a simulated
scene of 20 km; `benchmarks/tile.py` makes those of a whole tile.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from odc_cleansat.synthetic.scene import SimulatedScene

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from stac_server import StacServer, serving, write_item


def masked(address: str, store: Path) -> tuple[float, float]:
    """Mask the scene of an item by a command; return how long it took, and the seconds of the processor."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    code = "from odc_cleansat.cli.main import main; main()"
    command = [sys.executable, "-c", code, "mask", address, "-o", str(store)]
    subprocess.run(command, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    worked = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - begun, worked


def main() -> None:
    """Serve a scene, and mask it a few times, each time into a new store."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--scene", type=Path, help="a folder of COGs, named B02.tif and so on")
    options.add_argument("--times", type=int, default=3)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as temporary, serving(StacServer()) as server:
        work = Path(temporary)
        bands = given.scene or SimulatedScene(shape=(2004, 2004)).write(work / "simulated")
        served = work / "served"
        served.mkdir()
        for file in bands.glob("*.tif"):
            (served / file.name).symlink_to(file.resolve())
        write_item(served / "item.json", served)
        server.folders["served"] = served
        for i in range(given.times):
            seconds, worked = masked(f"{server.url}/served/item.json", work / f"masks-{i}")
            print(f"{seconds:.1f} s, processor {worked:.1f} s", flush=True)


if __name__ == "__main__":
    main()
