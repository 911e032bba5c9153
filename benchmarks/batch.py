"""Measure the batch engine: throughput, planning, resuming, memory of the client, and kills.

    python benchmarks/batch.py throughput planning memory
    python benchmarks/batch.py kills --kills 50

Everything happens in a temporary folder with an embedded Postgres and simulated scenes.
"""

from __future__ import annotations

import argparse
import copy
import os
import random
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import rasterio

from odc_cleansat.batch import Request, execute, plan
from odc_cleansat.batch.cluster import dask_client, work_through
from odc_cleansat.batch.survey import expected_mask_id, read_scenes
from odc_cleansat.cube.embedded import CONFIG_NAME, embedded_cube
from odc_cleansat.cube.index import add_dataset, add_product
from odc_cleansat.products.job import MaskJob
from odc_cleansat.products.product import MaskProduct
from odc_cleansat.scenes.band_folder import open_scene, write_scene_document
from odc_cleansat.scenes.files import local_path
from odc_cleansat.storage.eo3 import MASK_PRODUCT, product_definition
from odc_cleansat.synthetic.scene import SimulatedScene

CLEANSAT = Path(sys.executable).parent / "cleansat"


def add_scenes(dc: Any, folder: Path, count: int, size: int) -> None:
    for i in range(count):
        day = datetime(2024, 6, 1, 10, 10, 31, tzinfo=UTC) + timedelta(days=i)
        scene = SimulatedScene(shape=(size, size), seed=i, datetime=day.isoformat())
        path = scene.write(folder / "simulated" / f"{i:03d}")
        add_dataset(dc, write_scene_document(open_scene(path), folder / "scenes"))


def throughput(dc: Any, folder: Path, scenes: int, size: int, rounds: int) -> None:
    """Two workers of one thread each against one, in turns, on clusters that are warm."""
    add_scenes(dc, folder, scenes, size)
    rates: dict[int, list[float]] = {1: [], 2: []}
    os.environ["CLEANSAT_THREADS"] = "1"  # one each, also where there is but one worker
    with dask_client(1) as one, dask_client(2) as two:
        for turn in range(rounds + 1):
            for workers, client in ((1, one), (2, two)):
                seconds = execute_all(dc, folder / f"out{turn}-{workers}", client, scenes)
                if turn:  # the first loads the weights
                    rates[workers].append(3600 * scenes / seconds)
                    print(f"  {workers} workers: {rates[workers][-1]:.0f} an hour", flush=True)
    del os.environ["CLEANSAT_THREADS"]
    first, second = (statistics.median(rates[n]) for n in (1, 2))
    each = [b / a for a, b in zip(rates[1], rates[2], strict=True)]
    print(f"throughput: 1 worker {first:.0f}, 2 workers {second:.0f} scenes an hour; ratio of the medians "
          f"{second / first:.2f}, median of the ratios {statistics.median(each):.2f} "
          f"({', '.join(f'{r:.2f}' for r in each)})")  # fmt: skip


def execute_all(dc: Any, root: Path, client: Any, limit: int) -> float:
    found = plan(dc, Request("s2_l2a", root, index=False, limit=limit))
    report = execute(dc, found, scheduler=client.scheduler.address)
    assert not report.failures, report.failures
    return report.seconds


def planning(dc: Any, folder: Path, scenes: int, masked: int) -> None:
    """Plan many scenes of which none has a mask, and some of which all have."""
    from datacube.index.abstract import DatasetTuple

    add_scenes(dc, folder, 1, 120)
    (scene,) = dc.find_datasets(product="s2_l2a")
    mask = add_dataset(dc, MaskJob(scene, folder / "out").run())
    start = datetime(2015, 7, 1, tzinfo=UTC)

    def copies(
        of: Any, count: int, ids: list[uuid.UUID], begin: datetime
    ) -> Iterator[DatasetTuple]:
        for i in range(count):
            document = copy.deepcopy(of.metadata_doc)
            document["id"] = str(ids[i])
            document["properties"]["datetime"] = (begin + timedelta(hours=6 * i)).isoformat()
            # Each on a tile of its own, so that nothing is the same twice.
            for grid in document["grids"].values():
                grid["transform"][2] += 60 * i
            yield DatasetTuple(
                of.product, document, [f"file:///nowhere/{of.product.name}/{i}.yaml"]
            )

    ids = [uuid.uuid4() for _ in range(scenes)]
    dc.index.datasets.bulk_add(copies(scene, scenes, ids, start), batch_size=1000)
    request = Request("s2_l2a", "")
    done = start + timedelta(hours=6 * (masked - 0.5))
    # The masks that the first of them would have.
    first = read_scenes(dc, ids[:masked])
    masks = [expected_mask_id(each, request) for each in first]
    dc.index.datasets.bulk_add(copies(mask, masked, masks, start), batch_size=1000)
    for _ in range(3):
        begun = time.monotonic()
        found = plan(dc, Request("s2_l2a", "", query={"time": ("2015", "2023")}))
        took = time.monotonic() - begun
        begun = time.monotonic()
        finished = plan(dc, Request("s2_l2a", "", query={"time": ("2015", done)}))
        execute(dc, finished)
        resumed = time.monotonic() - begun
        print(f"planning: {found.scenes} scenes, {found.masked} masked, in {took:.1f} s; "
              f"resuming {finished.scenes}, {len(finished.missing)} to do, in {resumed:.1f} s", flush=True)  # fmt: skip
    last = f"{done:%Y-%m-%d}"
    begun = time.monotonic()
    subprocess.run(
        [CLEANSAT, "run", "--time", f"2015/{last}", "-o", folder / "none", "-C", folder / CONFIG_NAME],
        check=True, cwd=folder,
    )  # fmt: skip
    print(f"  the same by the command line: {time.monotonic() - begun:.1f} s", flush=True)


