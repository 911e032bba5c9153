"""The main job, end to end, on a real Postgres: scene, mask, index, recall, and all of it again."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha1
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import rasterio
import yaml
from click.testing import CliRunner
from conftest import Copy, Fresh, Recorder
from datacube import Datacube
from environments import datacube
from eodatasets3.validate import run as eo3_validate
from odc.algo import enum_to_bool
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_reproject
from rasterio.crs import CRS
from rasterio.warp import Resampling, reproject
from rio_cogeo import cog_validate
from scipy import ndimage

from odc_cleansat import CloudClass, get_model
from odc_cleansat.cube.embedded import _start, embedded_cube, stop_cube
from odc_cleansat.cube.index import add_dataset, add_product, find_dataset
from odc_cleansat.demo import DemoResult, run_demo
from odc_cleansat.errors import CubeError, SceneError
from odc_cleansat.evaluate.scores import accuracy
from odc_cleansat.models.registry import DEFAULTS
from odc_cleansat.storage.eo3 import scene_product
from odc_cleansat.synthetic.scene import SimulatedScene


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated scene on disk, not square, with a swath edge."""
    return SimulatedScene(shape=(840, 1020), seed=1, swath_edge=True).write(
        tmp_path_factory.mktemp("scenes") / "scene"
    )


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory, initialised: Copy) -> Iterator[Path]:
    folder = initialised(tmp_path_factory.mktemp("demo"))
    yield folder
    stop_cube(folder)


@pytest.fixture(scope="module")
def told() -> Recorder:
    return Recorder()


