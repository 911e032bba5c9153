"""Models of other classes, bands and resolution than the default's, through every surface.

They are real networks in real files, whose answer follows from one band: the brighter it is, the later
the class in :data:`BRIGHTNESS`.
"""

from __future__ import annotations

import json
import re
import shutil
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import odc.stac
import onnx
import pystac
import pytest
import rasterio
import xarray as xr
from calling import Run, failure, good
from datacube.migration import ODC2DeprecationWarning
from environments import program
from environments import run as shell
from odc.algo import enum_to_bool
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr
from onnx import TensorProto, helper, numpy_helper
from scipy import ndimage

from odc_cleansat import (  # fmt: skip
    CloudClass,
    Model,
    apply_preset,
    classify,
    composite,
    load,
    recall,
    verify,
    with_ucl,
)
from odc_cleansat.classes import class_percent
from odc_cleansat.cube.embedded import CONFIG_NAME, embedded_cube
from odc_cleansat.cube.index import add_dataset, add_product
from odc_cleansat.errors import CubeError, GapWarning, ModelError, ModelWarning, SceneError
from odc_cleansat.masks.presets import Preset
from odc_cleansat.models.documents import write_model
from odc_cleansat.models.former import FORMER
from odc_cleansat.models.registry import DEFAULTS
from odc_cleansat.products.job import MaskJob
from odc_cleansat.products.product import MaskProduct
from odc_cleansat.products.verdict_files import reject
from odc_cleansat.scenes.band_folder import open_scene, write_scene_document
from odc_cleansat.scenes.bands import S2_BANDS
from odc_cleansat.storage.eo3 import MASK_PRODUCT, product_definition
from odc_cleansat.synthetic.scene import SimulatedScene

if TYPE_CHECKING:
    from datacube import Datacube
    from datacube.model import Dataset


DEFAULT = DEFAULTS[0]
GRID = {"output_crs": "EPSG:32633", "resolution": 20}

CLEAR, CLOUD, THIN, SHADOW = (
    CloudClass.CLEAR, CloudClass.CLOUD, CloudClass.THIN_CLOUD, CloudClass.SHADOW,
)  # fmt: skip
BRIGHTNESS = (SHADOW, CLEAR, THIN, CLOUD)
LIMITS = np.array([0.02, 0.14, 0.3])
"""Reflectances at which one class of these ends and the next begins."""

STEEPNESS = 100.0
"""Of the logits, per unit of reflectance."""

DOUBT = 0.004
"""So near to a limit, rounding may decide."""

L2A = [band for band in S2_BANDS if band not in ("cirrus", "scl")]
FOUR = (CLEAR, CLOUD, THIN, SHADOW)


def stand_in(
    folder: Path,
    name: str,
    bands: list[str] | None = None,
    classes: tuple[CloudClass, ...] = FOUR,
    *,
    by: str = "blue",
    resolution: float = 10,
    level: str = "L2A",
) -> Model:
    """A network of a single convolution, in an ONNX file, with its document beside it."""
    bands = bands or L2A
    weights = np.zeros((len(classes), len(bands), 1, 1), dtype="float32")
    rank = np.array([BRIGHTNESS.index(c) for c in classes])
    # The greatest of straight lines that get ever steeper and cross at the limits.
    weights[:, bands.index(by), 0, 0] = STEEPNESS * rank
    bias = np.array([-STEEPNESS * LIMITS[:r].sum() for r in rank], dtype="float32")
    shapes = [["n", count, "h", "w"] for count in weights.shape[1::-1]]
    x, y = (
        helper.make_tensor_value_info(n, TensorProto.FLOAT, shape)
        for n, shape in zip("xy", shapes, strict=True)
    )
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w", "b"], ["y"])], name, [x], [y],
        [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(bias, "b")],
    )  # fmt: skip
    file = folder / f"{name}.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), file)
    model = Model(
        name=name, version="1", title=f"Stand-in {name}", bands=tuple(bands),
        mean=(0.0,) * len(bands), std=(1.0,) * len(bands), resolution=resolution, classes=classes,
        level=level, weights=f"file:{file}", licence="MIT",
    )  # fmt: skip
    write_model(model, folder / f"{name}.yaml")
    return model


@pytest.fixture(scope="module", autouse=True)
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Model]]:
    """The stand-ins, which the registry knows too, in this process and in those that it starts."""
    folder = tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLEANSAT_MODELS", str(folder))
        yield {
            model.name: model
            for model in (
                stand_in(folder, "four"),
                stand_in(folder, "turned", L2A[::-1], (SHADOW, THIN, CLEAR, CLOUD)),
                stand_in(folder, "by-coastal", by="coastal"),
                stand_in(folder, "two", ["blue", "red"], (CLEAR, CLOUD)),
                stand_in(folder, "thirteen", [*L2A[:10], "cirrus", *L2A[10:]], level="L1C"),
            )
        }


