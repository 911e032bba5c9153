"""Verdicts by several people and in a store, and how products, load, recall and runs heed them."""

from __future__ import annotations

import subprocess
import sys
import time
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from odc_cleansat import load, recall, verify
from odc_cleansat.batch import Request, execute, plan
from odc_cleansat.errors import CubeError, GapWarning, OutputError
from odc_cleansat.products.product import MaskProduct
from odc_cleansat.products.verdict_files import (
    SUFFIX,
    accept,
    read_many,
    reject,
    review_state,
    verdicts,
)
from odc_cleansat.storage.eo3 import MASK_PRODUCT
from odc_cleansat.storage.folder import Folder
from unit.reviewed import DAYS, GRID, Place

SAY = """
import sys
from odc_cleansat.products.verdict_files import flag
for i in range(25):
    flag(sys.argv[1], str(i), sys.argv[2])
"""


def test_several_reviewers_at_once_lose_nothing(place: Place) -> None:
    people = [
        subprocess.Popen([sys.executable, "-c", SAY, str(place.folders[0]), who])
        for who in ("one", "two")
    ]
    while any(each.poll() is None for each in people):
        verdicts(place.folders[0])  # never meets half a verdict
        time.sleep(0.02)
    assert [each.returncode for each in people] == [0, 0]
    said = verdicts(place.folders[0])
    assert len(said) == 50
    for who in ("one", "two"):
        assert [each.note for each in said if each.by == who] == [str(i) for i in range(25)]


def test_products_with_verdicts_are_whole_and_keep_them(place: Place) -> None:
    folder = place.folders[0]
    reject(folder, "smoke", "me")
    assert MaskProduct(folder).is_intact()
    assert verify(folder, pixels=False).right
    assert place.jobs[0].document is not None
    layer = next(folder.glob("*_ucl.tif"))
    whole = layer.read_bytes()
    layer.write_bytes(whole[:-100])
    assert not MaskProduct(folder).is_intact()
    place.jobs[0].run()  # made again over what is there
    assert layer.read_bytes() == whole
    assert MaskProduct(folder).is_intact()
    assert [each.note for each in verdicts(folder)] == ["smoke"]


def days(data: object) -> list[str]:
    return [str(time)[:10] for time in data.time.values]  # type: ignore[attr-defined]


