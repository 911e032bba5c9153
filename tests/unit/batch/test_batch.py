"""Many scenes: planning, a real dask cluster, killed workers, killed runs, and bad scenes."""

from __future__ import annotations

import json
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
import rasterio
import yaml
from click.testing import CliRunner, Result
from odc.geo.geom import box

from odc_cleansat.batch import cluster
from odc_cleansat.batch.cluster import ClusterError, Stop, dask_client, work_through
from odc_cleansat.batch.records import Failure, Plan, Report, read_failures
from odc_cleansat.batch.runner import execute
from odc_cleansat.batch.survey import plan, preview
from odc_cleansat.cube.embedded import CONFIG_NAME, embedded_cube
from odc_cleansat.cube.index import add_dataset, add_product
from odc_cleansat.errors import CubeError, ModelError, ReflectanceWarning
from odc_cleansat.products.job import MaskJob
from odc_cleansat.products.product import is_intact
from odc_cleansat.scenes.band_folder import open_scene, write_scene_document
from odc_cleansat.scenes.files import local_path
from odc_cleansat.storage.eo3 import MASK_PRODUCT, product_definition, scene_product
from odc_cleansat.synthetic.scene import SimulatedScene

if TYPE_CHECKING:
    from datacube import Datacube
    from datacube.model import Dataset
    from distributed import Client

CLEANSAT = Path(sys.executable).parent / "cleansat"
PATIENCE = 180
"""Seconds that processes have to come up and do their first; a busy machine has taken more than a minute."""

NOBODY = "tcp://127.0.0.1:1"
"""No scheduler listens there."""


@dataclass
class Archive:
    """A datacube of small scenes, of which each test makes some for itself."""

    dc: Datacube
    folder: Path
    _months: Iterator[int] = field(default_factory=lambda: iter(range(24)))

    def scenes(self, count: int, size: int = 120) -> tuple[str, list[Dataset]]:
        """New scenes in a month of their own, and that month."""
        years, month_of_year = divmod(next(self._months), 12)
        month = f"{2024 + years}-{month_of_year + 1:02d}"
        found = []
        for day in range(1, count + 1):
            scene = SimulatedScene(
                shape=(size, size + 60),
                seed=day,
                datetime=f"{month}-{day:02d}T10:10:31Z",
                origin=(399960.0 + 6000 * day, 5300040.0),
            )
            folder = scene.write(self.folder / "scenes" / f"{month}-{day:02d}")
            document = write_scene_document(open_scene(folder), self.folder / "documents")
            found.append(add_dataset(self.dc, document))
        return month, found

    def masks(self, time: str) -> list[Dataset]:
        found: list[Dataset] = self.dc.find_datasets(product=MASK_PRODUCT, time=time)
        return found

    def check(self, time: str, count: int, root: Path) -> None:
        """So many masks, each once, indexed and on disk, whole and open."""
        masks = self.masks(time)
        scenes = {mask.metadata_doc["properties"]["cleansat:scene"] for mask in masks}
        assert len(masks) == len(scenes) == count
        for mask in masks:
            path = Path(local_path(mask.uri))
            assert is_intact(path.parent)
            with rasterio.open(path.parent / mask.measurements["ucl"]["path"]) as file:
                assert file.read(1).any()
        assert len(list(root.rglob("*.odc-metadata.yaml"))) == count

    def call(self, *arguments: object, **options: object) -> subprocess.Popen[str]:
        """Start the command line, in a process group of its own."""
        return subprocess.Popen(
            [CLEANSAT, *map(str, arguments), "-C", str(self.folder / CONFIG_NAME)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
            # Whoever runs the tests in the background may have them ignore it, which is inherited.
            cwd=self.folder, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler), **options,
        )  # fmt: skip


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    folder = tmp_path_factory.mktemp("archive")
    with embedded_cube(folder) as dc:
        for product in ("s2_l2a", MASK_PRODUCT):
            add_product(dc, product_definition(product))
        yield Archive(dc, folder)


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with dask_client(workers=2) as client:
        yield client


@pytest.fixture
def scheduler(client: Client) -> str:
    address: str = client.scheduler.address
    return address


class Watch:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.scenes: list[tuple[int, int, Failure | None]] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    def scene(self, done: int, total: int, failure: Failure | None) -> None:
        self.scenes.append((done, total, failure))


# --- planning -------------------------------------------------------------------------


