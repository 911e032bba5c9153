"""`cleansat run`: killed runs, Ctrl-C, dry runs and exit codes."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import time
from itertools import takewhile
from pathlib import Path
from urllib.request import urlopen

import pytest
from calling import Run, failure, good
from click.testing import Result
from distributed import Client
from ports import free_port

from odc_cleansat.batch import Failure, read_failures
from odc_cleansat.batch.runner import BatchJob
from odc_cleansat.products.product import MaskProduct
from odc_cleansat.products.verification import verify
from odc_cleansat.scenes.files import local_path
from unit.archive import PATIENCE, Archive, await_mask
from unit.item_lists import scene_items, write_list


def outcome(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=PATIENCE)
    return process.returncode, out, err


def test_killed_runs_go_on_and_two_runners_do_not_meet(
    archive: Archive, scheduler: str, tmp_path: Path, invoke: Run
) -> None:
    month, _ = archive.scenes(10, size=180)
    root = tmp_path / "masks"
    arguments = ("run", "--time", month, "-o", root)
    chance, killed = random.Random(), 0
    # The first time its worker goes with it, then those of the cluster stay.
    for where in (("--workers", 1), ("--scheduler", scheduler)):
        process = archive.call(*arguments, *where)
        before = len(archive.masks(month))
        await_mask(root, process)
        until = time.monotonic() + PATIENCE
        while len(archive.masks(month)) == before and process.poll() is None:
            assert time.monotonic() < until
            time.sleep(0.3 * chance.random())
        if process.poll() is None:  # a fast machine may have masked them all
            os.killpg(process.pid, signal.SIGKILL)
            killed += 1
        process.communicate()
        for mask in archive.masks(month):
            assert MaskProduct(Path(local_path(mask.uri)).parent).is_intact()
    indexed = len(archive.masks(month))
    assert killed > 0
    assert indexed > 0
    arguments += ("--scheduler", scheduler, "--json")
    one = archive.call(*arguments)
    assert one.stderr is not None
    # As soon as it hands out scenes, another begins.
    said = list(takewhile(lambda line: "Masking" not in line, one.stderr))
    other = invoke(*arguments)
    code, out, err = outcome(one)
    results = [(code, out, "".join(said) + err), (other.exit_code, other.stdout, other.stderr)]
    for code, out, err in results:
        assert code == 0, err
        summary = json.loads(out)
        assert summary["masked"] + summary["masked_by_others"] + summary["masked_before"] == 10
        assert summary["masked_before"] >= indexed
    archive.check(month, 10, root)


def test_ctrl_c(archive: Archive, tmp_path: Path) -> None:
    month, _ = archive.scenes(6, size=300)
    root = tmp_path / "masks"
    process = archive.call("run", "--time", month, "-o", root, "--workers", 1)
    await_mask(root, process)
    until = time.monotonic() + PATIENCE
    while not archive.masks(month):
        assert time.monotonic() < until
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to all processes
    code, out, err = outcome(process)
    assert code == 130, err
    done = len(archive.masks(month))
    assert 1 <= done < 6
    assert f"{done} masked" in out
    assert f"Stopped with {6 - done} left; the same command goes on" in out
    # A mask that was written just before is found by the next run.
    archive.check(month, done, root, unindexed=1)
    assert not list(root.glob(".*"))


def test_dry_run_exit_codes_and_status(
    archive: Archive, scheduler: str, tmp_path: Path, invoke: Run
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
    log = tmp_path / "run.log"
    assert run(month, "--dry-run", "--json", "--log-file", log).exit_code == 0
    assert re.fullmatch(r"\S+Z 2 scenes of s2_l2a: 0 masked already, 2 to mask\n", log.read_text())

    ways = ("--scheduler", scheduler, "--retries", 0)
    bad = run(f"{month}-02", *ways)
    assert bad.exit_code == 4
    some = run(month, *ways)
    assert some.exit_code == 3
    assert "1 masked" in some.output
    assert f"1 failed: the reasons are in {listed}" in some.output
    (failed,) = read_failures(listed)
    assert failed.label == f"{month}-02"
    assert "B02.tif" in failed.reason
    assert f"failed: {failed.label}: {failed.reason}" in some.output

    status = invoke("status", "--time", month, "--failures", listed, "--json")
    counts = {"product": "s2_l2a", "scenes": 2, "masked": 1, "missing": 1, "failed": 1}
    counts |= {"accepted": 0, "rejected": 0, "unreviewed": 1, "by_former_default": {}}
    assert json.loads(status.stdout) == counts
    nothing = run("1999", *ways)
    assert nothing.exit_code == 0
    assert "No scene of s2_l2a matches" in nothing.output
    assert not listed.exists()
    assert run(month, *ways, "--workers", 2).exit_code == 2
    assert run(month, *ways, "--model", "none", "--log-file", log).exit_code == 1
    assert "Z Error: there is no model 'none'" in log.read_text()
    listed.write_text("no list")
    spoilt = invoke("status", "--time", month, "--failures", listed)
    assert spoilt.exit_code == 1
    assert "not a list of failures" in spoilt.output


def test_lines_for_programs_metrics_and_masks_name_the_run(
    archive: Archive, client: Client, tmp_path: Path, invoke: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    month, _ = archive.scenes(2)
    seen: list[str] = []
    port = free_port()
    over = BatchJob._over

    def over_and_ask(job: BatchJob, failure: Failure | None = None) -> None:
        over(job, failure)
        seen.extend(
            urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read().decode().splitlines()
        )

    monkeypatch.setattr(BatchJob, "_over", over_and_ask)
    log = tmp_path / "run.log"
    done = invoke(
        "--log-format", "json", "run", "--time", month, "-o", tmp_path / "masks", "--json", "--log-file", log,
        "--scheduler", client.scheduler.address, "--metrics-port", port, "--metrics-host", "127.0.0.1",
    )  # fmt: skip
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    (run,) = {line["run"] for line in lines}
    assert [json.loads(line) for line in log.read_text().splitlines()] == lines
    assert {line["command"] for line in lines} == {"run"}
    assert any("The dashboard of dask is at http://127.0.0.1:" in line["message"] for line in lines)
    assert json.loads(done.stdout)["run"] == run
    masks = archive.masks(month)
    assert [mask.metadata_doc["properties"]["cleansat:run"] for mask in masks] == [run] * 2
    assert verify(local_path(masks[0].uri), fetch_scenes=True).right
    for state, count in (("masked", 1), ("masked", 2), ("left", 1), ("left", 0), ("failed", 0)):
        assert f'cleansat_run_scenes{{state="{state}"}} {count}.0' in seen
    assert any(f'cleansat_run_last_scene_timestamp_seconds{{run="{run}"}}' in line for line in seen)


def test_errors_for_programs(invoke: Run, tmp_path: Path) -> None:
    for arguments, code, said in (
        (("run", "--time", "never", "-o", tmp_path), 1, "cannot be understood"),
        (("run", "-o", tmp_path, "--workers", 1, "--scheduler", "tcp://x"), 2, "does not go with"),
        (("run", "--wrong"), 2, "No such option"),
    ):
        done = invoke("--log-format", "json", *arguments)
        assert done.exit_code == code, done.output
        (line,) = done.stderr.splitlines()
        assert json.loads(line)["level"] == "error"
        assert said in json.loads(line)["message"]


def test_a_job_array_masks_all_scenes_in_parts(
    archive: Archive, tmp_path: Path, invoke: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each part by itself, as jobs of a cluster call them; each names its failures in a file of its own."""
    monkeypatch.chdir(tmp_path)
    month, (broken, *others) = archive.scenes(4)
    (archive.folder / "scenes" / f"{month}-01" / "B04.tif").unlink()
    where = ("run", "--time", month, "-o", "masks", "--no-index", "--workers", 1, "--retries", 0)
    masked = [
        json.loads(invoke(*where, "--json", "--part", f"{k}/2").stdout)["masked"] for k in (1, 2, 1)
    ]
    assert masked[0] + masked[1] == len(others)
    assert masked[2] == 0
    names = [path.name for path in tmp_path.glob("*.jsonl")]
    assert names == [f"cleansat-failures-{broken.id.int % 2 + 1}-of-2.jsonl"]


