"""The mask of a scene computed from its files: its address, its pixels, and what is kept."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from odc_cleansat import classify, get_model
from odc_cleansat.errors import ModelError, SceneError
from odc_cleansat.masks import tasks
from odc_cleansat.masks.light import Light
from odc_cleansat.masks.on_demand import (
    ADDRESS,
    OnDemandMask,
    clear_cache,
    compute_layer,
    on_demand_mask,
)
from odc_cleansat.scenes.angles import Angles
from odc_cleansat.scenes.files import BandFile, SceneFiles
from odc_cleansat.synthetic.scene import SimulatedScene

from .helpers import SIX, FakeEngine

SIMULATED = SimulatedScene(shape=(360, 480), seed=1)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> SceneFiles:
    """A scene in files."""
    folder = Path(SIMULATED.write(tmp_path_factory.mktemp("scene") / "scene"))
    found = {name: BandFile(str(folder / f"{name}.tif"), 1, 0) for name in SIX}
    sun = {"eo:sun_azimuth": SIMULATED.sun_azimuth, "eo:sun_elevation": SIMULATED.sun_elevation}
    return SceneFiles(found, sun, "scene one", {name: {} for name in SIX})


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, ...]]]:
    """The windows that an engine without a network has been asked for."""
    seen: list[tuple[int, ...]] = []

    def run(reflectance: np.ndarray) -> np.ndarray:
        seen.append(reflectance.shape)
        return FakeEngine(get_model())(reflectance)

    monkeypatch.setattr(tasks, "get_engine", lambda *_: run)
    clear_cache()
    yield seen
    clear_cache()


def test_an_address_holds_all_that_decides_the_mask(files: SceneFiles) -> None:
    mask = on_demand_mask(files, thresholds={"shadow": 0.4}, offset=-1000, scale=1e-4)
    assert mask.model == get_model().name
    assert [Path(file.uri).stem for file in mask.files] == SIX
    for layer in ("ucl", "ucl_confidence"):
        address = mask.address(layer)
        assert address.startswith(ADDRESS)
        assert OnDemandMask.from_address(address) == (layer, mask)
    options = mask.options(SIMULATED.geobox())
    assert options.light == Light(Angles(150, 45, source="eo:sun_azimuth, eo:sun_elevation"))
    plain = on_demand_mask(files, offset=-1000, refine=False)
    assert OnDemandMask.from_address(plain.address("ucl")) == ("ucl", plain)
    assert plain.options(SIMULATED.geobox()).light is None
    assert (options.offset, options.scale) == (-1000, 1e-4)
    assert [(c.label, v) for c, v in options.thresholds] == [("shadow", 0.4)]


def test_layers_are_those_of_classify_and_need_each_window_once(
    files: SceneFiles, windows: list[tuple[int, ...]]
) -> None:
    mask = on_demand_mask(files, offset=-1000)
    scene = SIMULATED.to_xarray(10).isel(time=0)[SIX]
    expected = classify(scene, offset=-1000, confidence=True)
    assert len(windows) == 1
    grid = scene.odc.geobox
    for name in ("ucl", "ucl_confidence"):
        np.testing.assert_array_equal(compute_layer(mask, name, grid), expected[name])
        part = compute_layer(mask, name, grid[100:250, 30:99])
        np.testing.assert_array_equal(part, expected[name][100:250, 30:99])
    assert len(windows) == 2
    clear_cache()
    compute_layer(mask, "ucl", grid)
    assert len(windows) == 3


def test_a_new_file_is_not_taken_for_the_old(
    files: SceneFiles, windows: list[tuple[int, ...]]
) -> None:
    mask = on_demand_mask(files, offset=-1000)
    grid = SIMULATED.to_xarray(10).odc.geobox[:60, :60]
    compute_layer(mask, "ucl", grid)
    os.utime(mask.files[0].uri, ns=(1, 1))
    compute_layer(mask, "ucl", grid)
    assert len(windows) == 2


def test_beyond_the_scene_there_is_no_data(
    files: SceneFiles, windows: list[tuple[int, ...]]
) -> None:
    mask = on_demand_mask(files, offset=-1000)
    away = SIMULATED.to_xarray(10).odc.geobox[:9, :7].translate_pix(5000, 0)
    assert (compute_layer(mask, "ucl", away) == 0).all()
    assert (compute_layer(mask, "ucl_confidence", away) == 255).all()
    assert not windows


def test_what_cannot_be_made(files: SceneFiles) -> None:
    mine = dataclasses.replace(get_model(), resolution=20.0)
    with pytest.raises(ModelError, match="not the model of that name that other processes know"):
        on_demand_mask(files, mine)
    with pytest.raises(ModelError, match="no class 'snow'"):
        on_demand_mask(files, thresholds={"snow": 0.5})
    with pytest.raises(SceneError, match="the scale 0 is not above 0"):
        on_demand_mask(files, scale=0)
    few = dataclasses.replace(files, files={"B02": files.files["B02"]})
    with pytest.raises(SceneError, match=r"scene one: .*lacks"):
        on_demand_mask(few)
    gone = on_demand_mask(files, offset=-1000)
    gone = dataclasses.replace(gone, files=(BandFile("/nowhere/B02.tif", 1, 0), *gone.files[1:]))
    with pytest.raises(SceneError, match=r"scene one: cannot read /nowhere/B02\.tif"):
        compute_layer(gone, "ucl", SIMULATED.to_xarray(10).odc.geobox)
