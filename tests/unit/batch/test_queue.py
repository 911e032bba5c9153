"""The queue of masks: asked from threads, computed once, withdrawn, killed workers, lost schedulers, refused indexes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np
import pytest
from stac_server import StacServer, serving, write_item

from odc_cleansat.batch import cluster
from odc_cleansat.batch.cluster import ClusterError
from odc_cleansat.batch.jobs import Job, QueueFullError
from odc_cleansat.batch.queue import MaskQueue
from odc_cleansat.cube.index import add_dataset
from odc_cleansat.cube.stac_list import search_stac
from odc_cleansat.errors import CubeError, ModelError, ReflectanceWarning
from odc_cleansat.grids.windows import Tiling
from odc_cleansat.models import Model
from odc_cleansat.models.registry import get_model
from odc_cleansat.products import reject
from odc_cleansat.products.job import MaskJob
from odc_cleansat.products.product import MaskProduct
from odc_cleansat.scenes.band_folder import folder_scene
from odc_cleansat.scenes.scene import Scene
from odc_cleansat.synthetic.scene import SimulatedScene
from unit.archive import PATIENCE, Archive, written

if TYPE_CHECKING:
    from distributed import Client

SMALL = replace(get_model(), tiling=Tiling((32, 32), 32, 0))
"""The default model in windows so small that a scene of the tests has several."""


def await_(condition: Callable[[], object]) -> None:
    """Wait for something that other processes do."""
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def over(masks: MaskQueue, job: Job) -> Job:
    """The job when it is over."""

    def found() -> Job:
        now = masks.job(job.mask)
        assert now is not None
        return now

    await_(lambda: found().is_over)
    return found()


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> list[Scene]:
    """Three small scenes that no datacube knows."""
    folder = tmp_path_factory.mktemp("queue")
    return [
        folder_scene(
            SimulatedScene(
                shape=(360, 360), seed=day, datetime=f"2024-06-{day:02d}T10:10:31Z"
            ).write(folder / str(day))
        )
        for day in (1, 2, 3)
    ]


class HoldingEngine:
    """A network that needs no time, and waits before each window until a file is there."""

    name, precision = "openvino", "f32"

    def __init__(self, model: Model, folder: Path) -> None:
        self._classes, self._folder = len(model.classes), folder

    def __call__(self, reflectance: np.ndarray) -> np.ndarray:
        """Return equal probabilities, ``(N, K, H, W)`` float32."""
        (self._folder / f"{os.getpid()}").touch()
        while self._folder.exists() and not (self._folder / "go").exists():
            time.sleep(0.01)
        shape = (len(reflectance), self._classes, *reflectance.shape[2:])
        return np.full(shape, 1 / self._classes, dtype="float32")


def hold(folder: Path | None) -> None:
    """Let all models of a worker be such networks, or be themselves again."""
    from odc_cleansat.models import engines

    if folder is None:
        engines._load = engines.__dict__.pop("_kept", engines._load)
        return
    vars(engines).setdefault("_kept", engines._load)
    engines._load = lambda model, *_: HoldingEngine(model, folder)  # type: ignore[assignment]


class Gate:
    """Lets the workers pass, and tells which have come to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def open(self) -> None:
        (self.folder / "go").touch()

    def await_worker(self) -> int:
        """The process id of a worker that waits."""
        await_(lambda: any(self.folder.iterdir()))
        return int(next(self.folder.iterdir()).name)


@pytest.fixture
def gate(client: Client, tmp_path: Path) -> Iterator[Gate]:
    """Hold the networks of the workers."""
    folder = tmp_path / "gate"
    folder.mkdir()
    client.run(hold, folder)
    yield Gate(folder)
    (folder / "go").touch()
    client.run(hold, None)


def test_a_mask_is_made_and_indexed_once_for_all_and_then_found(
    archive: Archive, gate: Gate, scheduler: str, tmp_path: Path
) -> None:
    month, (scene, other) = archive.scenes(2)
    (scene,) = archive.dc.find_datasets(product="s2_l2a", id=str(scene.id))
    root = tmp_path / "masks"
    indexed: list[Path | str] = []

    def index(document: Path | str) -> None:
        indexed.append(document)
        add_dataset(archive.dc, document)

    with MaskQueue(root, scheduler=scheduler, index=index) as masks:
        assert masks.jobs() == []
        asked: list[Job] = []
        people = [
            threading.Thread(target=lambda i=i: asked.append(masks.ask(scene, person=f"p{i}")))
            for i in range(8)
        ]
        for person in people:
            person.start()
        for person in people:
            person.join()
        (mask,) = {job.mask for job in asked}
        assert mask == MaskJob(scene, root).id
        (job,) = masks.jobs()
        assert set(job.persons) == {f"p{i}" for i in range(8)}
        gate.await_worker()
        await_(lambda: masks.jobs()[0].state == "running")
        gate.open()
        job = over(masks, job)
        assert (job.state, job.reason, job.warnings) == ("done", "", ())
        assert job.done == job.total == 1
        assert job.begun is not None
        assert job.ended is not None
        assert job.asked <= job.begun <= job.ended
        assert len(indexed) == 1
        archive.check(month, 1, root)

        found = masks.ask(scene, person="eve")
        assert (found.state, found.persons, found.document) == ("found", ("eve",), job.document)
        assert len(masks.jobs()) == 1
        archive.check(month, 1, root)

        document = MaskJob(other, root).run()  # by another program, which does not index
        assert masks.ask(other, person="eve").document == document
        archive.check(month, 2, root)


