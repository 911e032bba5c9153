"""A training packed for a machine with a GPU that reaches nothing."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import yaml

from odc_cleansat.errors import CleansatError
from odc_cleansat.models.engines import get_engine
from odc_cleansat.models.registry import read_model
from odc_cleansat.training.packing import read_packed
from odc_cleansat.training.patches import Patch
from odc_cleansat.training.recipe_file import read_recipe
from odc_cleansat.training.sources import Packed, Source
from unit.training.helpers import SIX, patch, plan, write

SCRIPTS = Path(__file__).parents[3] / "training"

ABSENT = (
    "affine", "dask", "datacube", "odc", "openvino", "pandas", "pyarrow", "pyproj", "pystac", "rasterio",
    "requests", "rioxarray", "shapely", "ukis_csmask", "xarray",
)  # fmt: skip
"""Packages that the other machine lacks."""

WITHOUT = f"""
import sys

class Without:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, *more):
        return None if name.split(".")[0] in {ABSENT!r} else self.finder.find_spec(name, *more)

    def __getattr__(self, name):
        return getattr(self.finder, name)

sys.meta_path[:] = map(Without, sys.meta_path)
"""


def script(name: str) -> Any:
    spec = spec_from_file_location(name, SCRIPTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module: ModuleType = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def bundled(recipe: Path, out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPTS / "bundle.py"), str(recipe), "--out", str(out), *more],
        capture_output=True, text=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A bundle with two small teachers, and what was said."""
    folder = tmp_path_factory.mktemp("bundle")
    recipe = write(
        folder,
        teachers=["unet-mobilenetv2-l2a", "unet-mobilenetv2-l2a-4b"],
        classes=None,
        data=[{"simulated": [1, 3, 4], "size": 96, "truth": False, "licence": "Apache-2.0"}],
        plan=plan(teacher=1, truth=0.1, lessons=4),
    )
    done = bundled(recipe, folder / "there")
    assert done.returncode == 0, done.stderr
    return folder / "there", done.stdout


def test_a_bundle_trains_where_packages_for_maps_are_missing(
    bundle: tuple[Path, str], tmp_path: Path
) -> None:
    folder, said = bundle
    (tmp_path / "sitecustomize.py").write_text(WITHOUT)
    hidden = {"PYTHONPATH": str(tmp_path), "CUDA_VISIBLE_DEVICES": "", "CLEANSAT_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(folder / "train.py"), "--minutes", "0.7", "--out", str(tmp_path / "out")],
        env={**os.environ, **hidden}, capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "weights rounded to 7 bits; " in said
    speed = json.loads((tmp_path / "out" / "speed.json").read_text())
    assert speed["steps"] >= 1
    assert speed["share of teachers"] > 0
    model = read_model(tmp_path / "out" / "tiny.yaml")
    pixels = np.full((1, 6, 64, 64), 0.2, "float32")
    np.testing.assert_allclose(get_engine(model, "torch", "f32")(pixels).sum(axis=1), 1, atol=1e-4)
    with tarfile.open(tmp_path / "out" / "results.tar") as archive:
        names = set(archive.getnames())
    assert {"tiny.yaml", "tiny.safetensors", "speed.json", "log.txt", "run.json"} <= names
    assert "checkpoint.pt" not in names


def test_what_a_bundle_holds(bundle: tuple[Path, str]) -> None:
    folder, said = bundle
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert {
        "train.py",
        "recipe.yaml",
        "CONTENTS.txt",
        "code.tar.xz",
        "data/00.xz",
        "held_out/00.xz",
    } <= files
    assert "simulated scenes 1, 3, 4: 3 of 3 patches data" in said
    recipe = yaml.safe_load((folder / "recipe.yaml").read_text())
    assert recipe["data"] == [{"packed": "data/00.xz", "licence": "Apache-2.0"}]
    assert recipe["held_out"] == {"data": [{"packed": "held_out/00.xz", "name": "sim"}]}
    assert "lessons" not in recipe["plan"]
    assert len(read_packed(folder / "data" / "00.xz")) == 3


def test_a_folder_that_is_not_empty_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "mine").touch()
    monkeypatch.setattr(
        sys, "argv", ["bundle.py", str(write(tmp_path)), "--out", f"{tmp_path}/there"]
    )
    with pytest.raises(SystemExit):
        script("bundle").main()
    assert "is not empty; name a new folder" in capsys.readouterr().err


def groups(counts: dict[str, int]) -> dict[Source, list[Patch]]:
    return {
        Packed(packed=name): [patch(f"{name}-{i}", seed=i) for i in range(count)]
        for name, count in counts.items()
    }


def read(content: bytes, folder: Path) -> list[Patch]:
    path = folder / "some.xz"
    path.write_bytes(content)
    return read_packed(path)


def test_where_room_is_scarce_the_largest_sources_are_cut(tmp_path: Path) -> None:
    module = script("bundle")
    all_of = groups({"many": 40, "few": 10, "one": 1})
    whole, lines = module.fitted(all_of, 1e9, 0, "data")
    assert lines == [
        f"{n}: {k} of {k} patches data" for n, k in (("many", 40), ("few", 10), ("one", 1))
    ]
    room = 0.6 * sum(map(len, whole.values()))
    files, lines = module.fitted(all_of, room, 0, "data")
    assert sum(map(len, files.values())) <= room
    kept = [read(content, tmp_path) for content in files.values()]
    many, few, one = map(len, kept)
    assert (few, one) == (10, 1)
    assert 10 <= many < 30
    assert f"many: {many} of 40 patches data" in lines
    again, _ = module.fitted(all_of, room, 0, "data")
    other, _ = module.fitted(all_of, room, 1, "data")
    assert again == files != other