def test_a_plan_knows_the_ids_that_jobs_give(archive: Archive) -> None:
    from odc_cleansat.batch.records import Request
    from odc_cleansat.batch.survey import _lean, _mask_id

    month, scenes = archive.scenes(2)
    few = shutil.copytree(archive.folder / "scenes" / f"{month}-01", archive.folder / "few")
    for band in few.glob("*.tif"):
        if band.stem not in ("B02", "B03", "B04", "B08"):
            band.unlink()
    opened = open_scene(few)
    add_product(archive.dc, scene_product(opened.bands))
    scenes.append(
        add_dataset(archive.dc, write_scene_document(opened, archive.folder / "documents"))
    )
    four = "unet-efficientnetb4-l2a-4b"
    for scene in scenes:
        for model, offset in ((None, None), (four, None), (four, -500.0)):
            job = MaskJob(scene, archive.folder, model, offset)
            request = Request(scene.product.name, "", model, offset)
            assert _mask_id(_lean(scene), request) == job.id


def test_what_is_planned(archive: Archive) -> None:
    month, scenes = archive.scenes(4)
    root = archive.folder / "planned"
    add_dataset(archive.dc, MaskJob(scenes[1], root).run())

    def find(**query: object) -> Plan:
        return plan(archive.dc, "s2_l2a", root=root, time=month, **query)

    found = find()
    assert (found.scenes, found.masked, found.postponed) == (4, 1, 0)
    assert found.missing == (scenes[0].id, scenes[2].id, scenes[3].id)
    assert preview(archive.dc, found, 2) == [f"{month}-01", f"{month}-03"]
    assert find(offset=0).masked == 0  # another mask
    first = find(limit=1)
    assert (first.missing, first.postponed) == ((scenes[0].id,), 2)
    edges = scenes[2].extent.to_crs("EPSG:4326").boundingbox
    place = {"x": (edges.left, edges.right), "y": (edges.bottom, edges.top)}
    assert find(**place).missing == (scenes[2].id,)
    files = find(index=False)
    assert (files.masked, files.missing) == (1, found.missing)
    assert plan(archive.dc, "s2_l2a", root=root, time="1999").scenes == 0


def test_an_area_is_taken_as_it_is_and_not_as_its_box(archive: Archive) -> None:
    month, scenes = archive.scenes(3)
    first, _, last = (scene.extent.to_crs("EPSG:4326") for scene in scenes)
    ends = first | last  # its box holds the one between
    found = plan(archive.dc, "s2_l2a", root="", time=month, geopolygon=ends)
    assert found.missing == (scenes[0].id, scenes[2].id)
    assert (
        plan(archive.dc, "s2_l2a", root="", time=month, geopolygon=box(0, 0, 1, 1, 4326)).scenes
        == 0
    )


def test_what_cannot_be_planned(archive: Archive) -> None:
    with pytest.raises(CubeError, match="no product 's3'; it has s2_l2a"):
        plan(archive.dc, "s3", root="")
    with pytest.raises(CubeError, match="Unknown arguments"):
        plan(archive.dc, "s2_l2a", root="", cloudiness=3)
    with pytest.raises(CubeError, match="antimeridian"):
        plan(archive.dc, "s2_l2a", root="", x=(179, -179), y=(0, 1))
    with pytest.raises(ModelError, match="tomorrow"):
        plan(archive.dc, "s2_l2a", root="", model="unet-of-tomorrow")


# --- the cluster ----------------------------------------------------------------------


class Work(NamedTuple):
    """A unit that does as it is told."""

    number: int
    seconds: float = 0.0
    deadly: bool = False
    begun: Path | None = None

    @property
    def key(self) -> str:
        return f"work-{self.number:032x}"


def do(work: Work) -> int:
    if work.begun:
        (work.begun / str(work.number)).touch()
    time.sleep(work.seconds)
    if work.deadly:
        os.kill(os.getpid(), signal.SIGKILL)
    if work.number == 13:
        raise ValueError("thirteen")
    return work.number


def test_units_are_taken_as_workers_get_free(client: Client) -> None:
    taken = over = most = 0

    def source() -> Iterator[Work]:
        nonlocal taken
        for number in range(300):
            taken += 1
            yield Work(number)

    for work, result in work_through(client, do, source()):
        most = max(most, taken - over)
        over += 1
        if work.number == 13:
            assert isinstance(result, ValueError)
        else:
            assert result == work.number
    assert over == 300
    assert most <= 5  # two for each of two workers, and the one in hand