class Nothing(NamedTuple):
    number: int

    @property
    def key(self) -> str:
        return f"nothing-{self.number:032x}"


def do_nothing(unit: Nothing) -> int:
    return unit.number


def memory(counts: tuple[int, ...]) -> None:
    """Resident memory of the client, scheduler included, while simulated units pass through."""
    here = psutil.Process()
    with dask_client(2) as client:
        total = 0
        for count in counts:
            begun = time.monotonic()
            for _ in work_through(client, do_nothing, (Nothing(total + i) for i in range(count))):
                pass
            total += count
            print(f"memory: after {total} units {here.memory_info().rss / 1e6:.0f} MB, "
                  f"{count / (time.monotonic() - begun):.0f} units a second", flush=True)  # fmt: skip
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"  peak {peak / 1e3:.0f} MB")


def kills(dc: Any, folder: Path, scenes: int, size: int, count: int, span: float) -> None:
    """Kill a run and all its processes at random moments until it was killed so often."""
    add_scenes(dc, folder, scenes, size)
    root = folder / "masks"
    command: list[Any] = [CLEANSAT, "run", "-o", root, "-C", folder / CONFIG_NAME]
    chance, killed, finished, rounds = random.Random(), 0, 0, 0
    while killed < count:
        rounds += 1
        process = subprocess.Popen(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            bufsize=1, start_new_session=True, env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
        if chance.random() > 0.1:  # else while it starts
            for line in process.stdout or ():
                if line.startswith("Masking"):
                    break
        try:
            process.wait(chance.uniform(0, span))
            finished += 1
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            killed += 1
        indexed = check(dc, root)
        print(f"  {killed} kills, {indexed} indexed", flush=True)
        if indexed == scenes and killed < count:
            # All done before all kills: begin anew, in the same index.
            forget(dc)
            root = folder / f"masks{rounds}"
            command[3] = root
    subprocess.run(command, cwd=folder, check=True)
    indexed = check(dc, root)
    written = len(list(root.rglob("*.odc-metadata.yaml")))
    left = len(list(root.glob(".*")))
    print(f"kills: {killed} of {rounds} runs killed, {finished} came to their end; at the end {indexed} of "
          f"{scenes} indexed, {written} written, {left} folders left over")  # fmt: skip
    assert indexed == written == scenes


def check(dc: Any, root: Path) -> int:
    """Every indexed mask opens and is whole; how many there are."""
    masks = dc.find_datasets(product=MASK_PRODUCT)
    seen = {mask.metadata_doc["properties"]["cleansat:scene"] for mask in masks}
    assert len(seen) == len(masks), "a scene has two masks"
    for mask in masks:
        path = Path(local_path(mask.uri))
        assert MaskProduct(path.parent).is_intact(), path
        with rasterio.open(path.parent / mask.measurements["ucl"]["path"]) as file:
            assert file.read(1).any(), path
    return len(masks)


def forget(dc: Any) -> None:
    ids = [each.id for each in dc.find_datasets(product=MASK_PRODUCT)]
    dc.index.datasets.archive(ids)
    dc.index.datasets.purge(ids)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="+", choices=["throughput", "planning", "memory", "kills"])
    parser.add_argument("--scenes", type=int, default=10)
    parser.add_argument("--size", type=int, default=1500, help="pixels of 10 m along each side")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--planned", type=int, default=10_000)
    parser.add_argument("--units", type=int, nargs="+", default=[100, 900, 9000, 40_000, 50_000])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--span", type=float, default=15, help="seconds in which a run is killed")
    options = parser.parse_args()
    if "memory" in options.what:
        memory(tuple(options.units))
    for what in [each for each in options.what if each != "memory"]:
        with tempfile.TemporaryDirectory() as folder, embedded_cube(Path(folder)) as dc:
            for product in ("s2_l2a", MASK_PRODUCT):
                add_product(dc, product_definition(product))
            if what == "throughput":
                throughput(dc, Path(folder), options.scenes, options.size, options.rounds)
            elif what == "planning":
                planning(dc, Path(folder), options.planned, options.planned // 10)
            else:
                kills(dc, Path(folder), 20, 300, options.kills, options.span)


if __name__ == "__main__":
    main()
