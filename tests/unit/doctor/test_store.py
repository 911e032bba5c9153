"""Places for masks: a bucket that works, and the same with one thing broken after the other."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from time import monotonic

import pytest
from s3_server import Proxy, client, keys

from odc_cleansat.doctor import store
from odc_cleansat.doctor.finding import Finding, in_time

# Sockets that botocore leaves to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


def bad(place: str) -> list[Finding]:
    return [each for each in store.probe(place) if each.state != "ok"]


def test_a_bucket_that_works(bucket: str, moto: int) -> None:
    found = list(store.probe(f"s3://{bucket}/masks"))
    assert [each.state for each in found] == ["ok"] * len(found), found
    said = "\n".join(each.what for each in found)
    assert "credentials come from env, and are those of arn:aws:sts:" in said
    assert f"an object was written to s3://{bucket}/masks, read and deleted" in said
    assert "the clocks of this machine and of the store agree" in said
    assert "secret" not in said
    assert keys(moto, bucket) == []
    assert client(moto).list_multipart_uploads(Bucket=bucket).get("Uploads", []) == []


def test_no_bucket(proxy: Proxy) -> None:
    (found,) = bad("s3://there-is-no-such-bucket/masks")
    assert (found.state, "no such bucket" in found.what) == ("wrong", True)
    assert found.mend.startswith("Make it")


@pytest.mark.parametrize(
    ("method", "path", "said", "mend"),
    [
        ("", "", "cannot be listed: no permission", "AWS_PROFILE"),
        ("HEAD", "", "as `cleansat run` does: no permission", "without a condition on the prefix"),
        ("PUT", "", "cannot be written: no permission", "s3:PutObject"),
        ("GET", "/probe", "can be written and not read", "s3:GetObject"),
        ("DELETE", "/probe", "does not delete them, so masks/.cleansat-doctor-", "s3:DeleteObject"),
        ("POST", "probe?uploads", "upload in parts be broken off", "s3:AbortMultipartUpload"),
        ("GET", "?uploads", "does not list unfinished uploads", "s3:ListBucketMultipartUploads"),
    ],
    ids=["all", "head", "put", "get", "delete", "upload", "uploads"],
)  # fmt: skip
def test_no_permission(
    bucket: str, proxy: Proxy, method: str, path: str, said: str, mend: str
) -> None:
    # The next request to delete is that to break off an upload.
    proxy.fail("deny", times=1 if method == "DELETE" else 100, method=method, path=path)
    (found,) = bad(f"s3://{bucket}/masks")
    assert said in found.what
    assert mend in found.mend


def test_a_clock_that_is_wrong(bucket: str, proxy: Proxy) -> None:
    proxy.fail("skew")
    (found,) = bad(f"s3://{bucket}/masks")
    assert "the clock of this machine is not that of the store" in found.what
    assert found.mend.startswith("Set it")


@pytest.mark.parametrize(("minutes", "state"), [(0, "ok"), (-5, "warning"), (14, "wrong")])
def test_how_far_clocks_differ(minutes: int, state: str) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(minutes=minutes), usegmt=True)
    (found,) = store._clock(date)
    assert found.state == state
    assert list(store._clock("no date")) == []


def test_a_store_that_stands_still(bucket: str, proxy: Proxy) -> None:
    proxy.fail("stall")
    begun = monotonic()
    *_, found = in_time("store", lambda: store.probe(f"s3://{bucket}"), 0.5)
    assert monotonic() - begun < 5
    assert found.what.startswith("no answer within 0.5 s")


def test_a_store_that_gives_back_half(bucket: str, proxy: Proxy) -> None:
    proxy.fail("cut", method="GET", path="/probe")
    (found,) = bad(f"s3://{bucket}")
    assert "can be written and not read" in found.what


def test_another_region(bucket: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    (found,) = bad(f"s3://{bucket}")
    assert "is in region us-east-1, and the settings say eu-central-1" in found.what
    assert "AWS_DEFAULT_REGION=us-east-1" in found.mend


def test_leftovers(bucket: str, moto: int, monkeypatch: pytest.MonkeyPatch) -> None:
    there = client(moto)
    there.create_multipart_upload(Bucket=bucket, Key="masks/a.tif")
    there.create_multipart_upload(Bucket=bucket, Key="elsewhere/a.tif")
    there.put_object(Bucket=bucket, Key="masks/.cleansat-doctor-0/probe", Body=store.MARK)
    monkeypatch.setattr(store, "_OLD", -60.0)
    uploads, examination = bad(f"s3://{bucket}/masks")
    assert "holds 1 unfinished uploads" in uploads.what
    assert "lifecycle rule" in uploads.mend
    assert "masks/.cleansat-doctor-0/probe" in examination.what
    assert keys(moto, bucket) == ["probe"]


def test_without_credentials(bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_NO_SIGN_REQUEST", "YES")
    assert "requests are not signed" in bad(f"s3://{bucket}")[0].what
    monkeypatch.delenv("AWS_NO_SIGN_REQUEST")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    first, second = bad(f"s3://{bucket}")
    assert first.what == "there are no credentials"
    assert "there are no credentials" in second.what


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(scheme: str, **options: object) -> None:
        raise ImportError("Install s3fs")

    monkeypatch.setattr("fsspec.filesystem", missing)
    (found,) = in_time("store", lambda: store.probe("s3://bucket"), 30)
    assert "pip install 'odc-cleansat[s3]'" in found.what


def test_without_boto3(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "find_spec", lambda name: None)
    (found,) = store.probe("s3://bucket")
    assert found.mend == "Run: pip install 'odc-cleansat[s3]'"


def test_a_folder(tmp_path: Path) -> None:
    leftover = tmp_path / ".cleansat-abcdefgh"
    leftover.mkdir()
    assert [each.state for each in store.probe(str(tmp_path))] == ["ok", "ok"]
    assert list(tmp_path.iterdir()) == [leftover]
    assert bad(str(tmp_path / "not" / "yet")) == []
    (tmp_path / "file").write_text("")
    (found,) = bad(str(tmp_path / "file" / "masks"))
    assert (found.state, "is a file" in found.what) == ("wrong", True)


def test_a_leftover_of_a_killed_run_is_deleted(tmp_path: Path) -> None:
    from odc_cleansat.storage import atomic

    leftover = tmp_path / ".cleansat-abcdefgh"
    leftover.mkdir()
    (leftover / atomic._MARKER).write_bytes(atomic._MARK)
    said = [each.what for each in store.probe(str(tmp_path))]
    assert said[1] == "1 working folders that killed runs left are deleted"
    assert list(tmp_path.iterdir()) == []


def test_other_stores() -> None:
    (found,) = store.probe("memory://masks")
    assert found.state == "warning"
    (found,) = in_time("store", lambda: store.probe("nonsense://masks"), 30)
    assert found.state == "wrong"
