"""Weights are fetched once, and trusted only if they are what they should be."""

from __future__ import annotations

import hashlib
import logging
import multiprocessing
import os
from dataclasses import replace
from pathlib import Path

import pytest

from odc_cleansat import get_model
from odc_cleansat.errors import ModelError
from odc_cleansat.models.model import Model
from odc_cleansat.models.places import availability
from odc_cleansat.models.weights import fetch_weights, sha256_of, verify_weights, weights_path
from unit.models.weights_server import CONTENT, SHA256, Server, remote

pytestmark = pytest.mark.usefixtures("folder")


def test_what_is_fetched_is_kept_and_not_fetched_again(server: Server, folder: Path) -> None:
    model = remote(server)
    assert availability(model) == "to fetch"
    assert fetch_weights(model, progress=False) == [folder / "net-1" / "net.pt"]
    assert weights_path(model).read_bytes() == CONTENT
    assert availability(model) == "here"
    assert verify_weights(model) == [weights_path(model)]
    assert fetch_weights(model, progress=False) == verify_weights(model)
    assert len(server.asked) == 1


def test_choosing_a_model_fetches_its_weights_and_says_so(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "odc_cleansat"):
        weights_path(remote(server, licence="CC-BY-NC-4.0"))
    assert server.url in caplog.text
    assert "forbids commercial use" in caplog.text


def _fetch_in_a_process(model: Model, started: object) -> None:
    started.wait()
    fetch_weights(model, progress=False)


def test_two_processes_at_once_fetch_once(server: Server) -> None:
    model = remote(server)
    server.faults["/some/net.pt"] = ["slow"]
    context = multiprocessing.get_context("fork")
    started = context.Barrier(2)
    both = [context.Process(target=_fetch_in_a_process, args=(model, started)) for _ in range(2)]
    for each in both:
        each.start()
    for each in both:
        each.join()
    assert [each.exitcode for each in both] == [0, 0]
    assert len(server.asked) == 1
    assert weights_path(model).read_bytes() == CONTENT


def test_wrong_weights_are_never_kept(server: Server, folder: Path) -> None:
    server.faults["/some/net.pt"] = ["corrupt"]
    with pytest.raises(ModelError, match=rf"has sha256 \w+, not {SHA256}"):
        fetch_weights(remote(server), progress=False)
    assert not [p for p in folder.rglob("*") if p.is_file() and p.suffix != ".lock"]


def test_weights_that_change_on_the_disk_are_refused_and_fetched_anew(server: Server) -> None:
    model = remote(server)
    path = weights_path(model)
    path.write_bytes(b"something else")
    with pytest.raises(ModelError, match="cleansat models fetch net"):
        weights_path(model)
    with pytest.raises(ModelError, match="cleansat models fetch net"):
        verify_weights(model)
    assert fetch_weights(model, progress=False) == [path]
    assert path.read_bytes() == CONTENT


def test_the_hash_of_a_first_download_is_recorded(server: Server, folder: Path) -> None:
    model = remote(server, sha256="")
    path = weights_path(model)
    record = folder / "net-1" / "net.pt.sha256"
    assert record.read_text() == f"{SHA256}  net.pt\n"
    assert sha256_of(model) == SHA256
    path.unlink()
    assert sha256_of(model) == SHA256, "known, though the weights are gone"
    server.files["/some/net.pt"] = b"other weights"
    with pytest.raises(ModelError, match=f"had {SHA256} when it was first used") as caught:
        weights_path(model)
    assert f"delete {record}" in str(caught.value)
    assert not path.exists()
    record.unlink()
    assert weights_path(model).read_bytes() == b"other weights"


def test_weights_of_unknown_hash_that_change_on_the_disk_are_refused(server: Server) -> None:
    model = remote(server, sha256="")
    weights_path(model).write_bytes(b"poison")
    with pytest.raises(ModelError, match="when it was first used"):
        weights_path(model)
    fetch_weights(model, progress=False)
    assert weights_path(model).read_bytes() == CONTENT


