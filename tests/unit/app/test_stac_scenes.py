"""Scenes of a STAC API in the application."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from odc.geo.geom import box
from stac_server import StacServer, serving, write_item

from odc_cleansat.app.service import Service
from odc_cleansat.app.settings import AppSettings
from odc_cleansat.app.stac_scenes import StacScenes
from odc_cleansat.errors import CleansatError, CubeError, SceneError
from odc_cleansat.synthetic.scene import SimulatedScene

AREA = box(13.0, 47.0, 15.0, 49.0, "EPSG:4326")


@pytest.fixture(scope="module")
def bands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stac")
    return SimulatedScene(shape=(120, 180)).write(folder / "bands")


@pytest.fixture
def api(bands: Path, tmp_path: Path) -> Iterator[StacServer]:
    with serving(StacServer()) as server:
        server.folders["bands"] = bands
        for name, properties in (("good", {}), ("early", {"processing:level": "L1C"})):
            server.add(write_item(tmp_path / f"{name}.json", bands, **properties), "bands")
        yield server


def test_scenes_are_remembered_by_their_ids(api: StacServer) -> None:
    scenes = StacScenes(api.url)
    rows = {row.label: row for row in scenes.search(AREA, "2024-06", None)}
    found = scenes.get(rows["good"].id)
    assert found is not None
    assert found.dataset.id == rows["good"].id
    assert scenes.get(rows["good"].id) is found
    with pytest.raises(SceneError, match="level 1C"):
        scenes.get(rows["early"].id)
    assert scenes.get(uuid4()) is None


@pytest.mark.parametrize(("area", "time"), [(None, "2024-06"), (AREA, None), (AREA, "")])
def test_all_of_the_earth_is_not_searched(api: StacServer, area: object, time: str | None) -> None:
    with pytest.raises(CleansatError, match="give an area and a time"):
        StacScenes(api.url).search(area, time, None)  # type: ignore[arg-type]
    assert not api.searches


def test_a_service_without_a_datacube(api: StacServer, tmp_path: Path) -> None:
    settings = AppSettings(str(tmp_path / "store"), with_datacube=False, stac=api.url)
    service = Service(settings)
    row = next(row for row in service.find(AREA, "2024-06", stac=True) if row.label == "good")
    assert "colour" in service.tiles(row.id, None).kinds
    with pytest.raises(CubeError, match="without a datacube"):
        service.find(AREA, "2024-06")
    service.close()


def test_a_service_without_an_api(service: Service) -> None:
    with pytest.raises(CleansatError, match="no STAC API"):
        service.find(AREA, "2024-06", stac=True)
