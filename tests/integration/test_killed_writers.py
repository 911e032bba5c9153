"""The catalogue of a bucket, whose two writers are killed: nothing that was told is lost, and an update mends the rest."""

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
import yaml
from odc_cleansat.cube.catalog import open_catalog
from odc_cleansat.storage.folder import Folder
from unit.catalog.made import document
root, writer = sys.argv[1:]
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


def _writer(root: str, name: str, port: int) -> subprocess.Popen[str]:
    tests = Path(__file__).parents[1]
    paths = os.pathsep.join([str(tests), str(tests.parent), *sys.path])
    store = f"http://127.0.0.1:{port}"
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, root, name],
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


def _without_entry(root: str, names: set[str]) -> set[str]:
    """The masks that the catalogue, opened anew, does not find."""
    found = open_catalog(root).dc.index.datasets.get_all_dataset_ids()
    return {name for name in names if uuid5(NAMESPACE_URL, name) not in set(found)}
