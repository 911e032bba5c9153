"""Carrying out a plan: masks are made, indexed and not made again; bad scenes, full disks, killed workers."""

from __future__ import annotations

import contextlib
import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from conftest import Recorder

from odc_cleansat.batch import Plan, cluster, execute, plan, read_failures, run
from odc_cleansat.batch.cluster import ClusterError
from odc_cleansat.batch.records import Failure, FailureLog
from odc_cleansat.cube.index import add_dataset, add_product
from odc_cleansat.products.job import MaskJob
from odc_cleansat.progress import Count
from odc_cleansat.storage.eo3 import MASK_PRODUCT, product_definition
from unit.archive import Archive, request

if TYPE_CHECKING:
    from distributed import Client

NOBODY = "tcp://127.0.0.1:1"
"""No scheduler listens there."""


def test_no_scheduler_there(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "CONNECT_TIMEOUT", 0.5)
    month, _ = archive.scenes(1)
    found = plan(archive.dc, request(month, ""))
    with pytest.raises(ClusterError, match="no dask scheduler answers at tcp://127"):
        execute(archive.dc, found, scheduler=NOBODY)


def test_masks_are_made_indexed_and_not_made_again(
    archive: Archive, client: Client, scheduler: str
) -> None:
    month, scenes = archive.scenes(5)
    root = archive.folder / "made"
    client.run(_forget_loads)  # of tests before, on the same workers
    # One is written but not indexed, as after a kill.
    document = MaskJob(scenes[0], root).run()
    before = Path(document).stat().st_mtime_ns
    recorder = Recorder()
    found = plan(archive.dc, request(month, root))
    report = execute(archive.dc, found, scheduler=scheduler, reporter=recorder)
    assert (report.masked, report.meanwhile) == (4, 1)
    assert (report.failures, report.left, report.interrupted) == ((), 0, False)
    assert list(recorder.history.values()) == [[(i, 5) for i in range(1, 6)]]
    archive.check(month, 5, root)
    assert Path(document).stat().st_mtime_ns == before
    # Weights are loaded once by each worker, which then uses no more threads than it has.
    loaded = client.run(_loads)
    assert set(loaded.values()) <= {0, 1}
    assert 1 in loaded.values()
    # What is done by the time it is due is passed over.
    again = execute(archive.dc, found, scheduler=scheduler)
    assert (again.masked, again.meanwhile) == (0, 5)
    # And with nothing to do, no cluster is asked.
    finished = plan(archive.dc, request(month, root))
    assert (finished.masked, finished.missing) == (5, ())
    assert execute(archive.dc, finished, scheduler=NOBODY).masked == 0


def _forget_loads() -> None:
    from odc_cleansat.models import engines

    engines._load.cache_clear()


def _loads() -> int:
    from odc_cleansat.models.engines import _load

    return _load.cache_info().misses


def test_bad_scenes_fail_with_a_reason_and_the_rest_goes_on(
    archive: Archive, scheduler: str, tmp_path: Path
) -> None:
    month, scenes = archive.scenes(6)
    folders = [archive.folder / "scenes" / f"{month}-{day:02d}" for day in range(1, 7)]
    band = folders[0] / "B03.tif"
    band.write_bytes(band.read_bytes()[:2000] + bytes(3000))
    (folders[1] / "B11.tif").unlink()
    root = tmp_path / "masks"
    # The fourth mask cannot be written: a file stands where its folder should.
    way = MaskJob(scenes[3], root).folder.path.parent
    way.parent.mkdir(parents=True)
    way.write_text("in the way")
    # The fifth is indexed as something else.
    other = {**product_definition(MASK_PRODUCT), "name": "theirs"}
    other["metadata"] = {"product": {"name": "theirs"}}
    add_product(archive.dc, other)
    made = MaskJob(scenes[4], tmp_path / "theirs").run()
    document = yaml.safe_load(Path(made).read_text())
    document["product"]["name"] = "theirs"
    Path(made).write_text(yaml.safe_dump(document))
    add_dataset(archive.dc, made)

    found = plan(archive.dc, request(month, root))
    listed = tmp_path / "failures.jsonl"
    earlier = Failure(scenes[2].id, "of an earlier run", None, "mask", "SceneError", "gone")
    with FailureLog(listed) as log:
        log.write(earlier)
    report = execute(archive.dc, found, scheduler=scheduler, retries=1, failures=listed)
    assert report.masked == 2
    assert {m.metadata_doc["properties"]["cleansat:scene"] for m in archive.masks(month)} == {
        str(scenes[2].id), str(scenes[5].id)
    }  # fmt: skip
    failures = {each.scene: each for each in report.failures}
    assert len(failures) == 4
    said = {i: failures[scenes[i].id] for i in (0, 1, 3, 4)}
    assert "cannot read" in said[0].reason
    assert "B11.tif" in said[1].reason
    assert "cannot write" in said[3].reason
    assert "indexed under the product theirs" in said[4].reason
    assert [said[i].stage for i in said] == ["mask", "mask", "mask", "plan"]
    assert [said[i].attempts for i in said] == [2, 2, 2, 1]
    assert read_failures(listed) == list(report.failures)


def test_a_full_disk_ends_the_run(archive: Archive, scheduler: str, tmp_path: Path) -> None:
    """Each mask that cannot be written has been computed for nothing."""
    month, scenes = archive.scenes(14)
    (tmp_path / "masks").touch()  # a file, where the folder should be
    found = plan(archive.dc, request(month, tmp_path / "masks"))
    recorder = Recorder()
    report = execute(archive.dc, found, scheduler=scheduler, retries=0, reporter=recorder)
    assert 5 <= len(report.failures) < len(scenes)
    assert report.left == len(scenes) - len(report.failures)
    assert not report.interrupted
    (said,) = [line for line in recorder.lines if "could not be written" in line]
    assert f"{report.left} are left" in said


def test_masks_without_an_index(archive: Archive, scheduler: str, tmp_path: Path) -> None:
    month, _ = archive.scenes(2)

    def find() -> Plan:
        return plan(archive.dc, request(month, tmp_path, index=False))

    assert execute(archive.dc, find(), scheduler=scheduler).masked == 2
    assert archive.masks(month) == []
    assert find().missing == ()
    next(tmp_path.rglob("*_ucl.tif")).write_bytes(b"damaged")
    again = find()
    assert len(again.missing) == 1
    assert execute(archive.dc, again, scheduler=scheduler).masked == 1
    assert find().missing == ()


def test_workers_are_killed(archive: Archive, client: Client, scheduler: str) -> None:
    month, _ = archive.scenes(5, size=180)
    root = archive.folder / "killed-workers"

    class Killer(Recorder):
        @contextlib.contextmanager
        def step(self, text: str, unit: str = "", together: int = 1) -> Iterator[Count]:
            def count(done: int, total: int, note: str = "") -> None:
                if done == 1:
                    os.kill(random.choice(list(client.run(os.getpid).values())), signal.SIGKILL)

            yield count

    report = run(archive.dc, request(month, root), scheduler=scheduler, reporter=Killer())
    assert report.masked + report.meanwhile == 5
    assert not report.failures
    archive.check(month, 5, root)
