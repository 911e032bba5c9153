"""The cache of compiled networks."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from odc_cleansat.models.documents import write_model
from odc_cleansat.models.inference import checked_by
from odc_cleansat.models.model import Model
from odc_cleansat.models.openvino_engine import OpenVINOEngine, release_memory
from unit.models.helpers import KERNEL, a_model, node, onnx_file


@pytest.fixture
def stacked(tmp_path: Path) -> Model:
    """A network of three convolutions, soon compiled, whose weights fill most of its file."""
    random = np.random.default_rng(2)
    constants = {
        "wide": random.normal(size=(64, 3, 3, 3)).astype("float32"),
        "narrow": random.normal(size=(3, 64, 3, 3)).astype("float32"),
    }
    tail = [
        node("Conv", ["features", "wide"], ["hidden"], pads=[1, 1, 1, 1]),
        node("Conv", ["hidden", "narrow"], ["answer"], pads=[1, 1, 1, 1]),
    ]
    return a_model(onnx_file(tmp_path / "stacked.onnx", tail=tail, constants=constants))


def test_compiled_networks_are_kept(
    cache: Path, stacked: Model, small: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = OpenVINOEngine(stacked)(small[:, :4])
    (blob,) = cache.iterdir()

    def forbidden(*_: object) -> None:
        raise AssertionError("the cached network must be used")

    monkeypatch.setattr("odc_cleansat.models.openvino_engine.openvino_graph", forbidden)
    np.testing.assert_array_equal(OpenVINOEngine(stacked)(small[:, :4]), first)
    assert [blob] == list(cache.iterdir())


def test_other_weights_are_another_entry(cache: Path, tmp_path: Path) -> None:
    model = a_model(onnx_file(tmp_path / "x.onnx"))
    OpenVINOEngine(model, "f32")
    OpenVINOEngine(a_model(onnx_file(tmp_path / "y.onnx", kernel=KERNEL + 1)), "f32")
    OpenVINOEngine(dataclasses.replace(model, mean=(0.0,) * 4), "f32")
    assert len(list(cache.iterdir())) == 3


def test_what_has_long_not_been_used_is_deleted(cache: Path, tmp_path: Path) -> None:
    model, month = a_model(onnx_file(tmp_path / "x.onnx")), 30 * 86400
    OpenVINOEngine(model, "f32")
    (old,) = cache.iterdir()
    OpenVINOEngine(dataclasses.replace(model, mean=(0.2,) * 4), "f32")
    (used,) = set(cache.iterdir()) - {old}
    ours = cache / "notes.txt"
    ours.write_text("no network")
    disk, named = cache / "disk.blob", cache / f"x-f32-{'0' * 24}.blob"
    for path in (disk, named):
        path.write_bytes(b"another's")
    for path in (old, used, ours, disk, named):
        os.utime(path, (time.time() - 4 * month,) * 2)
    OpenVINOEngine(dataclasses.replace(model, mean=(0.2,) * 4), "f32")
    OpenVINOEngine(dataclasses.replace(model, mean=(0.3,) * 4), "f32")
    assert not old.exists()
    assert used.exists()
    assert all(path.exists() for path in (ours, disk, named)), "they are another's"


def test_a_cut_off_entry_is_as_good_as_none(cache: Path, stacked: Model, small: np.ndarray) -> None:
    first = OpenVINOEngine(stacked)(small[:, :4])
    (blob,) = cache.iterdir()
    whole = blob.read_bytes()
    blob.write_bytes(whole[: len(whole) // 3])
    np.testing.assert_array_equal(OpenVINOEngine(stacked)(small[:, :4]), first)
    # Two exports of one network differ by some bytes.
    assert len(blob.read_bytes()) > 0.9 * len(whole)


def test_an_entry_with_a_hole_is_as_good_as_none(
    cache: Path, stacked: Model, small: np.ndarray
) -> None:
    """OpenVINO would take it, and answer something else."""
    first = OpenVINOEngine(stacked)(small[:, :4])
    (blob,) = cache.iterdir()
    whole = blob.read_bytes()
    middle, hole = len(whole) // 2, bytes(len(whole) // 8)
    blob.write_bytes(whole[:middle] + hole + whole[middle + len(hole) :])
    np.testing.assert_array_equal(OpenVINOEngine(stacked)(small[:, :4]), first)
    assert blob.read_bytes()[middle : middle + len(hole)] != hole


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("CLEANSAT_CACHE", str(tmp_path / "file" / "cache"))
    assert OpenVINOEngine(a_model(onnx_file(tmp_path / "x.onnx"))).name == "openvino"


def code_that_loads(model_code: str) -> str:
    return (
        "import sys, time\n"
        "from odc_cleansat.models.engines import get_engine\n"
        f"{model_code}\n"
        "engine = get_engine(model, 'openvino', 'f32')\n"
        "print(time.process_time(), 'torch' in sys.modules)"
    )


def test_a_cached_network_loads_at_once_and_without_torch(cache: Path, mobile: Model) -> None:
    """In seconds of the processor, since others may share the machine."""
    document = cache.parent / "mobile.yaml"
    write_model(mobile, document)
    OpenVINOEngine(mobile, "f32")
    code = code_that_loads(
        f"from odc_cleansat.models import read_model; model = read_model({str(document)!r})"
    )
    found = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True
    )
    seconds, torch = found.stdout.split()
    assert torch == "False"
    assert float(seconds) < 2


def test_a_run_is_broken_off_and_the_next_is_as_before(cache: Path, tmp_path: Path) -> None:
    engine = OpenVINOEngine(a_model(onnx_file(tmp_path / "x.onnx")), "f32")
    batch = np.full((1, 4, 2048, 2048), 0.1, dtype="float32")
    asked = 0

    def check() -> None:
        nonlocal asked
        asked += 1
        if asked == 2:  # once before, once meanwhile
            raise InterruptedError

    class Slow:
        """A run that is never over by itself."""

        def __init__(self, request: Any) -> None:
            self.request, self.cancelled = request, False

        def __getattr__(self, name: str) -> Any:
            return getattr(self.request, name)

        def wait_for(self, milliseconds: int) -> bool:
            return bool(self.request.wait_for(milliseconds)) and asked > 2

        def cancel(self) -> None:
            self.cancelled = True
            self.request.cancel()

    expected = engine(batch)
    plain, engine._request = engine._request, Slow(engine._request)
    with checked_by(check), pytest.raises(InterruptedError):
        engine(batch)
    assert engine._request.cancelled
    engine._request = plain
    with checked_by(check):
        np.testing.assert_array_equal(engine(batch), expected)
    assert asked > 2


def test_pixels_are_not_copied_for_the_network(cache: Path, stacked: Model) -> None:
    engine = OpenVINOEngine(stacked, "f32")
    window = np.random.default_rng(3).random((1, 4, 64, 64), dtype="float32")
    with checked_by(lambda: None):
        answer = engine(window)
    assert np.shares_memory(engine._request.get_input_tensor(0).data, window)
    np.testing.assert_array_equal(engine(window), answer)


def test_what_a_network_computes_in_is_given_back(cache: Path, stacked: Model) -> None:
    """64 channels of a million pixels, in f32, are 256 MB."""
    engine = OpenVINOEngine(stacked, "f32")
    window = np.random.default_rng(3).random((1, 4, 1024, 1024), dtype="float32")
    answer = engine(window)
    before = psutil.Process().memory_info().rss
    release_memory()
    after = psutil.Process().memory_info().rss
    assert before - after > 100e6
    np.testing.assert_array_equal(engine(window), answer)