def test_what_cannot_fit_is_an_error() -> None:
    with pytest.raises(
        CleansatError, match=r"one patch of each source of data takes .* raise --most"
    ):
        script("bundle").fitted(groups({"a": 3, "b": 3}), 100, 0, "data")
    assert script("bundle").level_of([5, 30, 100], 75) == 40
    assert script("bundle").level_of([30, 30], 20) == 10


def test_patches_of_the_other_level_serve_as_far_as_haze_allows(tmp_path: Path) -> None:
    module = script("bundle")
    teachers = ["unet-mobilenetv2-l2a", "unet-mobilenetv2-l2a-4b"]
    top = Patch(np.full((6, 40, 40), 0.3, "float32"), SIX, 10.0, "L1C", "top")
    for haze, sites in ((None, ["a"]), ({"blue": 0.07}, ["a", "top"])):
        recipe = read_recipe(write(tmp_path, teachers=teachers, classes=None, haze=haze))
        (found,) = module.as_seen_there({recipe.data[0]: [patch(), top]}, recipe).values()
        assert [each.site for each in found] == sites
        assert {each.level for each in found} == {"L2A"}
    assert found[1].resolution == 30
    assert found[1].pixels[0] == pytest.approx(0.23)


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script of the other machine, with a clock of its own and without a training."""
    module = script("on_device")
    module.now = 0.0
    monkeypatch.setattr(module.time, "monotonic", lambda: module.now)
    return module


def test_steps_are_as_many_as_the_time_allows(
    device: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    asked = []

    def session(out: Path, steps: int, seconds: float, log: Any) -> int:
        asked.append((steps, seconds))
        done = int(10 * seconds) if steps == device.MANY else steps
        device.now += 20 + seconds
        figures = {"step": done, "seconds": seconds, "steps a second": 10}
        (out / "speed.json").write_text(json.dumps(figures))
        return 0

    monkeypatch.setattr(device, "session", session)
    assert device.train(tmp_path, 0.0, 500.0, io.StringIO()) == 0
    (many, first), (steps, second) = asked
    assert (many, first) == (device.MANY, 60)
    # 80 s are over, and it takes 20 s to begin again.
    assert second == 400
    assert steps == 600 + 0.9 * 400 * 10
    # It goes on from there, at the pace that is known.
    assert device.train(tmp_path, device.now, device.now + 100.0, io.StringIO()) == 0
    assert asked[2] == (steps + 900, 100)


def test_a_training_that_fails_ends_the_script(
    device: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(device, "session", lambda *_: 1)
    assert device.train(tmp_path, 0.0, 500.0, io.StringIO()) == 1


def test_checks_that_take_too_long_are_ended(tmp_path: Path) -> None:
    module, log = script("on_device"), io.StringIO()
    code = module.run(
        [sys.executable, "-c", "print('begun', flush=True); import time; time.sleep(60)"], log, 3
    )
    assert code != 0
    assert log.getvalue().startswith("begun\nended with")


def test_a_machine_that_lacks_what_no_bundle_carries(capsys: Any, monkeypatch: Any) -> None:
    module = script("on_device")
    monkeypatch.setattr(module, "NEEDED", ("numpy", "not_there"))
    monkeypatch.setattr(sys, "argv", ["train.py"])
    assert module.main() == 1
    assert "this machine lacks not_there" in capsys.readouterr().out


def test_what_measures_a_gpu_measures_a_processor_too(tmp_path: Path) -> None:
    """Its tests are skipped here, and its three parts follow each other."""
    done = subprocess.run(
        [
            sys.executable, str(SCRIPTS.parent / "benchmarks" / "cuda.py"), "--device", "cpu",
            "--size", "32", "--runs", "1", "--networks", "unet-mobilenetv2-l2a-thin", "--out", str(tmp_path / "figures.json"),
        ],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "figures.json").read_text())
    assert found["tests"]["exit code"] == 0
    assert any("3 skipped" in line for line in found["tests"]["said"])
    assert len(found["networks"]) == 3 * 2
    assert all("Mpx/s" in row for row in found["networks"])
    assert found["array to array"]["model"] == "unet-mobilenetv2-l2a-thin"


def test_a_larger_batch_has_a_larger_rate(tmp_path: Path) -> None:
    module, recipe = script("bundle"), read_recipe(write(tmp_path))
    assert module.with_batch(recipe, None) == recipe
    larger = module.with_batch(recipe, 8)
    assert larger.schedule.batch == 8
    assert larger.schedule.rate == pytest.approx(2 * recipe.schedule.rate)
    document = yaml.safe_load(
        module.recipe_there(module.replace(larger, mean=(0.2,), std=(0.1,)), {}, {}, [])
    )
    assert document["plan"]["batch"] == 8
    assert document["plan"]["rate"] == larger.schedule.rate