def test_one_that_kills_its_workers_takes_no_other_with_it(client: Client) -> None:
    from distributed.scheduler import KilledWorker

    works = [Work(100 + i, seconds=0.05, deadly=i == 1) for i in range(6)]
    results = dict(work_through(client, do, works))
    assert isinstance(results.pop(works[1]), KilledWorker)
    assert results == {work: work.number for work in works if not work.deadly}


def test_results_that_die_with_a_worker_are_made_again(client: Client) -> None:
    """They were finished, and had not been fetched."""
    works = [Work(150 + i, seconds=0.5) for i in range(4)]

    def statuses() -> set[str]:
        return {client.futures[work.key].status for work in works if work.key in client.futures}

    until = time.monotonic() + PATIENCE
    results: dict[Work, object] = {}
    for work, result in work_through(client, do, works):
        if not results:
            while statuses() != {"finished"}:
                assert time.monotonic() < until
                time.sleep(0.01)
            # One only: a second would be the second to die with the first one's work.
            waiting = {each.key for each in works if each != work}
            held = client.has_what().items()
            holder = next(address for address, keys in held if waiting.intersection(keys))
            os.kill(client.run(os.getpid, workers=[holder])[holder], signal.SIGKILL)
            while "lost" not in statuses():
                assert time.monotonic() < until
                time.sleep(0.01)
        results[work] = result
    assert results == {work: work.number for work in works}


def test_what_has_begun_is_finished_when_it_stops(client: Client, tmp_path: Path) -> None:
    works = [Work(200 + i, seconds=1.5, begun=tmp_path) for i in range(20)]
    said: list[str] = []

    def interrupt() -> None:
        while not any(tmp_path.iterdir()):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    with Stop(said.append) as stop:
        threading.Thread(target=interrupt).start()
        results = dict(work_through(client, do, works, stop))
    assert {str(number) for number in results.values()} == {p.name for p in tmp_path.iterdir()}
    assert 1 <= len(results) <= 2
    assert "Ctrl-C again" in said[0]


def test_no_scheduler_there(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "CONNECT_TIMEOUT", 0.5)
    month, _ = archive.scenes(1)
    found = plan(archive.dc, "s2_l2a", root="", time=month)
    with pytest.raises(ClusterError, match="no dask scheduler answers at tcp://127"):
        execute(archive.dc, found, scheduler=NOBODY)


# --- running --------------------------------------------------------------------------


def test_masks_are_made_indexed_and_not_made_again(
    archive: Archive, client: Client, scheduler: str
) -> None:
    month, scenes = archive.scenes(5)
    root = archive.folder / "made"
    # One is written but not indexed, as after a kill.
    document = MaskJob(scenes[0], root).run()
    before = Path(document).stat().st_mtime_ns
    watch = Watch()
    found = plan(archive.dc, "s2_l2a", root=root, time=month)
    report = execute(archive.dc, found, scheduler=scheduler, watcher=watch)
    assert (report.masked, report.meanwhile) == (4, 1)
    assert (report.failures, report.left, report.interrupted) == ((), 0, False)
    assert watch.scenes == [(i, 5, None) for i in range(1, 6)]
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
    finished = plan(archive.dc, "s2_l2a", root=root, time=month)
    assert (finished.masked, finished.missing) == (5, ())
    assert execute(archive.dc, finished, scheduler=NOBODY).masked == 0


def _loads() -> int:
    from odc_cleansat.models.engines import _load

    return _load.cache_info().misses