@pytest.fixture(scope="module")
def simulated_10m() -> xr.Dataset:
    """All twelve bands of a simulated scene at 10 m."""
    return SimulatedScene(shape=(300, 420), seed=3).to_xarray(10).isel(time=0)


@pytest.fixture(scope="module")
def native() -> dict[str, xr.DataArray]:
    """The same on the grids of 10, 20 and 60 m on which Sentinel-2 has them."""
    scene = SimulatedScene(shape=(300, 420), seed=3)
    rows = {300: 10, 150: 20, 50: 60}
    return {
        name: wrap_xr(values, scene.geobox(rows[values.shape[0]]), nodata=0)
        for name, values in scene.read().items()
        if name not in ("SCL", "truth")
    }


@dataclass(frozen=True)
class Archive:
    """A datacube with scenes of two dates, which have masks by several models."""

    dc: Datacube
    folder: Path
    scenes: dict[str, Dataset]
    masks: dict[tuple[str, str], Dataset]
    """By model and scene: the default's of ``june``, and those by ``four`` of both."""

    def native(self, scene: str) -> dict[str, xr.DataArray]:
        """The bands of a scene on their own grids."""
        return {path.stem: read(path) for path in sorted((self.folder / scene).glob("B*.tif"))}

    def file(self, model: str, scene: str) -> Path:
        """The classes of an indexed mask."""
        (path,) = self.masks[model, scene].local_path.parent.glob("*_ucl.tif")
        return path

    def codes(self, model: str, scene: str) -> np.ndarray:
        """The same as codes."""
        codes: np.ndarray = read(self.file(model, scene)).values
        return codes


def read(path: Path) -> xr.DataArray:
    with rasterio.open(path) as file:
        return wrap_xr(file.read(1), GeoBox.from_rio(file), nodata=0)


@pytest.fixture(scope="module")
def archive(
    models: dict[str, Model],
    tmp_path_factory: pytest.TempPathFactory,
    initialised: Callable[[Path], Path],
) -> Iterator[Archive]:
    """Made with a Postgres of its own."""
    folder = initialised(tmp_path_factory.mktemp("archive"))
    dates = {"june": "2024-06-15T10:10:31Z", "july": "2024-07-05T10:10:31Z"}
    with embedded_cube(folder) as dc:
        for product in ("s2_l2a", MASK_PRODUCT):
            add_product(dc, product_definition(product))
        scenes, masks = {}, {}
        for name, date in dates.items():
            scene = SimulatedScene(shape=(300, 420), seed=3, datetime=date)
            opened = open_scene(scene.write(folder / name))
            scenes[name] = add_dataset(dc, write_scene_document(opened, folder / "scenes"))
        for model, name in ((DEFAULT, "june"), ("four", "june"), ("four", "july")):
            document = MaskJob(scenes[name], folder / "products", model).run()
            masks[model, name] = add_dataset(dc, document)
        yield Archive(dc, folder, scenes, masks)


def stac_item(archive: Archive, scene: str) -> pystac.Item:
    """A scene as a STAC item, with the names and properties that Element 84 gives."""
    dataset = archive.scenes[scene]
    footprint = dataset.extent.to_crs("EPSG:4326")
    item = pystac.Item(
        "S2B_33UVP_20240615_0_L2A", footprint.json, list(footprint.boundingbox), dataset.center_time,
        {"s2:processing_baseline": "05.10", "proj:code": "EPSG:32633"}, collection="sentinel-2-l2a",
        stac_extensions=["https://stac-extensions.github.io/projection/v2.0.0/schema.json"],
    )  # fmt: skip
    for name in [*L2A, "scl"]:
        path = archive.folder / scene / f"{S2_BANDS[name][0]}.tif"
        grid = read(path).odc.geobox
        fields = {
            "proj:transform": list(grid.affine)[:6], "proj:shape": list(grid.shape),
            "raster:bands": [{"data_type": "uint16", "nodata": 0}],
        }  # fmt: skip
        item.add_asset(name, pystac.Asset(str(path), media_type=pystac.MediaType.COG, extra_fields=fields))  # fmt: skip
    return item


def reflectance(band: xr.DataArray, offset: float = -1000) -> np.ndarray:
    return (band.values.astype("float64") + offset) / 10000


