"""The pixels of the scenes, a STAC API that serves them, and the mask that they should have."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
from conftest import read_folder
from fakes import brightness_engine
from odc.geo.geobox import GeoBox
from stac_server import StacServer, serving

from odc_cleansat import classify
from odc_cleansat.synthetic.scene import SimulatedScene

from .helpers import SIX


@pytest.fixture(scope="session")
def metadata(shared: Path) -> Path:
    return shared / "metadata"


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same reflectance with and without the offset of baseline 04.00."""
    folder = tmp_path_factory.mktemp("scenes")
    return {
        name: SimulatedScene(shape=(240, 300), seed=1, offset=offset).write(folder / name)
        for name, offset in (("plain", 0), ("shifted", -1000))
    }


@pytest.fixture
def server(scenes: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[StacServer]:
    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "2")
    monkeypatch.setenv("GDAL_HTTP_RETRY_DELAY", "0.01")
    with serving(StacServer()) as running:
        running.folders = scenes
        yield running


@pytest.fixture(scope="session")
def expected(scenes: dict[str, Path]) -> np.ndarray:
    """The mask by brightness, from arrays read with rasterio alone."""
    scene = read_folder(scenes["plain"], SIX)
    with rasterio.open(scenes["plain"] / "SCL.tif") as file:
        grid = GeoBox.from_rio(file)
    with brightness_engine():
        codes: np.ndarray = classify(scene, geobox=grid, offset=0).ucl.values
    return codes