def test_progress_is_told_and_others_wait(
    scenes: list[Scene], gate: Gate, client: Client, scheduler: str, tmp_path: Path
) -> None:
    root = tmp_path / "masks"
    gate.open()
    seen: set[tuple[int, int]] = set()
    with MaskQueue(root, scheduler=scheduler) as masks:
        jobs = [masks.ask(scene, person="ada", model=SMALL) for scene in scenes]
        assert [job.state for job in jobs] == ["waiting"] * 3

        def look() -> bool:
            found = masks.jobs()
            seen.update((job.done, job.total) for job in found)
            waiting = [job.place for job in found if job.state == "waiting"]
            assert waiting == list(range(1, len(waiting) + 1))
            return all(job.is_over for job in found)

        await_(look)
        assert {job.state for job in masks.jobs()} == {"done"}
    totals = {total for _, total in seen} - {0}
    assert len(totals) == 1
    assert min(totals) > 4
    assert {(0, 0), (min(totals), min(totals))} <= seen
    assert written(root) == 3


def test_an_area_is_there_before_the_rest(
    scenes: list[Scene],
    client: Client,
    scheduler: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("odc_cleansat.products.job.LARGE", 1)
    area = scenes[0].dataset.extent.centroid.buffer(300)
    with MaskQueue(tmp_path / "masks", scheduler=scheduler) as masks:
        job = masks.ask(scenes[0], person="ada", first=area, parts=tmp_path / "parts")
        job = over(masks, job)
        assert job.state == "done"
        assert job.part is not None
        assert job.part_id != job.mask
        part, whole = MaskProduct(job.part), MaskProduct(job.document)
        assert part.grid.shape[0] * 4 < whole.grid.shape[0] * 3
        assert written(tmp_path / "masks") == 1
        assert masks.ask(scenes[1], person="ada").part is None


def test_a_wish_is_withdrawn(
    scenes: list[Scene], gate: Gate, client: Client, scheduler: str, tmp_path: Path
) -> None:
    root = tmp_path / "masks"
    with MaskQueue(root, scheduler=scheduler) as masks:
        first, second, third = (masks.ask(scene, person="ada", model=SMALL) for scene in scenes)
        masks.ask(scenes[0], person="bob", model=SMALL)
        await_(lambda: [job.state for job in masks.jobs()] == ["running", "running", "waiting"])
        masks.withdraw(third.mask, "ada")
        assert over(masks, third).state == "withdrawn"
        for person in ("ada", "bob"):
            masks.withdraw(second.mask, person)
        masks.withdraw(first.mask, "ada")
        masks.withdraw(UUID(int=1), "ada")  # nobody has asked for it
        await_(lambda: any(client.run(_tickets).values()) or _state(masks, second) == "withdrawn")
        gate.open()
        assert over(masks, second).state == "withdrawn"
        kept = over(masks, first)
        assert (kept.state, kept.persons) == ("done", ("bob",))
    assert written(root) == 1
    stopped = MaskJob.of_scene(scenes[1], root, SMALL).folder.path
    assert stopped is not None
    assert not stopped.exists()
    assert not any(client.run(_tickets).values())


def _state(masks: MaskQueue, job: Job) -> str:
    now = masks.job(job.mask)
    assert now is not None
    return now.state


def _tickets() -> int:
    from odc_cleansat.batch.worker import _WITHDRAWN

    return len(_WITHDRAWN)


def test_what_is_wanted_again_before_it_has_stopped_is_made(
    scenes: list[Scene], gate: Gate, client: Client, scheduler: str, tmp_path: Path
) -> None:
    with MaskQueue(tmp_path / "masks", scheduler=scheduler) as masks:
        job = masks.ask(scenes[0], person="ada", model=SMALL)
        gate.await_worker()
        masks.withdraw(job.mask, "ada")
        await_(lambda: any(client.run(_tickets).values()))
        assert masks.ask(scenes[0], person="ada", model=SMALL).persons == ("ada",)
        gate.open()
        assert over(masks, job).state == "done"


def test_a_worker_is_killed(
    scenes: list[Scene], gate: Gate, scheduler: str, tmp_path: Path
) -> None:
    with MaskQueue(tmp_path / "masks", scheduler=scheduler) as masks:
        job = masks.ask(scenes[0], person="ada")
        os.kill(gate.await_worker(), signal.SIGKILL)
        gate.open()
        assert over(masks, job).state == "done"


def test_a_scene_that_kills_its_workers(
    scenes: list[Scene], client: Client, scheduler: str, tmp_path: Path
) -> None:
    deadly = replace(scenes[0], dataset=Deadly(scenes[0].dataset))
    with MaskQueue(tmp_path / "masks", scheduler=scheduler) as masks:
        job = over(masks, masks.ask(deadly, person="ada"))
        assert job.state == "failed"
        assert "2 workers died while they made this mask" in job.reason
        assert over(masks, masks.ask(scenes[1], person="ada")).state == "done"


class Deadly:
    """A dataset that kills the process on which it arrives, unless that is this one."""

    def __init__(self, dataset: Any) -> None:
        self._dataset, self._home = dataset, os.getpid()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if os.getpid() != self._home and name == "metadata_doc":
            os.kill(os.getpid(), signal.SIGKILL)
        return getattr(self._dataset, name)


def test_what_goes_wrong_is_said(
    scenes: list[Scene], client: Client, scheduler: str, tmp_path: Path
) -> None:
    def index(document: Path | str) -> None:
        raise CubeError("the database does not answer.")

    root = tmp_path / "masks"
    with MaskQueue(root, scheduler=scheduler, index=index, retries=0) as masks:
        job = over(masks, masks.ask(scenes[0], person="ada"))
        assert job.state == "failed"
        assert "the mask is written, but cannot be indexed: the database does not" in job.reason
        assert job.document is not None
        assert MaskProduct(Path(job.document).parent).is_intact()
        again = masks.ask(scenes[0], person="ada")
        assert (again.state, again.reason) == ("failed", job.reason)

        reject(job.document, "a lake", by="bob")
        rejected = masks.ask(scenes[0], person="ada")
        assert rejected.state == "found"
        assert "Reviewers have rejected" in rejected.warnings[0]

        way = MaskJob.of_scene(scenes[1], root).folder.path
        assert way is not None
        way.parent.parent.mkdir(parents=True, exist_ok=True)
        way.parent.write_text("in the way")
        failed = over(masks, masks.ask(scenes[1], person="ada"))
        assert failed.state == "failed"
        assert "cannot write" in failed.reason

        with pytest.raises(ModelError, match="mine"):
            masks.ask(scenes[2], person="ada", model="mine")


def test_an_item_of_a_stac_api(client: Client, scheduler: str, tmp_path: Path) -> None:
    """No datacube knows its scene; the workers read the files where they are."""
    bands = SimulatedScene(shape=(120, 120), offset=0).write(tmp_path / "bands")
    item = write_item(tmp_path / "item.json", bands, **{"s2:processing_baseline": None})
    with serving(StacServer()) as server:
        server.folders["bands"] = bands
        server.add(item, "bands")
        (row,) = search_stac((13, 47, 15, 49), "2024-06", api=server.url)
        with MaskQueue(tmp_path / "masks", scheduler=scheduler) as masks:
            with pytest.warns(ReflectanceWarning, match="does not say whether"):
                job = masks.ask(row.scene(), person="ada")
            job = over(masks, job)
    assert (job.state, job.scene, job.label) == ("done", row.id, row.label)
    assert "the metadata does not say whether a radiometric offset applies" in job.warnings[0]


def test_limits_and_the_end(
    scenes: list[Scene], gate: Gate, scheduler: str, tmp_path: Path
) -> None:
    with MaskQueue(tmp_path / "masks", scheduler=scheduler, most_per_person=1) as masks:
        masks.ask(scenes[0], person="ada", model=SMALL)
        with pytest.raises(QueueFullError, match="ada waits for 1 mask already"):
            masks.ask(scenes[1], person="ada")
        gate.await_worker()
    assert [job.state for job in masks.jobs()] == ["withdrawn"]
    with pytest.raises(ClusterError, match="is closed"):
        masks.ask(scenes[1], person="ada")
    gate.open()


def test_a_queue_with_a_worker_of_its_own(scenes: list[Scene], tmp_path: Path) -> None:
    with MaskQueue(tmp_path / "masks") as masks:
        job = over(masks, masks.ask(scenes[0], person="ada"))
        assert (job.state, job.done, job.total) == ("done", 1, 1)
        closing = time.monotonic()
    assert time.monotonic() - closing < 10


def test_the_scheduler_is_lost(
    scenes: list[Scene], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "CONNECT_TIMEOUT", 0.5)
    file = tmp_path / "scheduler.json"
    command = "distributed.cli.dask_scheduler"
    process = subprocess.Popen(
        [sys.executable, "-m", command, "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", file],
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        await_(file.exists)
        import json

        address = json.loads(file.read_text())["address"]
        with MaskQueue(tmp_path / "masks", scheduler=address) as masks:
            job = masks.ask(scenes[0], person="ada")
            await_(lambda: not masks._jobs.has_next())  # the scheduler has it, and no worker
            process.kill()
            lost = over(masks, job)
            assert lost.state == "failed"
            assert "the connection to the dask scheduler was lost" in lost.reason
            again = over(masks, masks.ask(scenes[0], person="ada"))
            assert "no dask scheduler answers" in again.reason
    finally:
        process.kill()
        process.wait()
