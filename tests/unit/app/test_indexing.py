"""The application on a catalogue: no datacube, and no database."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from odc_cleansat import open_catalog
from odc_cleansat.app.indexing import cube_in_python, index_made, open_cube
from odc_cleansat.app.service import Service, set_service
from odc_cleansat.app.settings import AppSettings
from odc_cleansat.errors import CubeError
from odc_cleansat.products.job import MaskJob
from odc_cleansat.scenes.read import read_scene
from odc_cleansat.scenes.scene import Scene
from odc_cleansat.synthetic.scene import SimulatedScene

from .conftest import Page

AREA = "13.66,47.79,13.71,47.83"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Scene]]:
    """A store with two scenes, their masks and a catalogue."""
    root = tmp_path_factory.mktemp("catalogue")
    scenes = []
    for day in ("2024-06-05", "2024-06-15"):
        simulated = SimulatedScene(shape=(300, 300), datetime=f"{day}T10:10:31Z")
        scene = read_scene(str(simulated.write(root / "scenes" / day)), None)
        open_catalog(root).add(MaskJob.of_scene(scene, root).run(), scene.dataset)
        scenes.append(scene)
    return root, scenes


@pytest.fixture
def service(made: tuple[Path, list[Scene]], tmp_path: Path) -> Iterator[Service]:
    """In place of that on the datacube, which :class:`Page` would use."""
    store = Path(shutil.copytree(made[0], tmp_path / "masks"))
    found = Service(AppSettings(str(store), catalog=str(store)))
    set_service(found)
    yield found
    set_service(None)
    found.close()


def test_scenes_and_masks_are_found(service: Service) -> None:
    rows = service.find(None, "2024-06")
    assert [f"{row.time:%d}" for row in rows] == ["15", "05"]
    (mask,) = service.masks_of(service.scene(rows[0].id))
    assert "confidence" in service.tiles(rows[0].id, mask.id).kinds
    assert service.gaps(None, "2024-06") == []
    with pytest.raises(CubeError, match="has no dataset"):
        service.dataset(UUID(int=0))


def test_each_page_works(service: Service, page: Page) -> None:
    where = {"area": AREA, "time": "2024-06", "crs": "EPSG:32633", "resolution": "60"}
    row = service.find(None, None)[0]
    shown = {"show": f"{row.id}.{row.masks[0].id}"}
    said = {}
    for name, query in {
        "scenes_page": {"time": "2024-06"}, "recall_page": where, "composite_page": where,
        "judge_page": {}, "view_page": shown, "queue_page": {},
    }.items():  # fmt: skip
        app = page(name, query)
        assert not app.exception, (name, app.exception[0].value)
        assert not app.error, (name, app.error[0].value)
        said[name] = "\n".join(each.value for each in app.code)
    for name in ("recall_page", "composite_page", "scenes_page"):
        assert "open_catalog('masks').dc" in said[name]
        assert "Datacube()" not in said[name]
        compile(said[name], name, "exec")


@pytest.mark.parametrize("name", ["recall_page", "composite_page"])
def test_masks_are_recalled_and_composed(service: Service, page: Page, name: str) -> None:
    where = {"area": AREA, "time": "2024-06", "crs": "EPSG:32633", "resolution": "60"}
    app = page(name, where)
    next(each for each in app.button if each.label == "Make it").click().run()
    assert not app.exception
    assert not app.error, app.error[0].value
    made: Any = app.session_state["recalled" if name == "recall_page" else "composite"]
    assert made is not None


def test_masks_are_refined_by_other_dates(service: Service) -> None:
    row = service.find(None, None)[0]
    service.start()
    job = service.refine(row.id, "Ann", hindsight=True)
    ended = _wait(service, job.mask)
    assert ended.state == "done", ended.reason
    masks = service.masks_of(service.scene(row.id))
    assert sorted(mask.dates for mask in masks) == ["", "hindsight"]


def _wait(service: Service, mask: UUID) -> Any:
    import time

    for _ in range(1200):
        job = service.queue.job(mask)
        if job is not None and job.is_over:
            return job
        time.sleep(0.1)
    raise AssertionError("the job did not end")


class _Found:
    """A STAC API that has found one scene."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    def get(self, scene: UUID) -> Scene | None:
        return self._scene if scene == self._scene.dataset.id else None


def test_a_scene_of_an_api_is_entered_with_its_mask(
    made: tuple[Path, list[Scene]], tmp_path: Path
) -> None:
    """The first mask makes the catalogue."""
    scene = made[1][0]
    store = tmp_path / "new"
    document = MaskJob.of_scene(scene, store).run()
    settings = AppSettings(str(store), catalog=str(store), stac="https://example.org/v1")
    stac: Any = _Found(scene)
    index_made(settings, open_cube(settings), document, stac)
    found = open_catalog(store)
    assert len(found.search("s2_l2a")) == len(found.search()) == 1
    with pytest.raises(CubeError, match="there is no catalogue"):
        open_cube(replace(settings, catalog=str(tmp_path / "none"), stac=None))
    with pytest.raises(CubeError, match="without a datacube"):
        open_cube(replace(settings, with_datacube=False))


def test_what_python_opens() -> None:
    assert cube_in_python(AppSettings("masks"))[1] == "Datacube()"
    for place, shown in {"/home/ann/masks/": "masks", "s3://bucket/masks": "s3://bucket/masks"}.items():  # fmt: skip
        imported, call = cube_in_python(AppSettings(place, catalog=place))
        assert imported == "from odc_cleansat import open_catalog"
        assert call == f"open_catalog({shown!r}).dc"
