"""Folders on this machine and in a store."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from s3_server import Proxy, client

import odc_cleansat.storage.folder
import odc_cleansat.storage.settings
from odc_cleansat.errors import OutputError
from odc_cleansat.storage.folder import Folder, as_uri, split_file
from odc_cleansat.storage.reader import DocumentError

# Sockets that botocore and its event loops leave to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")  # fmt: skip


@pytest.fixture
def memory() -> Iterator[str]:
    """A store in memory."""
    import fsspec

    place = "memory://test-folder/product"
    yield place
    fsspec.filesystem("memory").rm("/test-folder", recursive=True)


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
    assert (tmp_path / ".y.json.draft").exists(), "another has it"


def test_names_that_lead_out_of_a_folder_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    folder = Folder(tmp_path / "product")
    folder.path.mkdir()  # type: ignore[union-attr]
    for name in ("../secret", str(tmp_path / "secret"), "a/../../secret", "..", "", "..\\secret"):
        for look in (folder.read, folder.sha1):
            with pytest.raises(DocumentError, match="is no name of a file in"):
                look(name)


def test_pipes_devices_and_large_files_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "large").write_bytes(b"x" * 11)
    for name in ("pipe", "zero"):
        for look in (Folder(tmp_path).read, Folder(tmp_path).sha1):
            with pytest.raises(DocumentError, match="is a pipe or a device; give a file"):
                look(name)
    assert Folder(tmp_path).read("large", 11) == b"x" * 11
    with pytest.raises(DocumentError, match="is larger than"):
        Folder(tmp_path).read("large", 10)
    assert Folder(tmp_path).files() == {"large": 11}


def test_stores_are_read_to_a_limit(memory: str) -> None:
    store = Folder(memory)
    for name, content in (("ten", b"x" * 10), ("none", b"")):
        store.write(name, content)
        assert store.read(name, 10) == content
    with pytest.raises(DocumentError, match="ten is larger than 9 bytes"):
        store.read("ten", 9)


def finished(tmp_path: Path) -> Path:
    """A product in the making, whose layer has 100 bytes."""
    source = tmp_path / "work"
    source.mkdir()
    for name, content in (("a.tif", "x" * 100), ("a.sha1", "sums"), ("a.yaml", "document")):
        (source / name).write_text(content)
    return source


LAST = ["a.sha1", "a.yaml"]


def test_the_document_is_not_written_before_the_layers_are_whole(
    memory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, seen = Folder(memory), []
    put = type(store._files).put_file

    def short_once(files: Any, source: str, target: str, **options: Any) -> None:
        seen.append(target.rpartition("/")[2])
        put(files, source, target, **options)
        if seen == ["a.tif"]:
            files.pipe_file(target, b"short")

    monkeypatch.setattr(type(store._files), "put_file", short_once)
    store.deliver(finished(tmp_path), LAST)
    assert seen == ["a.tif", "a.tif", "a.sha1", "a.yaml"]
    assert store.files() == {"a.tif": 100, "a.sha1": 4, "a.yaml": 8}


def test_a_product_is_withdrawn_if_a_layer_stays_short(
    memory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Folder(memory)
    put = type(store._files).put_file

    def short(files: Any, source: str, target: str, **options: Any) -> None:
        put(files, source, target, **options)
        if target.endswith(".tif"):
            files.pipe_file(target, b"short")

    monkeypatch.setattr(type(store._files), "put_file", short)
    with pytest.raises(
        OutputError, match=r"does not hold a\.tif as written.*all of it was withdrawn"
    ):
        store.deliver(finished(tmp_path), LAST)
    assert store.files() == {}


def test_a_product_is_not_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "product").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match="is a link to another folder"):
        Folder(tmp_path / "product").deliver(finished(tmp_path), LAST)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_folder_is_shown_without_its_secrets() -> None:
    folder = Folder("memory://me:s3cr3t@bucket/masks")
    assert str(folder / "a") == "memory://bucket/masks/a"
    assert "s3cr3t" not in repr(folder)
    assert Folder(folder).file("a") == "memory://me:s3cr3t@bucket/masks/a"


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


def test_a_folder_that_can_be_written_is_left_as_it_was(tmp_path: Path) -> None:
    Folder(tmp_path / "not" / "yet").check_writable()
    assert not any(tmp_path.iterdir())


def test_a_folder_of_a_system_that_takes_no_files() -> None:
    if not Path("/sys/kernel").is_dir():
        pytest.skip("this system has no folder that refuses files of every user")
    with pytest.raises(OutputError, match=r"/sys/kernel/masks cannot be written: .*choose another"):
        Folder("/sys/kernel/masks").check_writable()


def test_a_bucket_that_may_be_read_alone(bucket: str, moto: int, proxy: Proxy) -> None:
    place = Folder(f"s3://{bucket}/masks")
    place.check_writable()
    assert "Contents" not in client(moto).list_objects_v2(Bucket=bucket)
    assert "Uploads" not in client(moto).list_multipart_uploads(Bucket=bucket)
    proxy.fail("deny", method="POST")
    place.check_usable()
    with pytest.raises(OutputError, match="no permission"):
        place.check_writable()
