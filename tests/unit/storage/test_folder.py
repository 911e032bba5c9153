"""Folders on this machine and in a store."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from s3_server import Proxy, client

import odc_cleansat.storage.folder
import odc_cleansat.storage.settings
from odc_cleansat.errors import OutputError
from odc_cleansat.storage.folder import Folder, as_uri, split_file

# Sockets that botocore and its event loops leave to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")  # fmt: skip


def test_large_files_go_in_parts_and_old_parts_are_forgotten(
    bucket: str, moto: int, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(odc_cleansat.storage.folder, "MULTIPART", 5 * 2**20)
    source = tmp_path / "finished"
    source.mkdir()
    content = np.random.default_rng(0).bytes(12 * 2**20)
    (source / "large.tif").write_bytes(content)
    (source / "x.sha1").write_text("sums")
    (source / "x.odc-metadata.yaml").write_text("document")
    store = client(moto)
    store.put_object(Bucket=bucket, Key="p/large.tif", Body=b"of an interrupted run")
    store.create_multipart_upload(Bucket=bucket, Key="p/large.tif")
    elsewhere = store.create_multipart_upload(Bucket=bucket, Key="pq/other.tif")
    Folder(f"s3://{bucket}/p").deliver(source, last=["x.sha1", "x.odc-metadata.yaml"])
    assert store.get_object(Bucket=bucket, Key="p/large.tif")["Body"].read() == content
    assert sum("partNumber=" in path for _, path in proxy.seen) == 3
    pending = store.list_multipart_uploads(Bucket=bucket).get("Uploads", [])
    assert [each["UploadId"] for each in pending] == [elsewhere["UploadId"]]


def test_a_scheme_that_nothing_serves() -> None:
    with pytest.raises(OutputError, match=r"nowhere://x.*s3://bucket"):
        Folder("nowhere://x")


def test_without_s3fs_it_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['s3fs'] = None\n"
        "from odc_cleansat.storage.folder import Folder\n"
        "try: Folder('s3://bucket')\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "OutputError s3://bucket" in said.stdout
    assert "pip install 'odc-cleansat[s3]'" in said.stdout


def test_files_of_a_folder_and_of_one_that_is_missing(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    (tmp_path / "a.txt").write_text("abc")
    (tmp_path / "below").mkdir()
    assert folder.files() == {"a.txt": 3}
    assert folder.read("a.txt") == b"abc"
    assert folder.sha1("a.txt") == "a9993e364706816aba3e25717850c26c9cd0d89d"
    assert Folder(tmp_path / "missing").files() == {}
    assert not Folder(tmp_path / "missing").exists()


def test_a_path_a_file_url_and_a_part(tmp_path: Path) -> None:
    assert Folder(tmp_path.as_uri()).path == tmp_path
    assert (Folder(tmp_path) / "a").file("x") == tmp_path / "a" / "x"
    assert str(Folder("memory://bucket/a/") / "b/c") == "memory://bucket/a/b/c"
    assert Folder("memory://bucket/a").file("x") == "memory://bucket/a/x"


def test_a_new_file_is_not_replaced_and_leaves_no_draft(tmp_path: Path) -> None:
    Folder(tmp_path).write("x.json", b"{}")
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]
    (tmp_path / ".y.json.draft").touch()
    with pytest.raises(FileExistsError):
        Folder(tmp_path).write("y.json", b"{}")


def test_folders_are_found_by_the_files_in_them(tmp_path: Path) -> None:
    for name in ("b/x.sha1", "a/deep/x.sha1", "a/other.txt", ".hidden/x.sha1", "x.sha1"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = [folder.path for folder in Folder(tmp_path).find((".sha1",))]
    assert found == [tmp_path, tmp_path / "a/deep", tmp_path / "b"]


def test_a_finished_folder_takes_the_place_or_its_files_do(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "product"
    for content in ("one", "two"):
        source = tmp_path / "work"
        source.mkdir(exist_ok=True)
        for name in ("x.tif", "x.sha1"):
            (source / name).write_text(content)
        Folder(target).deliver(source, last=["x.sha1"])
        assert {p.name: p.read_text() for p in target.iterdir()} == {
            "x.tif": content,
            "x.sha1": content,
        }


@pytest.mark.parametrize(("place", "character"), [("/a#b", "#"), ("/a?b", r"\?"), ("memory://a/b#c", "#")])  # fmt: skip
def test_names_that_cannot_be_used(place: str, character: str) -> None:
    with pytest.raises(OutputError, match=f"with '{character}'; take another"):
        Folder(place).check_usable()


def test_files_by_path_and_url(tmp_path: Path) -> None:
    folder, name = split_file(tmp_path / "x.yaml")
    assert (folder.path, name) == (tmp_path, "x.yaml")
    folder, name = split_file("memory://bucket/a/x.yaml")
    assert (str(folder), name) == ("memory://bucket/a", "x.yaml")
    assert as_uri(tmp_path / "x") == (tmp_path / "x").as_uri()
    assert as_uri("s3://bucket/x") == "s3://bucket/x"