@pytest.mark.parametrize("part", ["0/3", "4/3", "3", "a/b", "1/3/5"])
def test_what_is_no_part(part: str, tmp_path: Path, run: Run) -> None:
    done = run("run", "-o", tmp_path, "--part", part)
    assert done.exit_code == 2
    assert "write K/N with K from 1 to N, like 3/100" in done.output


def test_a_list_of_items_in_place_of_a_product(
    run: Run, scheduler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts share the work; the second time all is there; no datacube is asked, and none may be named."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ODC_DEFAULT_DB_URL", "postgresql://nobody@127.0.0.1:1/none")
    items = scene_items(tmp_path, 5)
    write_list(tmp_path / "items.parquet", items)
    arguments = ("run", "--items", "items.parquet", "--time", "2024-06-01/2024-06-04", "-o", "masks")  # fmt: skip
    dry = good(run(*arguments, "--dry-run", "--max-cloud", 25))
    assert "2 scenes of items.parquet: 0 masked already, 2 to mask" in dry
    assert "would mask: scene-1, scene-2" in dry
    assert not (tmp_path / "masks").exists()
    masked = 0
    for part in ("1/2", "2/2"):
        said = good(run(*arguments, "--part", part, "--scheduler", scheduler, "--json"))
        summary = json.loads(said)
        assert (summary["items"], summary["product"], summary["failed"]) == ("items.parquet", None, 0)  # fmt: skip
        assert summary["masked_before"] == 0
        masked += summary["masked"]
    assert masked == 4
    # Nobody would answer if there were anything to do.
    again = run(*arguments, "--scheduler", "tcp://127.0.0.1:1")
    assert "4 scenes of items.parquet: 4 masked already, 0 to mask" in good(again)
    assert "4" in good(run("status", "--catalog", "masks")).splitlines()[1]
    for wrong in (("--product", "s2"), ("--index",), ("--catalog", "masks"), ("--env", "x"), ("--only-accepted",)):  # fmt: skip
        refused = run(*arguments, *wrong)
        assert refused.exit_code == 2
        assert f"leave out {wrong[0]}" in refused.stderr
    assert run(*arguments, "--no-index", "--dry-run").exit_code == 0
    half = (tmp_path / "items.parquet").read_bytes()[:-9]
    (tmp_path / "items.parquet").write_bytes(half)
    assert "items.parquet is no whole file of Parquet" in failure(run(*arguments))
