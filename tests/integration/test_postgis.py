"""The `postgis` index driver gives what `postgres` gives."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import Cube
from datacube import Datacube
from environments import postgis_programs
from odc.geo.geobox import GeoBox
from ports import free_port

from odc_cleansat import load, recall, with_ucl
from odc_cleansat.cube.index import add_dataset, add_product
from odc_cleansat.cube.scene_list import list_scenes
from odc_cleansat.storage.eo3 import MASK_PRODUCT, product_definition
from odc_cleansat.synthetic.scene import SimulatedScene

GRID = GeoBox.from_bbox((395700, 5292600, 407160, 5300040), "EPSG:32633", resolution=60)


@pytest.fixture(scope="module")
def postgis(cube: Cube) -> Iterator[Datacube]:
    """A PostGIS server of the system's, on a loopback port, with the datasets of `cube`."""
    bin_folder = postgis_programs()
    if bin_folder is None:
        pytest.skip("PostGIS is not here: apt-get install postgresql postgresql-15-postgis-3")
    root = os.geteuid() == 0
    user = "postgres" if root else pwd.getpwuid(os.geteuid()).pw_name
    # Short and in a place that another user may enter, unlike pytest's.
    folder = Path(
        subprocess.check_output(["mktemp", "-d", "/tmp/cleansat-XXXXXX"], text=True).strip()
    )
    if root:
        shutil.chown(folder, user)
    port = free_port()

    def run(program: str, *arguments: str) -> None:
        command = [str(bin_folder / program), *arguments]
        prefix = ["runuser", "-u", user, "--"] if root else []
        subprocess.run(
            [*prefix, *command], check=True, timeout=60, cwd=folder,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    data, log = str(folder / "data"), str(folder / "log")
    server = f"-h 127.0.0.1 -p {port} -k {folder} -c fsync=off"
    run("initdb", "-D", data, "--auth=trust", "--encoding=UTF8")
    run("pg_ctl", "-D", data, "-l", log, "-w", "-o", server, "start")
    try:
        at = ["-h", "127.0.0.1", "-p", str(port), "-U", user]
        run("createdb", *at, "datacube")
        run("psql", *at, "-c", "create extension postgis", "datacube")
        url = f"postgresql+psycopg2://{user}@127.0.0.1:{port}/datacube"
        config = {"default": {"index_driver": "postgis", "db_url": url}}
        with Datacube(raw_config=config, validate_connection=False) as dc:
            # Without roles: to grant them, datacube needs Postgres 16, and Debian 12 has 15.
            dc.index.init_db(with_permissions=False)
            for product in ("s2_l2a", MASK_PRODUCT):
                add_product(dc, product_definition(product))
            for dataset in [*cube.scenes.values(), *cube.masks.values()]:
                add_dataset(dc, dataset.local_path)
            yield dc
    finally:
        run("pg_ctl", "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


def test_load(cube: Cube, postgis: Datacube) -> None:
    how = {"like": GRID, "group_by": "solar_day", "measurements": ["scl", "ucl"]}
    found, expected = (load(dc, "s2_l2a", **how) for dc in (postgis, cube.dc))
    assert found.sizes["time"] == 2
    assert found.identical(expected)


def test_driver(cube: Cube, postgis: Datacube) -> None:
    found, expected = (
        dc.load(
            datasets=with_ucl(dc.find_datasets(product="s2_l2a", like=GRID), harmonized=True),
            measurements=["red", "ucl"], driver="cleansat", like=GRID,
        )
        for dc in (postgis, cube.dc)
    )  # fmt: skip
    assert found.identical(expected)


@pytest.mark.parametrize("how", ["nearest", "any_cloud"])
def test_recall(cube: Cube, postgis: Datacube, how: str) -> None:
    place = {"x": (13.68, 13.72), "y": (47.80, 47.82), "output_crs": "EPSG:3857", "resolution": 50}
    found, expected = (recall(dc, how=how, **place) for dc in (postgis, cube.dc))
    assert (found.ucl > 0).any()
    np.testing.assert_array_equal(found.ucl, expected.ucl)
    np.testing.assert_array_equal(found.time, expected.time)


def test_list_of_scenes(cube: Cube, postgis: Datacube) -> None:
    for area in (None, (13.6, 47.0, 13.7, 48.0)):
        found, expected = (list_scenes(dc, "s2_l2a", area=area) for dc in (postgis, cube.dc))
        assert sorted(found, key=lambda row: row.id) == sorted(expected, key=lambda row: row.id)
        assert sum(len(row.masks) for row in found) == 2


def test_indexing_again_changes_nothing(cube: Cube, postgis: Datacube) -> None:
    before = sorted(d.id for d in postgis.find_datasets(product=MASK_PRODUCT))
    for dataset in cube.masks.values():
        add_dataset(postgis, dataset.local_path)
    assert sorted(d.id for d in postgis.find_datasets(product=MASK_PRODUCT)) == before
    assert len(before) == 2


def test_a_scene_from_files_as_the_docs_index_it(postgis: Datacube, tmp_path: Path) -> None:
    page = Path(__file__).parents[2] / "docs/how-to/scenes.md"
    names: dict[str, object] = {}
    block = re.search(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    assert block
    exec(block[1], names)
    scene = SimulatedScene(shape=(120, 120), datetime="2025-06-15T10:10:31Z").write(
        tmp_path / "scene"
    )
    dataset = names["index_scene"](postgis, scene, tmp_path / "documents")  # type: ignore[operator]
    assert postgis.index.datasets.has(dataset.id)
    assert dataset.product.name == "s2_l2a"