@pytest.fixture(scope="module")
def first(scene: Path, out: Path, told: Recorder) -> DemoResult:
    return run_demo(out, told, scene=scene, keep_running=True)


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw no figure, which takes longer than all else and is looked at after the first run."""
    monkeypatch.setattr("odc_cleansat.demo._draw", lambda data, folder, offset, path: path)


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
    }


# --- what is made ---------------------------------------------------------------------


def test_the_mask_is_found_right(first: DemoResult, scene: Path) -> None:
    data = first.recalled[0].data
    with rasterio.open(scene / "truth.tif") as file:
        truth = file.read(1)[::2, ::2]
    scores = accuracy(data.ucl.values, truth)
    assert scores["cloud"]["f1"] > 0.88
    assert scores["shadow"]["f1"] > 0.75


def test_every_step_is_told_and_the_long_one_counted(first: DemoResult, told: Recorder) -> None:
    assert first.computed
    assert [line.split()[0] for line in told.lines] == [
        "Starting", "Describing", "Loading", "Classifying", "Loading", "Drawing",
    ]  # fmt: skip
    done, total = told.counted["Classifying"]
    assert done == total > 0


def test_the_whole_output_tree(first: DemoResult, out: Path) -> None:
    document = first.mask.local_path
    label = document.name.removesuffix(".odc-metadata.yaml")
    assert label == f"s2_l2a_ucl_32633_400_5300_2024-06-15_{str(first.mask.id)[:8]}"
    assert document.parent == out / "products/s2_l2a_ucl/32633_400_5300/2024/06/15" / label
    assert {p.name.removeprefix(label) for p in document.parent.iterdir()} == {
        ".odc-metadata.yaml", ".proc-info.yaml", ".sha1", ".stac-item.json", "_thumbnail.png",
        "_ucl.tif", "_ucl_confidence.tif",
    }  # fmt: skip
    assert {p.name for p in out.iterdir()} == {
        ".lock", "compare.png", "datacube.conf", "postgres", "products", "scenes",
    }  # fmt: skip
    assert [p.name for p in (out / "products").iterdir()] == ["s2_l2a_ucl"], "nothing half-written"


def test_checksums_cover_every_file(first: DemoResult) -> None:
    folder = first.mask.local_path.parent
    (sums,) = folder.glob("*.sha1")
    listed = dict(reversed(line.split("\t")) for line in sums.read_text().splitlines())
    assert set(listed) == {p.name for p in folder.iterdir()} - {sums.name}
    for name, expected in listed.items():
        assert sha1((folder / name).read_bytes()).hexdigest() == expected


def test_the_eo3_document(first: DemoResult) -> None:
    document = yaml.safe_load(first.mask.local_path.read_text())
    assert document["id"] == str(first.mask.id)
    assert document["lineage"] == {"level2": [str(first.scene.id)]}
    assert document["grids"]["default"]["shape"] == [420, 510]
    assert document["grids"]["default"]["transform"][:6] == [20, 0, 399960, 0, -20, 5300040]
    properties = document["properties"]
    assert properties["cleansat:simulated"] is True
    assert properties["cleansat:offset"] == -1000
    assert "05.10" in properties["cleansat:offset_source"]
    assert properties["cleansat:model"] == DEFAULTS[0]
    shares = [properties[f"cleansat:{c.label}_percent"] for c in get_model().classes]
    assert sum(shares) == pytest.approx(100, abs=0.05)
    assert 20 < properties["cleansat:data_percent"] < 99
    record = yaml.safe_load(next(first.mask.local_path.parent.glob("*.proc-info.yaml")).read_text())
    assert record["cleansat"]["model"]["sha256"] == properties["cleansat:weights_sha256"]
    assert {v["name"] for v in record["software_versions"]} >= {
        "odc-cleansat",
        "openvino",
        "eodatasets3",
    }


def test_the_stac_item(first: DemoResult) -> None:
    import pystac

    (path,) = first.mask.local_path.parent.glob("*.stac-item.json")
    item = pystac.Item.from_dict(json.loads(path.read_text()))
    assert item.id == str(first.mask.id)
    assert item.properties["cleansat:simulated"] is True
    assert item.properties["proj:code"] == "EPSG:32633"
    for name in ("ucl", "ucl_confidence"):
        assert (path.parent / item.assets[name].href).is_file(), "links are relative"
    classes = item.assets["ucl"].extra_fields["classification:classes"]
    assert [c["value"] for c in classes] == [0, *sorted(get_model().classes)]


def test_validators_of_the_ecosystem_accept_it(first: DemoResult) -> None:
    import odc_cleansat.product_definitions as definitions

    product = Path(definitions.__file__).parent / "s2_l2a_ucl.odc-product.yaml"
    checked = CliRunner().invoke(eo3_validate, [str(product), str(first.mask.local_path)])
    assert checked.exit_code == 0, checked.output
    for tif in first.mask.local_path.parent.glob("*.tif"):
        valid, errors, _ = cog_validate(tif, quiet=True)
        assert valid, errors


def test_cogs_hold_what_they_should(first: DemoResult) -> None:
    folder = first.mask.local_path.parent
    for name, nodata in (("ucl", 0), ("ucl_confidence", 255)):
        (path,) = folder.glob(f"*_{name}.tif")
        with rasterio.open(path) as file:
            assert file.dtypes == ("uint8",)
            assert file.nodata == nodata
            assert file.overviews(1) == [2]
            codes = file.read(1)
        known = {0, *get_model().classes}
        assert set(np.unique(codes)) <= (known if name == "ucl" else {*range(101), 255})


def test_nodata_of_the_scene_is_nodata_of_the_mask(first: DemoResult, scene: Path) -> None:
    data = first.recalled[0].data
    with rasterio.open(scene / "B11.tif") as file:
        missing = file.read(1) == 0
    assert missing.any()
    np.testing.assert_array_equal(data.ucl.values == CloudClass.NODATA, missing)
    np.testing.assert_array_equal(data.ucl_confidence.values == 255, missing)


def test_the_figure_and_the_table(first: DemoResult, out: Path) -> None:
    assert first.figure == out / "compare.png"
    assert first.figure.stat().st_size > 100_000
    for text in ("SCL", "UCL", "truth", "cloud shadow", "agree", "precision"):
        assert text in first.table


# --- loading it back ------------------------------------------------------------------


def independently(first: DemoResult, name: str, nodata: int, grid: GeoBox) -> np.ndarray:
    """The mask's file on another grid by rasterio alone."""
    (path,) = first.mask.local_path.parent.glob(f"*_{name}.tif")
    expected = np.full(grid.shape, nodata, dtype="uint8")
    with rasterio.open(path) as file:
        reproject(
            file.read(1), expected,
            src_transform=file.transform, src_crs=file.crs, src_nodata=nodata,
            dst_transform=grid.affine, dst_crs=CRS.from_user_input(str(grid.crs)),
            dst_nodata=nodata, resampling=Resampling.nearest, tolerance=0,
        )  # fmt: skip
    return expected