def test_a_file_is_hashed_once_a_process(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    from odc_cleansat.models import weights

    model = remote(server)
    weights_path(model)
    times: list[Path] = []
    monkeypatch.setattr(weights, "file_sha256", lambda p: times.append(p) or SHA256)
    weights_path(model)
    weights_path(model)
    assert not times
    os.utime(weights_path(model), (0, 0))
    weights_path(model)
    assert len(times) == 1


def test_the_hash_that_hugging_face_publishes_counts(hub: Server) -> None:
    hub.faults["/cdn/main"] = ["corrupt"]
    with pytest.raises(ModelError, match=f"the server publishes {SHA256}"):
        weights_path(remote(hub, "", weights="hf:owner/nets/deep/net.pt"))


@pytest.mark.parametrize("variable", ["CLEANSAT_MIRROR", "HF_ENDPOINT"])
def test_a_mirror_without_encryption_only_gives_what_can_be_checked(
    server: Server, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "http://mirror.invalid")
    with pytest.raises(ModelError, match="not encrypted, and no sha256 is known"):
        weights_path(remote(server, "", weights="hf:owner/nets/net.pt"))
    with pytest.raises(ModelError, match="cannot fetch"):  # it is asked, and is not there
        weights_path(remote(server, SHA256, weights="hf:owner/nets/net.pt"))


@pytest.mark.parametrize("variable", ["CLEANSAT_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline(
    server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "1")
    model = remote(server)
    for use in (weights_path, fetch_weights):
        with pytest.raises(ModelError, match="not on this machine") as caught:
            use(model)
        assert str(folder / "net-1" / "net.pt") in str(caught.value)
        assert f"{server.url}/some/net.pt" in str(caught.value)
    assert not server.asked
    (folder / "net-1").mkdir(parents=True)
    (folder / "net-1" / "net.pt").write_bytes(CONTENT)
    assert weights_path(model).read_bytes() == CONTENT


def test_what_a_shared_folder_holds_is_recorded_by_its_user(
    server: Server, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = tmp_path / "lab" / "net.pt"
    shared.parent.mkdir()
    shared.write_bytes(CONTENT)
    monkeypatch.setenv("CLEANSAT_WEIGHTS_PATH", str(shared.parent))
    model = remote(server, sha256="")
    weights_path(model)
    assert (folder / "net-1" / "net.pt.sha256").read_text().startswith(SHA256)
    shared.write_bytes(b"tampered with")
    with pytest.raises(ModelError, match="when it was first used"):
        weights_path(model)


def test_weights_can_be_used_where_nothing_can_be_written(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = tmp_path / "lab" / "net.pt"
    shared.parent.mkdir()
    shared.write_bytes(CONTENT)
    monkeypatch.setenv("CLEANSAT_WEIGHTS", "/proc/nothing/can/be/made/here")
    model = remote(server, sha256="")
    with pytest.raises(ModelError, match=r"cannot write to /proc/.*CLEANSAT_WEIGHTS"):
        fetch_weights(model, progress=False)
    monkeypatch.setenv("CLEANSAT_WEIGHTS_PATH", str(shared.parent))
    assert weights_path(model) == shared
    shared.with_name("net.pt.sha256").write_text(f"{'0' * 64}  net.pt\n")
    with pytest.raises(ModelError, match=r"0{64} when it was first used"):
        weights_path(model)


def test_weights_of_a_package_are_never_fetched(server: Server) -> None:
    model = get_model()
    assert availability(model) == "packaged"
    assert fetch_weights(model) == [weights_path(model)]
    assert availability(replace(model, weights="package:no_such/x.onnx")) == "missing"
    with pytest.raises(ModelError, match="pip install no-such"):
        verify_weights(replace(model, weights="package:no_such/x.onnx"))


def test_an_ensemble_is_fetched_member_by_member(server: Server) -> None:
    members = (remote(server, name="a"), remote(server, "", name="b"))
    both = replace(get_model(), name="a+b", weights="", sha256="", members=members)
    assert availability(both) == "to fetch"
    assert [path.read_bytes() for path in fetch_weights(both, progress=False)] == [CONTENT] * 2
    assert availability(both) == "here"
    assert sha256_of(both) == hashlib.sha256((SHA256 * 2).encode()).hexdigest()
    with pytest.raises(ModelError, match="an ensemble"):
        weights_path(both)