def test_load_leaves_out_what_was_rejected(place: Place) -> None:
    place.index(0, 1, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error", GapWarning)
        assert days(load(place.dc, "s2_l2a", measurements="ucl", **GRID)) == list(DAYS)
    reject(place.folders[1], by="me")
    message = "1 of 3 scenes are left out: 1 rejected by reviewers"
    for how in (
        {},
        {"ucl": "computed"},
        {"ucl": "indexed"},
        {"min_clear": 0.0},
        {"dask_chunks": {}},
    ):
        with pytest.warns(GapWarning, match=message) as caught:
            data = load(place.dc, "s2_l2a", measurements=["scl", "ucl"], **GRID, **how)  # type: ignore[arg-type]
        assert days(data) == [DAYS[0], DAYS[2]]
        (said,) = (each for each in caught if each.category is GapWarning)
        assert Path(said.filename).name == Path(__file__).name
    with pytest.warns(GapWarning, match=message):
        assert len(load(place.dc, "s2_l2a", measurements="scl", **GRID).time) == 2
    with pytest.warns(GapWarning, match=message):
        assert len(load(place.dc, datasets=place.scenes, measurements="ucl", **GRID).time) == 2
    everything = load(place.dc, "s2_l2a", measurements="ucl", include_rejected=True, **GRID)
    assert days(everything) == list(DAYS)
    accept(place.folders[1], by="you")
    assert len(load(place.dc, "s2_l2a", measurements="ucl", **GRID).time) == 3


def test_load_only_what_was_accepted(place: Place) -> None:
    place.index(0, 1)
    with pytest.raises(CubeError, match="none of the 3 scenes is left: 3 not accepted by anyone"):
        load(place.dc, "s2_l2a", measurements="ucl", only_accepted=True, **GRID)
    accept(place.folders[0], by="me")
    reject(place.folders[1], by="me")
    accept(place.folders[2], by="me")  # but it is not indexed
    with pytest.warns(
        GapWarning, match="2 of 3 .*: 1 rejected by reviewers, 1 not accepted by anyone"
    ):
        data = load(place.dc, "s2_l2a", measurements=["red"], only_accepted=True, **GRID)
    assert days(data) == [DAYS[0]]
    with pytest.raises(CubeError, match="contradict each other"):
        load(place.dc, "s2_l2a", only_accepted=True, include_rejected=True, **GRID)


def test_load_when_all_are_rejected(place: Place) -> None:
    place.index(0)
    reject(place.folders[0], by="me")
    with pytest.raises(CubeError, match="none of the 1 scenes is left: 1 rejected by reviewers"):
        load(place.dc, "s2_l2a", time=DAYS[0], measurements="ucl", **GRID)


def test_a_mask_by_another_model_has_no_say(place: Place) -> None:
    place.index(0)
    reject(place.folders[0], by="me")
    other = "unet-efficientnetb4-l2a-4b"
    data = load(place.dc, "s2_l2a", time=DAYS[0], measurements="ucl", model=other, **GRID)
    assert (data.ucl != 0).any()
    with pytest.raises(CubeError, match="rejected"):
        load(place.dc, "s2_l2a", time=DAYS[0], measurements="ucl", **GRID)


def test_recall_heeds_verdicts(place: Place) -> None:
    place.index(0, 1, 2)
    reject(place.folders[1], by="me")
    accept(place.folders[2], by="me")
    with pytest.warns(GapWarning, match="1 of 3 masks are left out: 1 rejected by reviewers"):
        assert days(recall(place.dc)) == [DAYS[0], DAYS[2]]
    with pytest.warns(GapWarning, match="2 of 3 masks .*: 1 rejected .*, 1 not accepted by anyone"):
        assert days(recall(place.dc, only_accepted=True)) == [DAYS[2]]
    assert days(recall(place.dc, include_rejected=True)) == list(DAYS)
    with pytest.raises(CubeError, match="none of the 1 masks is left"):
        recall(place.dc, time=DAYS[1])
    with pytest.raises(CubeError, match="contradict each other"):
        recall(place.dc, only_accepted=True, include_rejected=True)


def test_a_verdict_that_cannot_be_read_is_said(place: Place) -> None:
    place.index(0, 1, 2)
    reject(place.folders[0], by="me")
    place.files(0)[0].write_text("{")
    with pytest.raises(OutputError, match=r"verdict.json cannot be read as a verdict"):
        verdicts(place.folders[0])
    with pytest.warns(
        GapWarning, match="verdicts on 1 of 3 masks cannot be read, and count as none"
    ):
        assert len(recall(place.dc).time) == 3


def test_a_rejected_mask_that_is_written_is_not_indexed(place: Place) -> None:
    from odc_cleansat.batch.records import FailureLog
    from odc_cleansat.batch.runner import BatchJob
    from odc_cleansat.batch.worker import make_mask

    reject(place.folders[0], by="me")
    found = plan(place.dc, Request("s2_l2a", place.root))
    assert len(found.missing) == 3
    job = BatchJob(place.dc, found, 0, FailureLog(None))
    for task in job.tasks():
        job.finish(task, make_mask(task))
    assert (job.meanwhile, job.rejected, job.left, job.failures) == (2, 1, 0, [])
    indexed = {each.id for each in place.dc.find_datasets(product=MASK_PRODUCT)}
    assert indexed == {place.jobs[1].id, place.jobs[2].id}
    again = plan(place.dc, Request("s2_l2a", place.root, index=False))
    assert again.masked == 3  # as files, it is there


def test_an_accepted_mask_that_is_damaged_is_a_failure(place: Place) -> None:
    accept(place.folders[0], by="me")
    layer = next(place.folders[0].glob("*_ucl.tif"))
    moved = layer.rename(place.folder / "layer.tif")
    try:
        found = plan(place.dc, Request("s2_l2a", place.root, only_accepted=True))
        report = execute(place.dc, found)
        assert [each.reason for each in report.failures] == [
            "the mask is not whole; without only_accepted=True it is made again."
        ]
    finally:
        moved.rename(layer)


def test_a_verdict_between_plan_and_execution_counts(place: Place) -> None:
    accept(place.folders[0], by="me")
    found = plan(place.dc, Request("s2_l2a", place.root, only_accepted=True))
    reject(place.folders[0], by="you")
    report = execute(place.dc, found)
    assert (report.masked, report.rejected, report.left) == (0, 1, 0)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket in a real S3 protocol server."""
    import os

    import boto3
    import s3fs
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    url = f"http://127.0.0.1:{server.get_host_and_port()[1]}"
    for name in [n for n in os.environ if n.startswith("AWS_")]:
        monkeypatch.delenv(name)
    settings = {
        "AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
    }  # fmt: skip
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3", endpoint_url=url)
    client.create_bucket(Bucket="bucket")
    s3fs.S3FileSystem.clear_instance_cache()
    yield "s3://bucket"
    s3fs.S3FileSystem.clear_instance_cache()
    client.close()
    server.stop()


# Sockets that botocore and its event loops leave to the garbage collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")  # fmt: skip
def test_verdicts_on_s3(place: Place, bucket: str) -> None:
    ids, folders = [], []
    for i in range(12):  # a small copy of the same document is enough of a product
        document = next(place.folders[0].glob("*.odc-metadata.yaml"))
        mask = uuid.uuid4()
        text = document.read_text().replace(str(place.jobs[0].id), str(mask))
        folders.append(Folder(f"{bucket}/masks/{i}"))
        folders[-1].write(document.name, text.encode())
        ids.append(mask)
    first = reject(f"{bucket}/masks/0", "smoke", "me")
    second = accept(f"{bucket}/masks/0", "no", "you")
    assert verdicts(f"{bucket}/masks/0") == [first, second]
    assert set(folders[0].files()) > {document.name}
    assert len(folders[0].files()) == 3
    reject(str(folders[5].file(document.name)), by="me")
    said, unread = read_many(dict(zip(ids, folders, strict=True)))
    assert not unread
    states = [review_state(said[each]) for each in ids]
    assert [i for i, each in enumerate(states) if each != "unreviewed"] == [0, 5]
    assert (states[0], states[5]) == ("accepted", "rejected")
    with pytest.raises(OutputError, match="no mask product"):
        accept(f"{bucket}/masks/none")
    said_of = next(name for name in folders[5].files() if name.endswith(SUFFIX))
    folders[5].write(said_of, b"{")
    _, unread = read_many(dict(zip(ids, folders, strict=True)))
    assert list(unread) == [ids[5]]
    assert "cannot be read as a verdict" in unread[ids[5]]