@pytest.mark.parametrize("index", [0, 2])
def test_recall_is_what_rasterio_makes_of_the_file(first: DemoResult, index: int) -> None:
    data = first.recalled[index].data
    assert {"red", "green", "blue", "scl", "ucl", "ucl_confidence"} <= set(data.data_vars)
    for name, nodata in (("ucl", 0), ("ucl_confidence", 255)):
        expected = independently(first, name, nodata, data.odc.geobox)
        np.testing.assert_array_equal(data[name].values, expected)


def test_recall_on_a_coarser_grid_in_another_projection(first: DemoResult) -> None:
    """Datacube decimates by a whole factor before it resamples, so pixels shift by less than 100 m."""
    data = first.recalled[1].data
    grid = data.odc.geobox
    found, expected = data.ucl.values, independently(first, "ucl", 0, grid)
    assert np.mean(found == expected) > 0.97
    for code in (1, 2, 3):
        native = first.recalled[0].data.ucl
        nearby = (native == code).copy(
            data=ndimage.binary_dilation(native.values == code, iterations=5)
        )
        near = xr_reproject(nearby.astype("uint8"), grid, resampling="nearest").values == 1
        assert near[(found == code) & (expected != 0)].mean() > 0.999


def test_the_three_grids(first: DemoResult) -> None:
    own, mercator, area = (r.data.odc.geobox for r in first.recalled)
    assert (own.crs.epsg, abs(own.resolution.x)) == (32633, 20)
    assert (mercator.crs.epsg, abs(mercator.resolution.x)) == (3857, 100)
    assert (area.crs.epsg, abs(area.resolution.x)) == (32633, 10)
    assert own.extent.contains(area.extent)
    assert area.extent.area < own.extent.area / 4


def test_flags_survive_the_way_through_the_index(first: DemoResult) -> None:
    data = first.recalled[0].data
    cloudy = enum_to_bool(data.ucl, ["cloud", "shadow"])
    np.testing.assert_array_equal(cloudy, np.isin(data.ucl.values, [2, 3]))


# --- again ----------------------------------------------------------------------------


