"""Fixtures that the tests of models share."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from odc_cleansat.models import download
from odc_cleansat.models.model import Model
from unit.models.helpers import BANDS, MOBILE, a_model, has_cuda, random_weights, small_network
from unit.models.weights_server import CONTENT, SHA256, Server


@pytest.fixture(autouse=True)
def models_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.setenv("CLEANSAT_MODELS", str(folder))
    return folder


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CLEANSAT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def reflectance() -> np.ndarray:
    """Smooth random reflectance from dark to saturated, ``(2, 6, 256, 256)`` float32."""
    noise = np.random.default_rng(0).normal(size=(2, 6, 256, 256)).astype("float32")
    return np.clip(ndimage.gaussian_filter(noise, (0, 0, 4, 4)) * 5 + 0.3, 0, 1.2)


@pytest.fixture(scope="session")
def image(reflectance: np.ndarray) -> np.ndarray:
    """Its first image, in the size that the published graphs take, ``(1, 6, 256, 256)`` float32."""
    return reflectance[:1]


@pytest.fixture(scope="session")
def small(reflectance: np.ndarray) -> np.ndarray:
    """A part of it, for networks that take any size, ``(2, 6, 128, 160)`` float32."""
    return reflectance[..., :128, :160]


@pytest.fixture(scope="session")
def mobile(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A UNet with a MobileNetV2 encoder, of random weights and six channels."""
    path = random_weights(MOBILE, 6, tmp_path_factory.mktemp("mobile") / "mobile.safetensors")
    mean, std = (0.1, 0.1, 0.1, 0.3, 0.2, 0.1), (0.1, 0.1, 0.1, 0.2, 0.2, 0.2)
    return a_model(path, bands=BANDS, mean=mean, std=std, architecture=MOBILE, name="mobile")


@pytest.fixture
def device() -> None:
    if not has_cuda():
        pytest.skip("this machine has no NVIDIA device that torch can use")


@pytest.fixture(scope="session")
def state() -> dict:
    return dict(small_network().state_dict())


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        server.files["/some/net.pt"] = CONTENT
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def hub(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """Answers as Hugging Face does: to another place, its sha256 in a header of the redirect."""
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    for revision in ("main", "0123abc", "refs%2Fpr%2F1"):
        resolve = f"/owner/nets/resolve/{revision}/deep/net.pt"
        server.redirects[resolve] = f"{server.url.replace('127.0.0.1', 'localhost')}/cdn/{revision}"
        server.files[f"/cdn/{revision}"] = CONTENT
        server.headers[resolve] = {"X-Linked-ETag": f'"{SHA256}"', "X-Repo-Commit": "0123abc"}
    return server


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder of weights, empty; and no wish of the environment."""
    for name in list(os.environ):
        if name.startswith(("CLEANSAT_", "HF_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("CLEANSAT_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setattr(download, "WAIT", 0.01)
    monkeypatch.setattr(download, "TIMEOUT", 0.5)
    return tmp_path / "weights"
