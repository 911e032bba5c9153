"""Masks by others beside a UCL."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import dask.array
import numpy as np
import pytest
import rasterio
import xarray as xr
import yaml
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr

from odc_cleansat import CloudClass
from odc_cleansat.errors import GapWarning, SceneError
from odc_cleansat.evaluate.mappings import get_mapping
from odc_cleansat.evaluate.rasters import ClassRaster
from odc_cleansat.evaluate.scores import class_agreement
from odc_cleansat.review.comparison import compare
from odc_cleansat.review.other_masks import OtherMask, SceneName, read_classes, read_others
from odc_cleansat.review.swipe import swipe_page
from odc_cleansat.scenes.days import check_days
from odc_cleansat.scenes.files import BandFile
from unit.review.helpers import GRID, layer, made_up

FMASK = get_mapping("fmask")
SCENE = SceneName("S2A_33UVP_0", date(2024, 6, 15), "33UVP")


def save(path: Path, codes: np.ndarray, grid: GeoBox | None = GRID, **profile: object) -> str:
    height, width = codes.shape
    place = {} if grid is None else {"crs": str(grid.crs), "transform": grid.affine}
    with rasterio.open(
        path, "w", driver="GTiff", count=1, height=height, width=width, dtype=codes.dtype, **place, **profile
    ) as file:  # fmt: skip
        file.write(codes, 1)
    return str(path)


def codes_of(values: range, shape: tuple[int, ...], dtype: str = "uint8") -> np.ndarray:
    found: np.ndarray = np.random.default_rng(3).choice(values, shape).astype(dtype)
    return found


@pytest.mark.parametrize(
    ("mapping", "values"),
    [
        ("fmask", range(6)),
        ("dea-s2cloudless", range(3)),
        ("omnicloudmask", range(4)),
        ("qa60", range(0, 3073, 1024)),
        ("hls-fmask", range(256)),
        ("cld", range(101)),
        ("clp", range(256)),
    ],
)
def test_any_mask_is_compared(tmp_path: Path, mapping: str, values: range) -> None:
    """From a file, from an array, and lazily, it is shown in the classes of its mapping."""
    scene = made_up().assign_attrs(title="x")
    codes = codes_of(values, GRID.shape, "uint16" if mapping == "qa60" else "uint8")
    known = get_mapping(mapping)
    expected = known.apply(codes)
    if not known.nodata:
        expected[scene.ucl.values == 0] = 0
    array = wrap_xr(codes, GRID)
    other = OtherMask("theirs", save(tmp_path / "m.tif", codes), known)
    ways = {
        "file": read_others([other], scene)["theirs"],
        "array": (array, mapping),
        "lazy": (array.copy(data=dask.array.from_array(codes, chunks=50)), known),
    }
    found = compare(scene, others=ways, agreement="cloud")
    for name in ways:
        shown = layer(found, f"other:{name}")
        np.testing.assert_array_equal(shown.codes, expected)
        agreed = found.frames[0].others[name]
        assert agreed == class_agreement(scene.ucl.values, expected, known.questions)
        assert ("shadow" in agreed) == (mapping in ("fmask", "omnicloudmask", "hls-fmask"))
        assert layer(found, f"agreement-other:{name}").percent[2] > 0
    page = swipe_page(found)
    assert "UCL and file agree on" in page
    assert '"short": "UCL and lazy"' in page or '"short":"UCL and lazy"' in page


def test_unknown_values_are_told() -> None:
    scene = made_up()
    codes = codes_of(range(1, 4), GRID.shape)
    codes[:10] = 77
    scene["theirs"] = wrap_xr(codes, GRID)
    with pytest.warns(GapWarning, match=r"Fmask has values in 10 % .*mapping fmask does not name"):
        found = compare(scene, others={"Fmask": ("theirs", "fmask")})
    shown = layer(found, "other:Fmask")
    assert not shown.codes[:10].any()
    assert shown.gaps
    scene["theirs"].attrs["nodata"] = 77  # the file declares it
    compare(scene, others={"Fmask": ("theirs", "fmask")})
    with pytest.raises(SceneError, match="Fmask: the scene has no 'oa_fmask'"):
        compare(scene, others={"Fmask": ("oa_fmask", "fmask")})


def test_another_grid_is_told_and_its_outside_is_no_data(tmp_path: Path) -> None:
    """0 is clear in these codes; where the mask does not reach there are no data."""
    part = GRID[:50].zoom_out(3)
    codes = np.zeros(part.shape, "uint8")
    codes[:, ::2] = 4
    scene = made_up().assign_attrs(title="x")
    file = OtherMask("file", save(tmp_path / "m.tif", codes, part), get_mapping("fmask4"))
    ways = {**read_others([file], scene), "array": (wrap_xr(codes, part), "fmask4")}
    found = compare(scene, others=ways)
    for name in ways:
        shown = layer(found, f"other:{name}")
        assert shown.name == f"{name} (300 m, nearest neighbour)"
        assert not shown.codes[55:].any()
        assert set(np.unique(shown.codes[:49])) == {1, 2}
    same = compare(scene, others={"same": (codes_to_array(codes_of(range(5), GRID.shape)), "fmask4")})  # fmt: skip
    assert layer(same, "other:same").name == "same"


def codes_to_array(codes: np.ndarray) -> xr.DataArray:
    return wrap_xr(codes, GRID)


def test_masks_of_another_place_or_without_one_are_refused(tmp_path: Path) -> None:
    away = GRID.translate_pix(500, 0)
    for path, grid, reason in (
        ("away.tif", away, "lies elsewhere"),
        ("chip.tif", None, "no coordinate system"),
    ):
        raster = ClassRaster(save(tmp_path / path, codes_of(range(5), GRID.shape), grid), FMASK)
        with pytest.raises(SceneError, match=rf"Fmask: .*{path} .*{reason}"):
            read_classes("Fmask", raster, GRID)
    other = OtherMask("Fmask", str(tmp_path / "away.tif"), FMASK)
    with pytest.raises(SceneError, match="lies elsewhere"):
        read_others([other], made_up().assign_attrs(title="x"))


def test_files_are_found_by_scene_tile_and_day(tmp_path: Path) -> None:
    names = [
        "S2A_33UVP_0_fmask.tif",
        "ga_33UVP_2024-06-15_fmask.tif",
        "ga_33UVQ_2024-06-15_fmask.tif",
        "T33UVP_20240620T100000_fmask.tif",
        "T33UVP_20240615T100000_fmask.tif",
        "x_20240701.tif",
    ]
    for name in names:
        (tmp_path / name).touch()
    for place, expected in {
        "{scene}_fmask.tif": names[0],
        "*_{tile}_{date}*.tif": names[1],
        "T{tile}_{date}*.tif": names[4],
        "**/T33UVP_20240615*": names[4],
    }.items():
        found = OtherMask("F", f"{tmp_path}/{place}", FMASK).find(SCENE)
        assert found == ClassRaster(str(tmp_path / expected), FMASK)
    for place, reason in {
        "*.tif": "F: 6 files match",
        "none.tif": "F: no file matches .*none.tif",
        "x_*.tif": "mask of another scene: its name says 2024-07-01, and the scene is of 2024-06-15",
    }.items():
        with pytest.raises(SceneError, match=reason):
            OtherMask("F", f"{tmp_path}/{place}", FMASK).find(SCENE)
    assert OtherMask("F", "https://example.org/{scene}.tif", FMASK).find(SCENE).uri == "https://example.org/S2A_33UVP_0.tif"  # fmt: skip


def test_a_measurement_of_the_scene_is_a_mask() -> None:
    files = {"oa_fmask": BandFile("s3://bucket/fmask.tif", 2, None)}
    found = OtherMask("F", "oa_fmask", FMASK).find(SCENE, files)
    assert found == ClassRaster("s3://bucket/fmask.tif", FMASK, 2)
    with pytest.raises(SceneError, match="no file matches oa_fmsk"):
        OtherMask("F", "oa_fmsk", FMASK).find(SCENE, files)


def test_probabilities_say_nothing_where_the_scene_has_no_data(tmp_path: Path) -> None:
    """Sen2Cor writes 0 % there."""
    scene = made_up().assign_attrs(title="x")
    scene["ucl"][:20] = 0
    place = save(tmp_path / "cld.tif", np.zeros(GRID.shape, "uint8"))
    classes, _ = read_others([OtherMask("CLD", place, get_mapping("cld"))], scene)["CLD"]
    assert not classes.values[:20].any()
    gone = scene.ucl.values == 0
    np.testing.assert_array_equal(classes.values == 1, ~gone)


def test_a_grid_that_is_turned_is_read_by_its_centres(tmp_path: Path) -> None:
    turned = GeoBox((60, 60), GRID.affine * Affine.rotation(20) * Affine.scale(2), GRID.crs)
    codes = codes_of(range(1, 3), turned.shape)
    found = read_classes("F", ClassRaster(save(tmp_path / "t.tif", codes, turned), FMASK), GRID)
    assert {0, 1, 2} == set(np.unique(found.values))


def test_masks_of_digital_earth_australia(shared: Path) -> None:
    """Their product says what the values mean, and their scene how the files are named."""
    folder = shared / "metadata"
    product = yaml.safe_load((folder / "dea-config/ga_s2am_ard_3.odc-product.yaml").read_text())
    flags = {each["name"]: each for each in product["measurements"]}
    for name, mapping in {"oa_fmask": "fmask", "oa_s2cloudless_mask": "dea-s2cloudless"}.items():
        ((_, flag),) = flags[name]["flags_definition"].items()
        named = {int(code): str(label).replace("valid", "clear") for code, label in flag["values"].items()}  # fmt: skip
        assert {code: CloudClass(get_mapping(mapping).apply(np.array(code))).label for code in named} == named  # fmt: skip
    assert np.isnan(flags["oa_s2cloudless_prob"]["nodata"])
    assert get_mapping("probability").apply(np.array([np.nan, 0.1, 0.9])).tolist() == [0, 1, 2]
    path = folder / "odc-tools/ga_s2am_ard_3-2-1_49JFM_2016-12-14_final.odc-metadata.yaml"
    scene = yaml.safe_load(path.read_text())
    name = SceneName.of(scene["label"], scene["properties"])
    assert (name.tile, name.day) == ("49JFM", date(2016, 12, 14))
    for measurement in ("oa_fmask", "oa_s2cloudless_mask", "oa_s2cloudless_prob"):
        check_days(scene["measurements"][measurement]["path"], {date(2016, 12, 14)})
    with pytest.raises(SceneError, match="2016-12-14, and the scene is of 2016-12-24"):
        check_days(scene["measurements"]["oa_fmask"]["path"], {date(2016, 12, 24)})
