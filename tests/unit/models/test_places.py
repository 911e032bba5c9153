"""Where weights are: a package, a file, an address, a mirror, the user's folders."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from odc_cleansat import get_model
from odc_cleansat.errors import ModelError
from odc_cleansat.models.places import availability, find_weights, package_folder
from odc_cleansat.models.weights import fetch_weights, sha256_of, verify_weights, weights_path
from unit.models.weights_server import CONTENT, SHA256, Server, remote

pytestmark = pytest.mark.usefixtures("folder")


def test_looking_never_fetches(server: Server) -> None:
    model = remote(server)
    assert find_weights(model) is None
    assert availability(model) == "to fetch"
    assert sha256_of(model) == SHA256
    with pytest.raises(ModelError, match="cleansat models fetch net"):
        verify_weights(model)
    assert not server.asked


@pytest.mark.parametrize(
    ("revision", "asked"),
    [("", "main"), ("@0123abc", "0123abc"), ("@refs/pr/1", "refs%2Fpr%2F1")],
)
def test_hugging_face(hub: Server, revision: str, asked: str) -> None:
    hub.faults[f"/cdn/{asked}"] = ["cut"]
    model = remote(hub, "", weights=f"hf:owner/nets/deep/net.pt{revision}")
    assert weights_path(model).read_bytes() == CONTENT
    assert hub.paths() == [f"/owner/nets/resolve/{asked}/deep/net.pt", f"/cdn/{asked}"] * 2
    assert "Range" in hub.asked[-1][1]


def test_a_login_is_sent_to_hugging_face_and_no_further(
    hub: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    weights_path(remote(hub, weights="hf:owner/nets/deep/net.pt"))
    (_, first), (_, second) = hub.asked
    assert first["Authorization"] == "Bearer secret"
    assert "Authorization" not in second


def test_a_mirror_is_asked_instead_and_gets_no_login(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLEANSAT_MIRROR", f"{server.url}/mirror/")
    monkeypatch.setenv("HF_TOKEN", "secret")
    server.files["/mirror/owner/nets/resolve/main/net.pt"] = CONTENT
    server.files["/mirror/a/net.pt"] = CONTENT
    weights_path(remote(server, weights="hf:owner/nets/net.pt", name="one"))
    weights_path(remote(server, weights="https://example.org/a/net.pt", name="two"))
    assert server.paths() == ["/mirror/owner/nets/resolve/main/net.pt", "/mirror/a/net.pt"]
    assert not any("Authorization" in headers for _, headers in server.asked)


@pytest.mark.parametrize("place", ["net-1/net.pt", "net.pt"])
def test_a_shared_folder(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    shared = tmp_path / "lab" / place
    shared.parent.mkdir(parents=True)
    shared.write_bytes(CONTENT)
    monkeypatch.setenv(
        "CLEANSAT_WEIGHTS_PATH", f"{tmp_path / 'none'}{os.pathsep}{tmp_path / 'lab'}"
    )
    assert weights_path(remote(server)) == shared
    assert not server.asked
    # A setting that no shell has read may have a tilde.
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CLEANSAT_WEIGHTS_PATH", "~/lab")
    assert weights_path(remote(server)) == shared
    shared.write_bytes(b"tampered with")
    with pytest.raises(ModelError, match="not used"):
        weights_path(remote(server))
    monkeypatch.setenv("CLEANSAT_WEIGHTS", "~/own")
    assert fetch_weights(remote(server), progress=False)[0].is_relative_to(tmp_path / "own")
    assert fetch_weights(remote(server), progress=False) == [weights_path(remote(server))]
    assert weights_path(remote(server)).read_bytes() == CONTENT


def test_a_file_and_a_relative_of_another_name(tmp_path: Path, server: Server) -> None:
    path = tmp_path / "my net.pt"
    path.write_bytes(CONTENT)
    model = remote(server, weights=f"file:{path}")
    assert weights_path(model) == path
    assert availability(model) == "here"
    assert weights_path(replace(model, weights=path.as_uri())) == path
    path.unlink()
    assert availability(model) == "missing"
    with pytest.raises(ModelError, match="should be at"):
        fetch_weights(model)


def test_locating_a_package_imports_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "evil_nets"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    (package / "net.pt").write_bytes(CONTENT)
    monkeypatch.syspath_prepend(tmp_path)
    model = replace(get_model(), weights="package:evil_nets/net.pt", sha256=SHA256)
    assert weights_path(model).read_bytes() == CONTENT
    (package / "deeper").mkdir()
    (package / "deeper" / "net.pt").write_bytes(CONTENT)
    assert weights_path(replace(model, weights="package:evil_nets.deeper/net.pt"))


def test_packages_of_a_namespace_are_found_wherever_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place, package in (("first", "a"), ("second", "b")):
        (tmp_path / place / "some_namespace" / package).mkdir(parents=True)
        monkeypatch.syspath_prepend(tmp_path / place)
    for place, package in (("first", "a"), ("second", "b")):
        found = package_folder(f"some_namespace.{package}")
        assert found == tmp_path / place / "some_namespace" / package


@pytest.mark.parametrize(
    "uri",
    [
        "ftp://somewhere/x.pt",
        "http://example.org/x.pt",
        "hf:owner/x.pt",
        "x.pt",
        "package:",
        "https:",
    ],
)
def test_addresses_that_are_not_known(uri: str) -> None:
    model = replace(get_model(), weights=uri)
    with pytest.raises(ModelError, match=r"known are package:NAME/FILE|names no file"):
        weights_path(model)


def test_names_lead_to_no_other_folder(server: Server, folder: Path) -> None:
    model = remote(server, name="../../net", version="..")
    assert weights_path(model).is_relative_to(folder)
    with pytest.raises(ModelError, match="names no file"):
        weights_path(remote(server, weights=f"{server.url}/a/%2e%2e"))