def test_workers_share_the_processors(client: Client) -> None:
    from odc_cleansat.models.engines import available_cpus

    share = max(1, available_cpus() // 2)
    assert set(client.run(available_cpus).values()) == {share}


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

    found = plan(archive.dc, "s2_l2a", root=root, time=month)
    report = execute(archive.dc, found, scheduler=scheduler, retries=1)
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
    listed = tmp_path / "failures.jsonl"
    listed.write_text("".join(each.to_json() + "\n" for each in report.failures))
    assert read_failures(listed) == list(report.failures)


def test_a_full_disk_ends_the_run(archive: Archive, scheduler: str, tmp_path: Path) -> None:
    """Each mask that cannot be written has been computed for nothing."""
    month, scenes = archive.scenes(14)
    (tmp_path / "masks").touch()  # a file, where the folder should be
    found = plan(archive.dc, "s2_l2a", root=tmp_path / "masks", time=month)
    watch = Watch()
    report = execute(archive.dc, found, scheduler=scheduler, retries=0, watcher=watch)
    assert 5 <= len(report.failures) < len(scenes)
    assert report.left == len(scenes) - len(report.failures)
    assert not report.interrupted
    (said,) = [line for line in watch.lines if "could not be written" in line]
    assert f"{report.left} are left" in said


def test_scenes_that_do_not_tell_their_offset_are_named_once(archive: Archive) -> None:
    month, scenes = archive.scenes(3)
    for scene in scenes:
        document = {**scene.metadata_doc, "id": str(uuid.uuid4())}
        document["properties"] = {
            key: value
            for key, value in document["properties"].items()
            if key != "s2:processing_baseline"
        }
        path = archive.folder / f"{document['id']}.yaml"
        document.pop("grid_spatial", None)
        path.write_text(yaml.safe_dump(document))
        add_dataset(archive.dc, path)
    with pytest.warns(ReflectanceWarning, match="^3 of 6 scenes: .*does not say") as caught:
        found = plan(archive.dc, "s2_l2a", root="", time=month)
    assert len(caught) == 1
    assert len(found.missing) == 6


def test_masks_without_an_index(archive: Archive, scheduler: str, tmp_path: Path) -> None:
    month, _ = archive.scenes(2)

    def find() -> Plan:
        return plan(archive.dc, "s2_l2a", root=tmp_path, time=month, index=False)

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

    class Killer(Watch):
        def scene(self, done: int, total: int, failure: Failure | None) -> None:
            super().scene(done, total, failure)
            if done == 1:
                os.kill(random.choice(list(client.run(os.getpid).values())), signal.SIGKILL)

    killer = Killer()
    report = execute(
        archive.dc,
        plan(archive.dc, "s2_l2a", root=root, time=month),
        scheduler=scheduler,
        watcher=killer,
    )
    assert report.masked + report.meanwhile == 5
    assert not report.failures
    archive.check(month, 5, root)


# --- the command ----------------------------------------------------------------------


def outcome(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=PATIENCE)
    return process.returncode, out, err


def test_killed_runs_go_on_and_two_runners_do_not_meet(
    archive: Archive, scheduler: str, tmp_path: Path
) -> None:
    month, _ = archive.scenes(12, size=180)
    root = tmp_path / "masks"
    arguments = ("run", "--time", month, "-o", root)
    chance, killed = random.Random(), 0
    # The first time its workers go with it, then those of the cluster stay.
    for where in (("--workers", 1), ("--scheduler", scheduler), ("--scheduler", scheduler)):
        process = archive.call(*arguments, *where)
        before = len(archive.masks(month))
        until = time.monotonic() + PATIENCE
        while len(archive.masks(month)) == before and process.poll() is None:
            assert time.monotonic() < until
            time.sleep(0.3 * chance.random())
        if process.poll() is None:  # a fast machine may have masked them all
            os.killpg(process.pid, signal.SIGKILL)
            killed += 1
        process.communicate()
        for mask in archive.masks(month):
            assert is_intact(Path(local_path(mask.uri)).parent)
    indexed = len(archive.masks(month))
    assert killed > 0
    assert indexed > 0
    both = [archive.call(*arguments, "--scheduler", scheduler, "--json") for _ in range(2)]
    for code, out, err in map(outcome, both):
        assert code == 0, err
        summary = json.loads(out)
        assert summary["masked"] + summary["masked_by_others"] + summary["masked_before"] == 12
        assert summary["masked_before"] >= indexed
    archive.check(month, 12, root)


def test_ctrl_c(archive: Archive, tmp_path: Path) -> None:
    month, _ = archive.scenes(10, size=300)
    root = tmp_path / "masks"
    process = archive.call("run", "--time", month, "-o", root, "--workers", 1)
    until = time.monotonic() + PATIENCE
    while not archive.masks(month):
        assert time.monotonic() < until
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to all processes
    code, out, err = outcome(process)
    assert code == 130, err
    done = len(archive.masks(month))
    assert 1 <= done < 10
    assert f"{done} masked" in out
    assert f"Stopped with {10 - done} left; the same command goes on" in out
    archive.check(month, done, root)
    assert not list(root.glob(".*"))


@pytest.fixture
def invoke(archive: Archive) -> Iterator[Callable[..., Result]]:
    """Call the command line in this process."""
    from odc_cleansat.cli.main import main

    config = str(archive.folder / CONFIG_NAME)
    loggers = [logging.getLogger(name) for name in ("datacube", "odc", "rasterio")]
    levels = [each.level for each in loggers]
    yield lambda *arguments: CliRunner().invoke(main, [*map(str, arguments), "-C", config])
    for each, level in zip(loggers, levels, strict=True):
        each.setLevel(level)


def test_dry_run_exit_codes_and_status(
    archive: Archive, scheduler: str, tmp_path: Path, invoke: Callable[..., Result]
) -> None:
    month, _ = archive.scenes(2)
    band = archive.folder / "scenes" / f"{month}-02" / "B02.tif"
    band.rename(band.with_name("gone.tif"))
    root = tmp_path / "masks"
    listed = tmp_path / "failed.jsonl"

    def run(time: str, *arguments: object) -> Result:
        return invoke("run", "--time", time, "-o", root, "--failures", listed, *arguments)

    dry = run(month, "--dry-run")
    assert dry.exit_code == 0
    assert "2 scenes of s2_l2a: 0 masked already, 2 to mask" in dry.output
    assert f"would mask: {month}-01, {month}-02" in dry.output
    assert json.loads(run(month, "--dry-run", "--json").stdout)["to_mask"] == 2
    assert not root.exists()

    ways = ("--scheduler", scheduler, "--retries", 0)
    bad = run(f"{month}-02", *ways)
    assert bad.exit_code == 4
    some = run(month, *ways)
    assert some.exit_code == 3
    assert "1 masked" in some.output
    assert f"1 failed: the reasons are in {listed}" in some.output
    (failure,) = read_failures(listed)
    assert failure.label == f"{month}-02"
    assert "B02.tif" in failure.reason
    assert f"failed: {failure.label}: {failure.reason}" in some.output

    status = invoke("status", "--time", month, "--failures", listed, "--json")
    counts = {"product": "s2_l2a", "scenes": 2, "masked": 1, "missing": 1, "failed": 1}
    counts |= {"accepted": 0, "rejected": 0, "unreviewed": 1}
    assert json.loads(status.stdout) == counts
    nothing = run("1999", *ways)
    assert nothing.exit_code == 0
    assert "No scene of s2_l2a matches" in nothing.output
    assert not listed.exists()
    assert run(month, *ways, "--workers", 2).exit_code == 2
    listed.write_text("no list")
    spoilt = invoke("status", "--time", month, "--failures", listed)
    assert spoilt.exit_code == 1
    assert "not a list of failures" in spoilt.output


def test_products_are_added_to_a_datacube_that_is_bare(
    archive: Archive, invoke: Callable[..., Result]
) -> None:
    import sqlalchemy

    path = archive.folder / CONFIG_NAME
    url = path.read_text().partition("db_url: ")[2].split()[0]
    engine = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text("CREATE DATABASE bare"))
    engine.dispose()
    bare = url.replace("/postgres?", "/bare?")
    path.write_text(
        path.read_text()
        + f"\n[bare]\nindex_driver: postgres\ndb_url: {bare}\n"
        + f"\n[other]\nindex_driver: postgis\ndb_url: {url}\n"
    )
    uninitialised = invoke("product", "add", "-E", "bare")
    assert uninitialised.exit_code == 1
    assert "datacube system" in uninitialised.output
    init = ("-C", path, "-E", "bare", "system", "init", "--no-default-types")
    subprocess.run([CLEANSAT.with_name("datacube"), *init], check=True, capture_output=True)
    assert invoke("product", "add", "-E", "bare").output == "s2_l2a_ucl: added\n"
    assert invoke("product", "add", "-E", "bare").output == "s2_l2a_ucl: there already\n"
    without = invoke("status", "-E", "bare")
    assert without.exit_code == 1
    assert "no product 's2_l2a'; it has s2_l2a_ucl" in without.output
    other_schema = invoke("status", "-E", "other")
    assert other_schema.exit_code == 1
    assert "the datacube cannot be reached" in other_schema.output
    assert len(other_schema.output.splitlines()) == 1


def test_a_report_counts_what_is_left() -> None:
    found = Plan(None, 4, 1, tuple(uuid.uuid4() for _ in range(3)), 0, ())  # type: ignore[arg-type]
    assert Report(found, 1, 1, (), True, 1.0).left == 1