def test_the_second_run_computes_nothing(
    first: DemoResult, scene: Path, out: Path, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("the second run must not classify")

    monkeypatch.setattr(import_module("odc_cleansat.masks.classify"), "classify", forbidden)
    monkeypatch.setattr("odc_cleansat.models.engines.get_engine", forbidden)
    before = files(out / "products")
    second = run_demo(out, recorder, scene=scene, keep_running=True)
    assert not second.computed
    assert any("nothing is computed" in line for line in recorder.lines)
    assert second.mask.id == first.mask.id
    assert files(out / "products") == before
    assert second.table == first.table


@pytest.mark.usefixtures("undrawn")
def test_after_a_restart_everything_is_there(
    first: DemoResult, scene: Path, out: Path, recorder: Recorder
) -> None:
    assert stop_cube(out)
    assert not (out / "postgres" / "postmaster.pid").exists()
    assert not stop_cube(out)
    assert not run_demo(out, recorder, scene=scene, keep_running=True).computed


@pytest.mark.usefixtures("undrawn")
def test_a_lost_index_is_filled_from_the_files(
    first: DemoResult,
    scene: Path,
    out: Path,
    initialised: Copy,
    tmp_path: Path,
    recorder: Recorder,
) -> None:
    initialised(tmp_path)
    shutil.copytree(out / "products", tmp_path / "products")
    result = run_demo(tmp_path, recorder, scene=scene)
    assert not result.computed
    assert result.mask.id == first.mask.id


@pytest.mark.usefixtures("undrawn")
def test_a_scene_that_moved_is_the_same_dataset(
    first: DemoResult, scene: Path, out: Path, tmp_path: Path, recorder: Recorder
) -> None:
    moved = shutil.copytree(scene, tmp_path / "elsewhere")
    result = run_demo(out, recorder, scene=moved, keep_running=True)
    assert result.scene.id == first.scene.id
    assert not result.computed
    assert "elsewhere" in result.scene.metadata_doc["measurements"]["blue"]["path"]


@pytest.mark.usefixtures("undrawn")
def test_other_parameters_make_another_mask(
    first: DemoResult, scene: Path, out: Path, recorder: Recorder
) -> None:
    other = run_demo(
        out, recorder, scene=scene, model="unet-efficientnetb4-l2a-4b", keep_running=True
    )
    assert other.computed
    assert other.mask.id != first.mask.id
    with embedded_cube(out, keep_running=True) as dc:
        assert {d.id for d in dc.find_datasets(product="s2_l2a_ucl")} == {
            first.mask.id,
            other.mask.id,
        }


def test_a_real_scene_with_four_bands(
    shared: Path, out: Path, first: DemoResult, recorder: Recorder
) -> None:
    with pytest.warns(match="radiometric offset"):
        result = run_demo(out, recorder, scene=shared / "calgary" / "2020-06-15", keep_running=True)
    assert result.scene.product.name == "s2_l2a_b02_b03_b04_b08_scl"
    assert result.recalled[0].data.odc.geobox.crs.epsg == 4326
    assert f"{result.scene.center_time:%Y-%m-%d}" == "2020-06-15"


# --- datacube's own commands ----------------------------------------------------------


def test_datacube_commands_see_it(first: DemoResult, out: Path) -> None:
    config = out / "datacube.conf"
    assert "s2_l2a_ucl" in datacube(config, "product", "list")
    assert str(first.mask.id) in datacube(config, "dataset", "search", "product=s2_l2a_ucl")


# --- the index ------------------------------------------------------------------------


def test_another_product_of_the_same_name(out: Path, first: DemoResult) -> None:
    with embedded_cube(out, keep_running=True) as dc:
        small = scene_product(["blue", "green"])
        assert add_product(dc, small)
        assert not add_product(dc, small)
        clash = {**scene_product(["blue", "red"]), "name": small["name"]}
        with pytest.raises(CubeError, match=r"another product s2_l2a_b02_b03, without red"):
            add_product(dc, clash)


def test_an_archived_mask_comes_back(out: Path, first: DemoResult) -> None:
    with embedded_cube(out, keep_running=True) as dc:
        dc.index.datasets.archive([first.mask.id])
        assert find_dataset(dc, first.mask.id) is None
        add_dataset(dc, first.mask.local_path)
        assert find_dataset(dc, first.mask.id) is not None


def test_a_document_of_an_unknown_product(out: Path, first: DemoResult, tmp_path: Path) -> None:
    document = first.mask.local_path.read_text().replace("name: s2_l2a_ucl", "name: something_else")
    path = tmp_path / "x.odc-metadata.yaml"
    path.write_text(document)
    with (
        embedded_cube(out, keep_running=True) as dc,
        pytest.raises(CubeError, match="something_else"),
    ):
        add_dataset(dc, path)


# --- what can go wrong ----------------------------------------------------------------


def broken(scene: Path, tmp_path: Path) -> Path:
    """A scene whose blue band is cut off in the middle."""
    folder = shutil.copytree(scene, tmp_path / "broken")
    pixels = (folder / "B02.tif").read_bytes()
    (folder / "B02.tif").write_bytes(pixels[: len(pixels) // 2])
    return folder


def test_a_truncated_band_leaves_nothing_behind(
    first: DemoResult, scene: Path, out: Path, tmp_path: Path, recorder: Recorder
) -> None:
    before = files(out / "products")
    with pytest.raises(SceneError, match="cannot read"):
        run_demo(out, recorder, scene=broken(scene, tmp_path), keep_running=True)
    assert files(out / "products") == before
    assert not list((out / "products").glob(".cleansat-*"))


def test_a_scene_of_nothing_but_nodata(
    first: DemoResult, out: Path, tmp_path: Path, recorder: Recorder
) -> None:
    folder = SimulatedScene(shape=(60, 60)).write(tmp_path / "empty")
    for path in folder.glob("*.tif"):
        with rasterio.open(path, "r+") as file:
            file.write(np.zeros(file.shape, file.dtypes[0]), 1)
    with pytest.raises(SceneError, match=r"no pixel of the scene has data"):
        run_demo(out, recorder, scene=folder, keep_running=True)


def test_a_database_that_cannot_start(tmp_path: Path, recorder: Recorder, scene: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "PG_VERSION").write_text("9\n")
    with pytest.raises(CubeError, match=r"does not start.*another output folder"):
        run_demo(tmp_path, recorder, scene=scene)


def test_a_path_that_postgres_cannot_take(tmp_path: Path, recorder: Recorder, scene: Path) -> None:
    with pytest.raises(CubeError, match=r"' '.*another folder"):
        run_demo(tmp_path / "my demo", recorder, scene=scene)


def test_two_runs_in_one_folder(first: DemoResult, out: Path) -> None:
    with embedded_cube(out, keep_running=True):
        other = subprocess.run(
            [Path(sys.executable).parent / "cleansat", "demo", "--out", out],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert other.returncode == 1
    assert "another run is using" in other.stderr


def test_an_interrupted_start_is_repaired(initialised: Copy, tmp_path: Path, fresh: Fresh) -> None:
    """Tables without metadata types are what a kill in the middle of the first start leaves.

    Repaired in another process: datacube keeps the indexes of one database in mind for the next.
    """
    server, _ = _start(initialised(tmp_path / "out"))
    server.psql("drop schema agdc cascade")
    url = server.get_uri(driver="psycopg2")
    settings = {"default": {"index_driver": "postgres", "db_url": url}}
    with Datacube(raw_config=settings, validate_connection=False) as dc:
        dc.index.init_db(with_default_types=False)
    server.stop()
    fresh("""
from pathlib import Path
from odc_cleansat.cube.embedded import embedded_cube
from odc_cleansat.cube.index import add_product
from odc_cleansat.storage.eo3 import scene_product

with embedded_cube(Path("out")) as dc:
    assert add_product(dc, scene_product(["blue", "green"]))
""")


def test_a_database_is_not_left_running_after_a_failure(initialised: Copy, tmp_path: Path) -> None:
    folder = SimulatedScene(shape=(60, 60)).write(tmp_path / "scene")
    (folder / "B8A.tif").write_bytes(b"no GeoTIFF")
    initialised(tmp_path / "out")
    with pytest.raises(SceneError, match="cannot read"):
        run_demo(tmp_path / "out", scene=folder, keep_running=True)
    assert (tmp_path / "out" / "postgres").is_dir()
    assert not (tmp_path / "out" / "postgres" / "postmaster.pid").exists()


@pytest.mark.usefixtures("undrawn")
def test_corrected_metadata_makes_a_corrected_mask(
    first: DemoResult, scene: Path, out: Path, tmp_path: Path, recorder: Recorder
) -> None:
    folder = shutil.copytree(scene, tmp_path / "scene")
    recorded = json.loads((folder / "scene.json").read_text())
    (folder / "scene.json").write_text(json.dumps({**recorded, "processing_baseline": "03.01"}))
    with pytest.warns(match="looks wrong"):
        wrong = run_demo(out, recorder, scene=folder, keep_running=True)
    assert wrong.scene.id == first.scene.id
    assert wrong.computed
    assert wrong.mask.metadata_doc["properties"]["cleansat:offset"] == 0
    again = run_demo(out, recorder, scene=scene, keep_running=True)
    assert (again.mask.id, again.computed) == (first.mask.id, False)


@pytest.mark.usefixtures("undrawn")
def test_a_damaged_mask_is_made_anew(
    first: DemoResult, scene: Path, out: Path, recorder: Recorder
) -> None:
    (path,) = first.mask.local_path.parent.glob("*_ucl.tif")
    whole = path.read_bytes()
    path.write_bytes(whole[:1000])
    result = run_demo(out, recorder, scene=scene, keep_running=True)
    assert result.computed
    assert result.mask.id == first.mask.id
    assert any("damaged" in line for line in recorder.lines)
    assert path.read_bytes() == whole


def test_a_scene_that_fails_is_not_indexed(
    first: DemoResult, scene: Path, out: Path, tmp_path: Path, recorder: Recorder
) -> None:
    with embedded_cube(out, keep_running=True) as dc:
        before = {d.id for d in dc.find_datasets(product="s2_l2a")}
    documents = set((out / "scenes").iterdir())
    with pytest.raises(SceneError, match="cannot read"):
        run_demo(out, recorder, scene=broken(scene, tmp_path), keep_running=True)
    with embedded_cube(out, keep_running=True) as dc:
        assert {d.id for d in dc.find_datasets(product="s2_l2a")} == before
    assert set((out / "scenes").iterdir()) == documents


def test_a_tiny_scene(out: Path, first: DemoResult, tmp_path: Path, recorder: Recorder) -> None:
    folder = SimulatedScene(shape=(6, 6)).write(tmp_path / "tiny")
    result = run_demo(out, recorder, scene=folder, keep_running=True)
    assert result.recalled[0].data.ucl.shape == (3, 3)
