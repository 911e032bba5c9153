"""The catalogue of a bucket, whose writers are killed: nothing that was told is lost, and an update mends the rest."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

import pytest
import yaml
from s3_server import Proxy
from unit.catalog.made import document

from odc_cleansat.cube.catalog import open_catalog
from odc_cleansat.storage.eo3 import MASK_PRODUCT
from odc_cleansat.storage.folder import Folder

pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)

WRITER = """
import sys
import time
import yaml
from odc_cleansat.catalog import table
from odc_cleansat.cube.catalog import open_catalog
from odc_cleansat.storage.folder import Folder
from unit.catalog.made import document
root, writer, pause = sys.argv[1:]

def pausing(act):
    def paused(*arguments, **more):
        if act.__name__ == pause:
            print("paused", pause, flush=True)
            time.sleep(600)
        return act(*arguments, **more)
    return paused

# A merge, of which one step is not taken: the writer is killed before it.
table.merge_parts = pausing(table.merge_parts)
Folder.remove = pausing(Folder.remove)
catalog = open_catalog(root)
for i in range(10_000):
    name = f"{writer}-{i}"
    folder = Folder(root) / name
    folder.write(f"{name}.odc-metadata.yaml", yaml.safe_dump(document(name)).encode())
    print("written", name, flush=True)
    catalog.add(folder.file(f"{name}.odc-metadata.yaml"))
    print("entered", name, flush=True)
"""

ENTERED = ((9, 10), (1, 2))
"""Masks that the two writers of each round enter, before they are killed: 16 files are merged meanwhile."""


def _writer(root: str, name: str, port: int, pause: str = "never") -> subprocess.Popen[str]:
    tests = Path(__file__).parents[1]
    paths = os.pathsep.join([str(tests), str(tests.parent), *sys.path])
    store = f"http://127.0.0.1:{port}"
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, root, name, pause],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": paths, "AWS_ENDPOINT_URL": store},
        text=True,
    )


def test_two_writers_of_a_bucket_that_are_killed(proxy: Proxy, moto: int, bucket: str) -> None:
    root = f"s3://{bucket}/masks"
    said: dict[str, set[str]] = {"written": set(), "entered": set()}
    for number, counts in enumerate(ENTERED):
        writers = [_writer(root, f"r{number}{name}", moto) for name in "ab"]
        lines = []
        try:
            for writer, count in zip(writers, counts, strict=True):
                assert writer.stdout is not None
                lines += [writer.stdout.readline() for _ in range(2 * count)]
        finally:
            for writer in writers:
                writer.send_signal(signal.SIGKILL)
        for writer in writers:
            rest, _ = writer.communicate(timeout=60)
            lines += rest.splitlines(keepends=True)
        for line in lines:
            if line.endswith("\n"):
                kind, name = line.split()
                said[kind].add(name)
        assert _without_entry(root, said["entered"]) == set()
    assert len(said["entered"]) >= sum(map(sum, ENTERED))
    # As a writer leaves it that is killed between the two.
    said["written"].add("last")
    folder = Folder(root) / "last"
    folder.write("last.odc-metadata.yaml", yaml.safe_dump(document("last")).encode())
    missing = _without_entry(root, said["written"])
    entered, archived = open_catalog(root).update()
    assert "last" in missing
    # A writer may be killed after it has written a mask, and before it says so.
    assert len(missing) <= entered <= len(missing) + 2 * len(ENTERED)
    assert archived == 0
    assert _without_entry(root, said["written"]) == set()
    parts = Folder(root) / MASK_PRODUCT / "items"
    assert len(parts.entries()) == 1


@pytest.mark.parametrize(("step", "files"), [("merge_parts", 16), ("remove", 17)])
def test_a_writer_that_is_killed_within_a_merge(
    proxy: Proxy, moto: int, bucket: str, step: str, files: int
) -> None:
    """The merged file is whole before those that it replaces are deleted: rows are there once or twice, and never not."""
    root = f"s3://{bucket}/{step}"
    entered = []
    writer = _writer(root, "a", moto, step)
    try:
        assert writer.stdout is not None
        for line in writer.stdout:
            kind, name = line.split()
            if kind == "paused":
                break
            if kind == "entered":
                entered.append(name)
    finally:
        writer.kill()
        writer.communicate(timeout=60)
    assert len(entered) == 15  # the sixteenth is what is being merged
    assert _without_entry(root, {*entered, "a-15"}) == set()
    assert len((Folder(root) / MASK_PRODUCT / "items").entries()) == files
    # Whoever comes next finds them all, and may merge what is left.
    other = _writer(root, "b", moto)
    try:
        assert other.stdout is not None
        lines = [other.stdout.readline() for _ in range(4)]
    finally:
        other.kill()
        other.communicate(timeout=60)
    assert lines[-1] == "entered b-1\n"
    assert _without_entry(root, {*entered, "a-15", "b-0", "b-1"}) == set()


def _without_entry(root: str, names: set[str]) -> set[str]:
    """The masks that the catalogue, opened anew, does not find."""
    found = open_catalog(root).dc.index.datasets.get_all_dataset_ids()
    return {name for name in names if uuid5(NAMESPACE_URL, name) not in set(found)}