def answer(bright: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The codes, and where they are certain."""
    codes = np.array(BRIGHTNESS, dtype="uint8")[np.digitize(bright, LIMITS)]
    sure = (np.abs(bright[..., np.newaxis] - LIMITS) > DOUBT).all(axis=-1)
    return codes, sure


def probabilities(bright: np.ndarray) -> np.ndarray:
    """Of the classes in the order of brightness, first dimension."""
    rank = np.arange(len(BRIGHTNESS)).reshape(-1, *[1] * bright.ndim)
    below = np.concatenate([[0], np.cumsum(LIMITS)]).reshape(rank.shape)
    powers = np.exp(STEEPNESS * (rank * bright - below))
    shares: np.ndarray = powers / powers.sum(axis=0)
    return shares


# --- classify -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["four", "turned"])
def test_the_right_answer_whatever_the_order(simulated_10m: xr.Dataset, name: str) -> None:
    ucl = classify(simulated_10m, model=name, offset=-1000).ucl
    codes, sure = answer(reflectance(simulated_10m.B02))
    assert sure.mean() > 0.75
    assert set(np.unique(codes[sure])) == set(FOUR)
    np.testing.assert_array_equal(ucl.values[sure], codes[sure])
    assert ucl.odc.geobox == simulated_10m.odc.geobox
    assert ucl.attrs["flag_meanings"] == "nodata clear cloud shadow thin_cloud"
    np.testing.assert_array_equal(enum_to_bool(ucl, ["cloud", "thin_cloud"]), np.isin(ucl, (2, 6)))


@pytest.mark.parametrize("resolution", [20, 30])
def test_a_grid_too_coarse_for_it(resolution: int) -> None:
    coarse = SimulatedScene(shape=(300, 420), seed=3).to_xarray(resolution).isel(time=0)
    says = rf"blue are {resolution} m wide, too coarse for four.* 15 m or finer \(the sensor's own pixels are of 10 m"
    with pytest.raises(SceneError, match=says):
        classify(coarse, model="four", offset=-1000)


def test_bands_that_are_no_finer_anywhere(
    native: dict[str, xr.DataArray], simulated_10m: xr.Dataset
) -> None:
    for name in ("four", "by-coastal"):
        found = classify(native, model=name, offset=-1000, confidence=True)
        expected = classify(simulated_10m, model=name, offset=-1000, confidence=True)
        assert found.odc.geobox == simulated_10m.odc.geobox
        xr.testing.assert_equal(found.ucl.drop_vars(found.ucl.coords), expected.ucl.drop_vars(expected.ucl.coords))  # fmt: skip
        np.testing.assert_array_equal(found.ucl_confidence, expected.ucl_confidence)
    codes, sure = answer(reflectance(simulated_10m.B01))
    np.testing.assert_array_equal(found.ucl.values[sure], codes[sure])
    thinned = {**native, "B05": native["B05"].coarsen(y=3, x=3).mean().astype("uint16")}
    thinned["B05"] = wrap_xr(thinned["B05"].values, native["B01"].odc.geobox, nodata=0)
    with pytest.raises(SceneError, match=r"rededge1 are 60 m wide.* 30 m or finer"):
        classify(thinned, model="four", offset=-1000)


def test_a_coarse_output(native: dict[str, xr.DataArray], simulated_10m: xr.Dataset) -> None:
    grid: GeoBox = simulated_10m.odc.geobox.zoom_out(2)
    found = classify(native, model="four", geobox=grid, offset=-1000).ucl.values
    codes, sure = answer(reflectance(simulated_10m.B02))
    # Certain where all is one class as far as the interpolation looks.
    same = (ndimage.minimum_filter(codes, 6) == ndimage.maximum_filter(codes, 6)) & sure
    plain = same[::2, ::2] & same[1::2, 1::2]
    assert plain.mean() > 0.3
    np.testing.assert_array_equal(found[plain], codes[::2, ::2][plain])


def test_bands_that_l2a_does_not_have(simulated_10m: xr.Dataset) -> None:
    with pytest.raises(SceneError, match=r"lacks cirrus \(B10\).*L1C"):
        classify(simulated_10m, model="thirteen", offset=-1000)
    whole = simulated_10m.assign(
        B10=simulated_10m.B09 + np.uint16(7)
    )  # two equal bands are refused
    codes, sure = answer(reflectance(simulated_10m.B02))
    found = classify(whole, model="thirteen", offset=-1000).ucl.values
    np.testing.assert_array_equal(found[sure], codes[sure])


def test_probabilities_say_which_plane_is_which(simulated_10m: xr.Dataset) -> None:
    how = {"probabilities": True, "offset": -1000, "precision": "f32"}
    found = classify(simulated_10m, model="turned", **how).ucl_probability
    assert list(found.ucl_class.values) == ["shadow", "thin_cloud", "clear", "cloud"]
    assert list(found.ucl_code.values) == [3, 6, 1, 2]
    shares = probabilities(reflectance(simulated_10m.B02))
    for c, expected in zip(BRIGHTNESS, shares, strict=True):
        plane = found.sel(ucl_class=c.label)
        np.testing.assert_allclose(plane, expected, atol=2e-5)


def test_doubt_between_kinds_of_cloud_is_no_doubt(simulated_10m: xr.Dataset) -> None:
    found = classify(simulated_10m, model="four", offset=-1000, precision="f32", confidence=True)
    shadow, clear, thin, cloud = 100 * probabilities(reflectance(simulated_10m.B02))
    codes, percent = found.ucl.values, found.ucl_confidence.values
    for c, expected in ((SHADOW, shadow), (CLEAR, clear), (THIN, thin + cloud), (CLOUD, thin + cloud)):  # fmt: skip
        own = codes == c
        assert own.any()
        assert np.abs(percent[own] - expected[own]).max() <= 0.51
    assert percent[codes == CLOUD].min() > 95


def test_thresholds_name_its_classes(simulated_10m: xr.Dataset) -> None:
    how = {"offset": -1000, "precision": "f32"}
    shares = probabilities(reflectance(simulated_10m.B02))
    for name in ("four", "turned"):
        found = classify(simulated_10m, model=name, thresholds={"thin_cloud": 0.01}, **how).ucl
        thin = shares[BRIGHTNESS.index(THIN)]
        sure = np.abs(thin - 0.01) > 1e-4
        np.testing.assert_array_equal((found.values == THIN)[sure], (thin > 0.01)[sure])
    with pytest.raises(
        ModelError, match="no class 'snow'; it has clear, cloud, thin_cloud, shadow"
    ):
        classify(simulated_10m, model="four", thresholds={"snow": 0.5}, **how)
    with pytest.raises(ModelError, match="no class 'thin_cloud'; it has clear, cloud, shadow"):
        classify(simulated_10m, model=FORMER[0], thresholds={"thin_cloud": 0.5}, offset=-1000)
    with pytest.raises(ModelError, match="every class of four"):
        classify(simulated_10m, model="four", thresholds=dict.fromkeys([c.label for c in FOUR], 0.5), **how)  # fmt: skip


@pytest.mark.parametrize("chunks", [None, {"y": 100}])
def test_thin_cloud_grows_and_stays_thin(simulated_10m: xr.Dataset, chunks: dict[str, int] | None) -> None:  # fmt: skip
    before = classify(simulated_10m, model="four", offset=-1000).ucl.values
    scene = simulated_10m if chunks is None else simulated_10m.chunk(chunks)
    after = classify(scene, model="four", offset=-1000, dilation={"cloud": 30, "shadow": 20}).ucl.values  # fmt: skip
    clear = before == CLEAR

    def near(c: CloudClass, radius: int) -> np.ndarray:
        return ndimage.distance_transform_edt(before != c) <= radius

    expected = before.copy()
    expected[clear & near(SHADOW, 2)] = SHADOW
    expected[clear & near(THIN, 3)] = THIN
    expected[clear & near(CLOUD, 3)] = CLOUD
    np.testing.assert_array_equal(after, expected)
    assert ((after == THIN) & clear).any()


# --- composites and presets -----------------------------------------------------------


@pytest.fixture(scope="module")
def series() -> xr.Dataset:
    """Three dates with a known mask: what is hidden is bright, and each kind of it in a place of its own."""
    moments = ("2024-06-15T10:10:31Z", "2024-06-20T10:10:31Z", "2024-06-25T10:10:31Z")
    dates = [SimulatedScene(shape=(300, 420), seed=3, datetime=each).to_xarray(10) for each in moments]  # fmt: skip
    scene = xr.concat(dates, "time")
    return scene.merge(classify(scene, model="four", offset=-1000, confidence=True))


def test_composites_leave_thin_cloud_out_unless_asked(series: xr.Dataset) -> None:
    codes = series.ucl.values
    near = {
        name: np.stack(
            [ndimage.distance_transform_edt(~each) <= 6 for each in np.isin(codes, found)]
        )
        for name, found in {"cloud": [2, 6], "thick": [2], "shadow": [3]}.items()
    }
    strict = composite(series, bands=["B04"])
    hidden = near["cloud"] | near["shadow"]
    np.testing.assert_array_equal(strict.clear_count, (~hidden).sum(axis=0))
    lenient = composite(series, bands=["B04"], clear=["clear", "thin_cloud"])
    hidden = near["thick"] | near["shadow"]
    np.testing.assert_array_equal(lenient.clear_count, (~hidden).sum(axis=0))
    assert (lenient.clear_count > strict.clear_count).any()


def test_presets_treat_thin_cloud_as_cloud(series: xr.Dataset) -> None:
    before, percent = series.ucl.values, series.ucl_confidence.values
    unsure = Preset("x", "", least_cloud=70)
    after = apply_preset(series, unsure).ucl.values
    np.testing.assert_array_equal(after, np.where(np.isin(before, (2, 6)) & (percent < 70), 1, before))  # fmt: skip
    # Between thin and thick nothing is unsure, however alike they are.
    alike = np.abs(reflectance(series.B02) - LIMITS[2]) < 0.002
    assert alike.any()
    assert np.isin(after[alike], (2, 6)).all()
    wide = apply_preset(series, "conservative").ucl.values
    assert ((wide == THIN) & (before == CLEAR)).any()
    np.testing.assert_array_equal(wide[before != CLEAR], before[before != CLEAR])


# --- recipes, drivers and arrays ------------------------------------------------------


def test_recipes_and_drivers(archive: Archive) -> None:
    dc, scene = archive.dc, archive.scenes["june"]
    grid = {"output_crs": "EPSG:32633", "resolution": 10}
    expected = classify(archive.native("june"), model="four", offset=-1000, confidence=True)
    recipe = {
        "transform": "odc_cleansat.virtual.UNetMask", "model": "four", "keep": ["red"],
        "input": {"product": "s2_l2a", "measurements": L2A},
    }  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ODC2DeprecationWarning)
        from datacube.virtual import construct

        product = construct(**recipe)
    flags = product.output_measurements({"s2_l2a": dc.index.products.get_by_name("s2_l2a")})["ucl"]
    assert list(flags["flags_definition"]["ucl"]["values"]) == ["0", "1", "2", "3", "6"]
    made = product.load(dc, time="2024-06-15", **grid)
    np.testing.assert_array_equal(made.ucl[0], expected.ucl)
    names = ["ucl", "ucl_confidence"]
    (known,) = with_ucl(scene, model="four")
    read = dc.load(datasets=[known], measurements=names, driver="cleansat", dask_chunks={"x": 100}, **grid)  # fmt: skip
    for name in names:
        np.testing.assert_array_equal(read[name][0], expected[name])
    with pytest.raises(SceneError, match=r"blue are 20 m wide, too coarse for four.*15 m or finer"):
        product.load(dc, time="2024-06-15", output_crs="EPSG:32633", resolution=20)
    with pytest.raises(SceneError, match="lacks cirrus"):
        with_ucl(scene, model="thirteen")
    item = stac_item(archive, "june")
    (whole,) = with_ucl(item, model="turned")
    # As fine as a stored mask would be, whichever bands come first or last.
    assert whole.assets["ucl"].extra_fields["proj:transform"][0] == 20
    del item.assets["scl"]
    (whole,) = with_ucl(item, model="by-coastal")
    assert whole.assets["ucl"].extra_fields["proj:transform"][0] == 20
    found = odc.stac.load(
        [whole], bands=["ucl"], crs="EPSG:32633", resolution=10, driver="cleansat"
    )
    np.testing.assert_array_equal(found.ucl[0], classify(archive.native("june"), model="by-coastal", offset=-1000).ucl)  # fmt: skip


def test_files_that_are_coarser_than_the_sensor(archive: Archive, tmp_path: Path) -> None:
    item = stac_item(archive, "june")
    item.assets["blue"].href = str(shutil.copy(item.assets["coastal"].href, tmp_path))
    how = {"bands": ["ucl"], "crs": "EPSG:32633", "resolution": 20, "driver": "cleansat"}
    with pytest.raises(SceneError, match="blue are 60 m wide, too coarse for four"):
        odc.stac.load(with_ucl(item, model="four"), **how)
    with pytest.raises(SceneError, match="blue are 60 m wide, too coarse for unet"):
        odc.stac.load(with_ucl(item), **how)


# --- products -------------------------------------------------------------------------


def test_the_product_knows_its_classes(archive: Archive) -> None:
    document = archive.masks["four", "june"].local_path
    said = archive.masks["four", "june"].metadata_doc["properties"]
    codes = archive.codes("four", "june")
    assert set(np.unique(codes)) <= {0, *FOUR}
    shares = class_percent(codes)
    for c in FOUR:
        assert said[f"cleansat:{c.label}_percent"] == pytest.approx(shares[c], abs=0.006)
    assert shares[THIN] > 1
    assert not any(
        f"cleansat:{c.label}_percent" in said for c in (CloudClass.SNOW, CloudClass.WATER)
    )
    assert said["eo:cloud_cover"] == pytest.approx(shares[CLOUD] + shares[THIN], abs=0.006)
    item = json.loads(next(document.parent.glob("*.stac-item.json")).read_text())
    classes = item["assets"]["ucl"]["classification:classes"]
    assert [each["value"] for each in classes] == [0, 1, 2, 3, 6]
    assert item["properties"]["mlm:input"][0]["name"] == "surface reflectance at 10 m"
    assert all(check.right for check in verify(document).checks)


def test_mask_and_compare_a_scene(archive: Archive, run: Run, tmp_path: Path) -> None:
    scene = archive.folder / "june"
    (line,) = good(run("mask", scene, "--model", "turned", "-o", tmp_path, "--json")).splitlines()
    result = json.loads(line)
    assert list(result["percent"]) == ["clear", "cloud", "shadow", "thin_cloud"]
    assert sum(result["percent"].values()) == pytest.approx(100, abs=0.03)
    same = archive.masks["four", "june"].metadata_doc["properties"]
    assert result["percent"]["thin_cloud"] == same["cleansat:thin_cloud_percent"]
    product = Path(result["document"]).parent
    with rasterio.open(next(product.glob("*_thumbnail.png"))) as file:
        colours = {f"#{r:02x}{g:02x}{b:02x}" for r, g, b in file.read().reshape(3, -1).T}
    assert {c.colour for c in FOUR} == colours
    page = tmp_path / "compare.html"
    said = good(run("compare", product, "--confidence", "--agreement", "-o", page, "-o", tmp_path / "compare.png"))  # fmt: skip
    assert re.search(r"UCL \(turned\) +clear [\d.]+ %, cloud [\d.]+ %, thin cloud [\d.]+ %, cloud shadow", said)  # fmt: skip
    assert "UCL (turned)" in page.read_text()
    said = good(run("compare", scene, "--model", "two", "-o", tmp_path / "two.png"))
    (line,) = [text for text in said.splitlines() if "UCL (two)" in text]
    assert "cloud" in line
    assert "shadow" not in line
    assert "no model 'x'" in failure(run("mask", scene, "--model", "x", "-o", tmp_path))
    assert "L2A has no cirrus" in failure(run("mask", scene, "--model", "thirteen", "-o", tmp_path))


def test_evaluate_against_labels_that_know_thin_cloud(archive: Archive, run: Run, tmp_path: Path) -> None:  # fmt: skip
    path = archive.file("four", "june")
    with rasterio.open(path) as file:
        codes, profile = file.read(1), file.profile
    with rasterio.open(tmp_path / "label.tif", "w", **{**profile, "nodata": None}) as file:
        # CloudSEN12's codes, with all thick cloud called thin.
        file.write(np.choose(codes, [255, 0, 2, 3, 255, 255, 2]).astype("uint8"), 1)
    said = good(run(
        "evaluate", "--label", tmp_path / "label.tif", "--label-mapping", "cloudsen12",
        "--pred", f"UCL={path}", "--json", "--ignore", "0",
    ))  # fmt: skip
    found = json.loads(said)
    pooled = {
        (each["question"], each["metric"]): each["value"]
        for each in found["results"] if each["protocol"] == "pooled"
    }  # fmt: skip
    assert all(pooled[question, "f1"] == 1 for question in ("cloud", "shadow", "clear"))
    assert pooled["cloud", "support"] == np.isin(codes, (2, 6)).sum()


# --- several models in one datacube ---------------------------------------------------


def test_load_takes_the_masks_of_the_model(archive: Archive) -> None:
    how = {
        "measurements": ["ucl"],
        "time": "2024",
        "group_by": "solar_day",
        "ucl": "indexed",
        **GRID,
    }
    four = load(archive.dc, "s2_l2a", model="four", **how)
    for i, name in enumerate(("june", "july")):
        np.testing.assert_array_equal(four.ucl[i], archive.codes("four", name))
    says = "1 of 2 scenes have masks in the index, by four, but none by the default model"
    with pytest.warns(ModelWarning, match=says), pytest.warns(GapWarning, match="1 of 2 scenes have no indexed mask"):  # fmt: skip
        default = load(archive.dc, "s2_l2a", **how)
    np.testing.assert_array_equal(default.ucl[0], archive.codes(DEFAULT, "june"))
    assert not default.ucl[1].any()
    with pytest.warns(GapWarning, match="2 of 2 scenes have no indexed mask"):
        assert not load(archive.dc, "s2_l2a", model="turned", **how).ucl.any()
    computed = load(archive.dc, "s2_l2a", model="turned", **{**how, "ucl": "auto"})
    assert (computed.ucl.values == four.ucl.values).mean() > 0.999
    clear = load(archive.dc, "s2_l2a", model="four", min_clear=0.01, **{**how, "ucl": "auto"})
    share = np.mean(four.ucl.values == CLEAR, axis=(1, 2))
    best = load(archive.dc, "s2_l2a", model="four", min_clear=share.max() - 1e-6, **how)
    assert clear.sizes["time"] == 2
    assert best.sizes["time"] == 1


def test_recall_wants_to_know_which(archive: Archive) -> None:
    with pytest.raises(CubeError, match=rf"several models; choose with model=: four, {DEFAULT}"):
        recall(archive.dc, time="2024")
    for model in ("four", DEFAULT):
        found = recall(archive.dc, time="2024-06-15", model=model)
        np.testing.assert_array_equal(found.ucl[0], archive.codes(model, "june"))
    july = recall(archive.dc, time="2024-07-05")  # there is but one
    np.testing.assert_array_equal(july.ucl[0], archive.codes("four", "july"))
    with pytest.raises(CubeError, match=rf"no mask by the model 'turned'.*four, {DEFAULT}"):
        recall(archive.dc, time="2024", model="turned")


def test_recall_counts_thin_cloud(archive: Archive) -> None:
    coarse = {"output_crs": "EPSG:32633", "resolution": 60}
    how = {"time": "2024-06-15", "model": "four", **coarse}
    codes = archive.codes("four", "june")
    blocks = codes.reshape(codes.shape[0] // 3, 3, -1, 3).swapaxes(1, 2).reshape(-1, codes.shape[1] // 3, 9)  # fmt: skip
    fraction = recall(archive.dc, how="fraction", **how)
    np.testing.assert_allclose(fraction.cloud_fraction[0], np.isin(blocks, (2, 6)).mean(axis=-1), atol=1e-6)  # fmt: skip
    worst = recall(archive.dc, how="any_cloud", **how).ucl[0].values
    ranks = np.argsort([9, 5, 0, 2, 3, 4, 1])  # thick before thin, thin before shadow
    order = np.array([9, 5, 0, 2, 3, 4, 1])
    np.testing.assert_array_equal(worst, ranks[order[blocks].min(axis=-1)])
    assert (worst == THIN).any()


def test_commands_choose_by_model(archive: Archive, run: Run, tmp_path: Path) -> None:
    config = ["-C", archive.folder / CONFIG_NAME]

    def status(*arguments: str) -> dict[str, object]:
        failures = ["--failures", tmp_path / "none.jsonl"]
        found: dict[str, object] = json.loads(good(run("status", "--json", *arguments, *failures, *config)))  # fmt: skip
        return {name: found[name] for name in ("masked", "missing", "failed")}

    assert status() == {"masked": 1, "missing": 1, "failed": 0}
    assert status("--model", "four") == {"masked": 2, "missing": 0, "failed": 0}
    assert status("--model", "turned") == {"masked": 0, "missing": 2, "failed": 0}
    assert status("--model", "thirteen")["failed"] == 2
    out = tmp_path / "mask.tif"
    several = failure(run("recall", "--time", "2024-06-15", "-o", out, *config))
    assert "choose with --model: four" in several
    good(run("recall", "--time", "2024-06-15", "--model", "four", "-o", out, *config))
    with rasterio.open(out) as file:
        np.testing.assert_array_equal(file.read(1), archive.codes("four", "june"))
        assert file.colormap(1)[int(THIN)][:3] == tuple(bytes.fromhex(THIN.colour[1:]))
    area = ["--crs", "EPSG:32633", "--resolution", "20", "--bbox", "13.66,47.81,13.69,47.83"]
    clean = tmp_path / "clean"
    arguments = ["--product", "s2_l2a", "--bands", "red", "--model", "four", "--ucl", "indexed"]
    good(run("export", *arguments, *area, "-o", clean, *config))
    with rasterio.open(clean / "clear_count.tif") as file:
        grid, counted = GeoBox.from_rio(file), file.read(1)
    scenes = load(archive.dc, "s2_l2a", measurements=["red", "ucl"], model="four", like=grid, harmonized=True, group_by="solar_day")  # fmt: skip
    np.testing.assert_array_equal(counted, composite(scenes, bands=["red"]).clear_count)
    page = tmp_path / "cube.html"
    shown = ["--product", "s2_l2a", "--model", "four", "--time", "2024-06-15/2024-07-05"]
    said = good(run("compare", *shown, *area, "-o", page, *config))
    assert said.count("UCL (four)") == 2
    assert "thin cloud" in said


def test_run_makes_the_masks_of_a_model(archive: Archive, run: Run, tmp_path: Path) -> None:
    config = ["-C", archive.folder / CONFIG_NAME]
    arguments = ["--model", "turned", "--workers", "1", "--no-index", "-o", tmp_path, "--json"]
    failures = ["--failures", tmp_path / "failures.jsonl"]
    result = run("run", "--time", "2024-06-15", *arguments, *failures, *config)
    good(result)
    (path,) = tmp_path.rglob("*_ucl.tif")
    with rasterio.open(path) as file:
        assert (file.read(1) == archive.codes("four", "june")).mean() > 0.999


def test_review_tells_models_apart(archive: Archive, run: Run, tmp_path: Path) -> None:
    config = ["-C", archive.folder / CONFIG_NAME]
    listed = good(run("review", "list", *config)).splitlines()
    assert len(listed) == 4  # three masks, and a summary
    assert sum(" four" in line for line in listed) == 2
    only = good(run("review", "list", "--model", "four", "--json", *config)).splitlines()
    assert [json.loads(line)["model"] for line in only] == ["four", "four"]
    says = failure(run("review", "list", "--model", "turned", *config))
    assert f"there are masks by four, {DEFAULT}" in says
    path = tmp_path / "review.html"
    good(run("review", "page", "-o", path, *config))
    (text,) = re.findall(r'id="data">(.*?)</script>', path.read_text(), re.DOTALL)
    data = json.loads(text)
    assert sorted(row["model"] for row in data["rows"]) == ["four", "four", DEFAULT]
    assert "thin_cloud" in [each["name"] for each in data["classes"]]
    for row in data["rows"]:
        if row["model"] == "four":
            assert row["ucl_cloud"] == pytest.approx(row["ucl"]["cloud"] + row["ucl"]["thin_cloud"], abs=0.02)  # fmt: skip
    (mask,) = [
        each for each in MaskProduct.find(archive.folder / "products") if each.model == DEFAULT
    ]
    reject(mask.folder.path, by="a test")
    try:
        how = {"measurements": ["ucl"], "time": "2024", **GRID}
        with pytest.warns(ModelWarning), pytest.warns(GapWarning, match="1 of 2 scenes are left"):
            default = load(archive.dc, "s2_l2a", **how)
        assert default.sizes["time"] == 1
        four = load(archive.dc, "s2_l2a", model="four", **how)
        assert four.sizes["time"] == 2
    finally:
        for verdict in mask.folder.path.glob("*.verdict.json"):
            verdict.unlink()


STATISTICS = """
from datacube import Datacube
from odc.geo.geobox import GeoBox
from odc.stats.plugins import resolve

plugin = resolve("odc_cleansat.stats.StatsUCL")
masks = Datacube().find_datasets(product="s2_l2a_ucl")
tile = GeoBox.from_bbox(masks[0].extent.boundingbox, masks[0].crs, resolution=20)
try:
    plugin().input_data(masks, tile)
except ValueError as error:
    print(error)
four = plugin(model="four")
found = four.reduce(four.input_data(masks, tile)).compute()
print(int(found.cloud_count.sum()), int(found.observation_count.max()))
"""


def test_statistics_count_the_masks_of_one_model(archive: Archive) -> None:
    python = program("odc-stats").with_name("python")
    how = {"config": archive.folder / CONFIG_NAME, "AWS_DEFAULT_REGION": "us-west-2"}
    several, counted = shell(python, "-W", "ignore", "-c", STATISTICS, **how).splitlines()[-2:]
    assert "choose with model=: four" in several
    clouds = [np.isin(archive.codes("four", name), (2, 6)).sum() for name in ("june", "july")]
    assert counted == f"{sum(clouds)} 2"


def test_an_ensemble_of_both_orders(archive: Archive, run: Run, tmp_path: Path) -> None:
    arguments = ["--model", "turned+four", "-o", tmp_path, "--json"]
    (line,) = good(run("mask", archive.folder / "june", *arguments)).splitlines()
    result = json.loads(line)
    assert result["model"] == "turned+four"
    (path,) = tmp_path.rglob("*_ucl.tif")
    assert (read(path).values == archive.codes("four", "june")).mean() > 0.999
    assert all(check.right for check in verify(result["document"]).checks)
    known = with_ucl(archive.scenes["june"], model="turned+four")
    ucl = archive.dc.load(datasets=known, measurements=["ucl"], driver="cleansat", **GRID).ucl
    np.testing.assert_array_equal(ucl[0], read(path))


def test_a_model_that_takes_the_name_of_another(
    archive: Archive, models: dict[str, Model], tmp_path: Path
) -> None:
    """Neither answers of the one before it are given again, nor its network."""
    folder = Path(models["four"].weights.removeprefix("file:")).parent
    scene, grid = archive.scenes["june"], read(archive.folder / "june" / "B02.tif").odc.geobox
    try:
        for by, band in (("blue", "B02"), ("red", "B04")):
            stand_in(folder, "again", by=by)
            codes, sure = answer(reflectance(read(archive.folder / "june" / f"{band}.tif")))
            (found,) = with_ucl(scene, model="again", offset=-1000)
            loaded = archive.dc.load(datasets=[found], measurements=["ucl"], driver="cleansat", like=grid)  # fmt: skip
            np.testing.assert_array_equal(loaded.ucl.values[0][sure], codes[sure], err_msg=by)
            bands = archive.native("june")
            computed = classify(bands, model="again", offset=-1000, geobox=grid).ucl
            np.testing.assert_array_equal(computed.values[sure], codes[sure], err_msg=by)
    finally:
        for path in folder.glob("again.*"):
            path.unlink()


def test_a_model_that_others_know_by_another_document(archive: Archive, models: dict[str, Model]) -> None:  # fmt: skip
    with_ucl(archive.scenes["june"], model=models["four"])
    changed = replace(models["four"], resolution=60.0)
    with pytest.raises(ModelError, match="four is not the model of that name"):
        with_ucl(archive.scenes["june"], model=changed)
