"""Comparisons of masks by eye: what they show, how it is drawn, and the command."""

from __future__ import annotations

import io
import json
import warnings
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import xarray as xr
from affine import Affine
from calling import Run, failure, good
from conftest import Cube, read_folder
from matplotlib.colors import to_rgb
from matplotlib.image import imread
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr

import odc_cleansat
from odc_cleansat import CloudClass
from odc_cleansat.classes import class_percent, scl_to_ucl
from odc_cleansat.errors import CleansatError, OutputError, ReflectanceWarning, SceneError
from odc_cleansat.evaluate.scores import agreement
from odc_cleansat.review.comparison import Comparison, compare
from odc_cleansat.review.datasets import mask_dataset, scene_dataset
from odc_cleansat.review.figure import true_colour

GRID = GeoBox.from_bbox(
    (399960, 5290000, 411960, 5300000), "EPSG:32633", resolution=100, tight=True
)
DAYS = np.array(["2024-06-05T10:10", "2024-06-15T10:10"], dtype="datetime64[ns]")


def made_up(grid: GeoBox = GRID, **changed: np.ndarray) -> xr.Dataset:
    """Random reflectance and classes."""
    rng = np.random.default_rng(0)
    planes: dict[str, np.ndarray] = {
        band: (rng.random(grid.shape) / 4).astype("float32") for band in ("red", "green", "blue")
    }
    planes["scl"] = rng.integers(0, 12, grid.shape).astype("uint8")
    planes["ucl"] = rng.integers(0, 4, grid.shape).astype("uint8")
    planes["ucl_confidence"] = rng.integers(30, 101, grid.shape).astype("uint8")
    return xr.Dataset({name: wrap_xr(plane, grid) for name, plane in {**planes, **changed}.items()})


def two_dates() -> xr.Dataset:
    later = made_up()
    later["ucl"] = xr.full_like(later.ucl, CloudClass.CLOUD)
    return xr.concat([made_up(), later], "time").assign_coords(time=DAYS)


def layer(comparison: Comparison, key: str, date: int = 0) -> Any:
    return next(each for each in comparison.frames[date].layers if each.key == key)


def alike(one: Comparison, two: Comparison) -> None:
    for a, b in zip(one.frames, two.frames, strict=True):
        np.testing.assert_array_equal(a.rgb, b.rgb)
        assert (a.time, a.agreement) == (b.time, b.agreement)
        for x, y in zip(a.layers, b.layers, strict=True):
            np.testing.assert_array_equal(x.codes, y.codes)
            assert (x.key, x.name, x.percent, x.gaps) == (y.key, y.name, y.percent, y.gaps)


def drawn(comparison: Comparison) -> np.ndarray:
    picture: np.ndarray = imread(io.BytesIO(comparison._repr_png_()))
    return picture[..., :3]


# --- colour ---------------------------------------------------------------------------


def test_true_colour_keeps_water_and_cloud_apart() -> None:
    rgb = np.full((20, 20, 3), 0.05)
    rgb[:10] = 0.9
    rgb[15:] = 0.01
    rgb[19, 19] = np.nan
    picture = true_colour(rgb)
    assert picture[0, 0, 0] > 0.95
    assert 0.1 < picture[12, 0, 0] < 0.6
    assert picture[16, 0, 0] < picture[12, 0, 0]
    assert (picture[19, 19] == 1).all()
    assert (true_colour(np.full((2, 2, 3), np.nan)) == 1).all()


def test_true_colour_rises_without_a_step() -> None:
    """Also through its shoulder, so that bright cloud keeps its shape."""
    ramp = np.linspace(0.0, 0.9, 901)
    picture = true_colour(np.repeat(ramp[np.newaxis, :, np.newaxis], 3, axis=2), (0.0, 0.35))
    rise = np.diff(picture[0, :, 0])
    assert (rise > 0).all()
    assert rise[50:].max() < 0.01
    bend = np.diff(rise)[300:]
    assert np.abs(bend).max() < 1e-4


# --- layers ---------------------------------------------------------------------------


def test_percentages_and_agreement() -> None:
    scene = made_up()
    found = compare(scene, confidence=True, agreement="contaminated")
    assert [each.key for each in found.frames[0].layers] == [
        "scl", "ucl", "confidence", "agreement-scl",
    ]  # fmt: skip
    given = compare(scene.drop_vars("ucl_confidence"), confidence=scene.ucl_confidence)
    np.testing.assert_array_equal(
        layer(given, "confidence").codes, layer(found, "confidence").codes
    )
    for key, codes in {"scl": scl_to_ucl(scene.scl.values), "ucl": scene.ucl.values}.items():
        shares = class_percent(codes)
        for c, share in shares.items():
            assert layer(found, key).percent[int(c)] == pytest.approx(share)
    assert found.frames[0].agreement == agreement(scene.ucl.values, scene.scl.values)
    four = layer(found, "agreement-scl")
    ucl, scl = scene.ucl.values, scl_to_ucl(scene.scl.values)
    valid = (ucl > 0) & (scl > 0)
    mine, theirs = np.isin(ucl, (2, 3, 6)), np.isin(scl, (2, 3, 6))
    expected = {1: ~mine & ~theirs, 2: mine & theirs, 3: mine & ~theirs, 4: ~mine & theirs}
    for value, where in expected.items():
        assert four.percent[value] == pytest.approx(100 * where[valid].mean())
        np.testing.assert_array_equal(four.codes == value, where & valid)
    assert sum(four.percent.values()) == pytest.approx(100)
    sure = layer(found, "confidence")
    assert sure.percent[1] == pytest.approx(100 * (scene.ucl_confidence.values < 60).mean())


@pytest.mark.parametrize(("question", "members"), [("cloud", (2, 6)), ("shadow", (3,))])
def test_agreement_on_one_class(question: str, members: tuple[int, ...]) -> None:
    scene = made_up().drop_vars("scl")
    label = xr.where(scene.red > 0.1, np.uint8(3), np.uint8(2))
    found = compare(scene, label=label, agreement=question)
    assert [each.key for each in found.frames[0].layers] == ["ucl", "label", "agreement-label"]
    assert not found.frames[0].agreement
    mine, theirs = np.isin(scene.ucl, members), np.isin(label, members)
    both = layer(found, "agreement-label").codes == 2
    np.testing.assert_array_equal(both, mine & theirs & (scene.ucl.values > 0))


def test_names_of_bands_and_of_layers() -> None:
    scene = made_up()
    plain = compare(scene)
    renamed = scene.rename(red="B04", green="nbart_green", blue="B02", scl="SCL", ucl="mine")
    with pytest.raises(SceneError, match=r"no 'ucl'.*odc_cleansat.load"):
        compare(renamed)
    with pytest.raises(SceneError, match="no 'mask2'"):
        compare(renamed, ucl="mask2")
    found = compare(renamed, ucl="mine", names={"ucl": "Mine"})
    np.testing.assert_array_equal(found.frames[0].rgb, plain.frames[0].rgb)
    assert [each.name for each in found.frames[0].layers] == [
        "SCL (Sen2Cor), cloud classes only", "Mine",
    ]  # fmt: skip
    with pytest.raises(SceneError, match="lacks red"):
        compare(scene.drop_vars("red"))
    with pytest.raises(SceneError, match="no 'ucl_confidence'"):
        compare(scene.drop_vars("ucl_confidence"), confidence=True)


def test_what_classify_gives(simulated: xr.Dataset) -> None:
    mask = odc_cleansat.classify(simulated, offset=-1000, confidence=True)
    found = compare(simulated, ucl=mask, confidence=True)
    np.testing.assert_array_equal(layer(found, "ucl").codes, mask.ucl.values)
    assert found.frames[0].date == "2024-06-15 10:10 UTC"
    assert np.nanmin(found.frames[0].rgb) < 0.06  # the offset is an attribute of the scene


def test_offsets(simulated: xr.Dataset) -> None:
    bands = simulated[["B02", "B03", "B04"]].drop_attrs(deep=False)
    how = {"ucl": xr.ones_like(simulated.SCL).drop_attrs()}
    with pytest.warns(ReflectanceWarning, match="offset=-1000"):
        plain = compare(bands, **how)
    moved = compare(bands, offset=-1000, **how)
    np.testing.assert_allclose(plain.frames[0].rgb - moved.frames[0].rgb, 0.1, atol=1e-6)
    for other in (
        bands.assign_coords(offset=-1000.0),
        bands.assign({name: b.assign_attrs(add_offset=-0.1) for name, b in bands.items()}),
        (bands.astype("float32") - 1000) / 10000,
    ):
        again = compare(other, **how)
        np.testing.assert_allclose(again.frames[0].rgb, moved.frames[0].rgb, atol=1e-6)
    with pytest.raises(SceneError, match="scale=1/10000"):
        compare(bands.astype("float32"), **how)


def test_nodata_is_never_clear() -> None:
    scene = made_up()
    scene.red[:20] = np.nan
    scene.ucl[:, :30] = 0
    found = compare(scene, agreement="cloud")
    assert np.isnan(found.frames[0].rgb[:20]).all()
    for key in ("ucl", "agreement-scl"):
        assert layer(found, key).gaps
        assert (layer(found, key).codes[:, :30] == 0).all()
    empty = compare(made_up(ucl=np.zeros(GRID.shape, "uint8")), agreement="cloud")
    assert np.isnan(list(layer(empty, "ucl").percent.values())).all()
    drawn(empty)


def test_agreement_needs_a_partner() -> None:
    scene = made_up()
    scene = scene.drop_vars([name for name in scene.data_vars if str(name).lower() == "scl"])
    with pytest.raises(SceneError, match="neither an SCL nor a label"):
        compare(scene, agreement="cloud")


def test_unknown_codes_are_refused() -> None:
    scene = made_up()
    label = xr.full_like(scene.ucl, 255)
    with pytest.raises(SceneError, match="label holds 255"):
        compare(scene, label=label)
    found = compare(scene, label=label.assign_attrs(nodata=255))
    assert (layer(found, "label").codes == 0).all()
    masked = scene.ucl.where(scene.red > 0.1)  # floating-point, NaN for nodata
    assert (layer(compare(scene, ucl=masked), "ucl").codes[scene.red.values <= 0.1] == 0).all()


# --- grids and times ------------------------------------------------------------------


def test_layers_on_other_grids() -> None:
    scene = made_up()
    coarse = GRID.zoom_out(2)
    ucl = wrap_xr(np.tile(np.array([[1, 2], [3, 1]], "uint8"), (25, 30)), coarse)
    found = layer(compare(scene, ucl=ucl), "ucl")
    np.testing.assert_array_equal(found.codes, ucl.values.repeat(2, 0).repeat(2, 1))
    geographic = ucl.odc.reproject(GRID.to_crs("EPSG:4326"))
    moved = layer(compare(scene, ucl=geographic), "ucl").codes
    assert np.mean(moved == found.codes) > 0.7
    part = layer(compare(scene, ucl=scene.ucl[10:, 20:]), "ucl")
    assert (part.codes[:10] == 0).all()
    np.testing.assert_array_equal(part.codes[10:, 20:], scene.ucl.values[10:, 20:])
    rounded = scene.ucl.assign_coords(x=scene.x + 1e-7)
    np.testing.assert_array_equal(layer(compare(scene, ucl=rounded), "ucl").codes, scene.ucl.values)
    bare = xr.DataArray(scene.ucl.values, dims=("y", "x"))
    np.testing.assert_array_equal(layer(compare(scene, ucl=bare), "ucl").codes, scene.ucl.values)


def test_grids_that_do_not_fit() -> None:
    scene = made_up()
    far = wrap_xr(scene.ucl.values, GRID.translate_pix(1000, 0))
    with pytest.raises(SceneError, match="ucl lies elsewhere"):
        compare(scene, ucl=far)
    with pytest.raises(SceneError, match="no coordinate system, the scene"):
        compare(scene, ucl=xr.DataArray(scene.ucl.values[1:], dims=("y", "x")))
    with pytest.raises(SceneError, match="scene has no coordinate system"):
        compare(xr.Dataset({name: (("y", "x"), a.values) for name, a in scene.items()}))
    with pytest.raises(SceneError, match="band"):
        compare(scene.expand_dims(band=2))
    with pytest.raises(SceneError, match="style='x'"):
        compare(scene, style="x")
    with pytest.raises(SceneError, match="contaminated"):
        compare(scene, agreement="x")


def test_times() -> None:
    scene = two_dates()
    found = compare(scene)
    days = compare(scene.assign_coords(time=scene.time.dt.floor("D")))
    assert [frame.date for frame in days.frames] == ["2024-06-05", "2024-06-15"]
    assert [frame.date for frame in found.frames] == [
        "2024-06-05 10:10 UTC",
        "2024-06-15 10:10 UTC",
    ]
    assert (layer(found, "ucl", 1).codes == CloudClass.CLOUD).all()
    swapped = compare(scene, ucl=scene.ucl.isel(time=[1, 0]))
    assert (layer(swapped, "ucl", 1).codes == CloudClass.CLOUD).all()
    with pytest.raises(SceneError, match="other times"):
        compare(scene, ucl=scene.ucl.assign_coords(time=DAYS + np.timedelta64(1, "h")))
    with pytest.raises(SceneError, match="ucl has no time"):
        compare(scene, ucl=scene.ucl[0].drop_vars("time"))
    first = scene.isel(time=0)
    for one in (first, scene.isel(time=[0])):
        compare(one, ucl=first.ucl)
        compare(one, ucl=first.ucl.drop_vars("time"))
        with pytest.raises(SceneError, match="other times"):
            compare(one, ucl=scene.ucl.isel(time=1))
    twice = scene.assign_coords(time=DAYS[[0, 0]])  # two tiles of one pass, not grouped
    assert len(compare(twice, ucl=twice.ucl).frames) == 2
    with pytest.raises(SceneError, match="a time twice"):
        compare(scene, ucl=twice.ucl)
    label = xr.full_like(scene.ucl[0].drop_vars("time"), 3)
    assert (layer(compare(scene, label=label), "label", 1).codes == 3).all()


def test_rows_from_south_to_north_are_drawn_north_up() -> None:
    scene = made_up()
    up = compare(scene, agreement="cloud")
    down = compare(scene.isel(y=slice(None, None, -1)), agreement="cloud")
    assert up.grid == down.grid
    alike(up, down)


def test_lazy_scenes() -> None:
    scene = two_dates()
    lazy = compare(scene.chunk({"time": 1, "y": 40}), confidence=True)
    alike(lazy, compare(scene, confidence=True))


def test_large_scenes_are_thinned(monkeypatch: pytest.MonkeyPatch) -> None:
    """The picture only: percentages are those of all pixels."""
    whole = compare(made_up(), agreement="cloud")
    monkeypatch.setattr("odc_cleansat.review.comparison.DRAWN", 1000)
    thinned = compare(made_up(), agreement="cloud")
    assert np.prod(thinned.grid.shape) <= 1000
    assert thinned.frames[0].rgb.shape[:2] == tuple(thinned.grid.shape)
    box, other = thinned.grid.boundingbox, whole.grid.boundingbox
    np.testing.assert_allclose(box.bbox, other.bbox, atol=thinned.grid.resolution.x)
    for one, two in zip(thinned.frames[0].layers, whole.frames[0].layers, strict=True):
        assert one.codes.shape == tuple(thinned.grid.shape)
        assert one.percent == two.percent
    assert drawn(thinned).shape[:2] == pytest.approx(drawn(whole).shape[:2], rel=0.02)


# --- pictures -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("crs", "suffix", "style"),
    [
        ("EPSG:32633", "png", "panels"),
        ("EPSG:4326", "pdf", "panels"),
        ("EPSG:3857", "png", "panels"),
        ("EPSG:4326", "png", "outlines"),
        ("EPSG:32633", "pdf", "outlines"),
    ],
)
def test_the_figure_is_drawn(tmp_path: Path, crs: str, suffix: str, style: str) -> None:
    grid = GeoBox.from_bbox(
        GRID.extent.to_crs(crs).boundingbox if crs != "EPSG:32633" else GRID.boundingbox,
        crs, shape=GRID.shape,
    )  # fmt: skip
    found = compare(made_up(grid), style=style, title="A scene")
    path = found.save(tmp_path / "new" / f"compare.{suffix}")
    assert path.stat().st_size > 10_000
    assert path.read_bytes()[:4] == {"png": b"\x89PNG", "pdf": b"%PDF"}[suffix]
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_each_class_is_painted_in_its_colour() -> None:
    shadow = np.full(GRID.shape, CloudClass.SHADOW, "uint8")
    picture = drawn(compare(made_up(ucl=shadow)))
    height, width, _ = picture.shape
    middle_of_ucl = picture[height // 2, int(width * 0.83)]
    np.testing.assert_allclose(middle_of_ucl, to_rgb(CloudClass.SHADOW.colour), atol=0.01)


def test_the_figure_has_a_panel_for_each_layer() -> None:
    scene = made_up()
    assert len(compare(scene).figure().axes) == 3
    assert len(compare(scene.drop_vars("scl")).figure().axes) == 2
    everything = compare(scene, label=scene.ucl, confidence=True, agreement="cloud").figure()
    assert len(everything.axes) == 7
    figure = compare(two_dates(), agreement="cloud").figure()
    assert len(figure.axes) == 8
    texts = [ax.get_legend().get_title().get_text() for ax in figure.axes]
    assert texts[0] == "True colour, 2024-06-05 10:10 UTC"
    assert texts[4] == "True colour, 2024-06-15 10:10 UTC"
    assert texts[5] == "SCL (Sen2Cor), cloud classes only"
    entries = [text.get_text() for text in figure.axes[6].get_legend().get_texts()]
    assert "cloud: 100.0 %" in entries


def test_outlines_leave_the_ground_visible() -> None:
    ucl = np.ones(GRID.shape, "uint8")
    ucl[30:60, 30:60] = CloudClass.CLOUD
    scene = made_up(ucl=ucl).drop_vars("scl")
    filled, lines = (drawn(compare(scene, style=style)) for style in ("panels", "outlines"))
    colour = to_rgb(CloudClass.CLOUD.colour)
    count = [np.isclose(each, colour, atol=0.02).all(axis=-1).sum() for each in (filled, lines)]
    assert 0 < count[1] < 0.2 * count[0]


def test_too_many_dates_and_other_suffixes(tmp_path: Path) -> None:
    scene = xr.concat([made_up()] * 25, "time")
    found = compare(scene)
    with pytest.raises(OutputError, match="25 dates"):
        found.save(tmp_path / "compare.png")
    with pytest.raises(OutputError, match=r"\*\.html"):
        found.save(tmp_path / "compare.jpg")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot write"):
        compare(made_up()).save(tmp_path / "file" / "compare.png")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


# --- files ----------------------------------------------------------------------------


def test_a_mask_product_finds_its_scene(cube: Cube) -> None:
    path = cube.masks["june"].local_path
    data = mask_dataset(path)
    for place in (path.parent, str(path), path.as_uri()):
        assert mask_dataset(place).identical(data)
    assert set(data) == {"red", "green", "blue", "scl", "ucl", "ucl_confidence"}
    with rasterio.open(cube.folder / "june" / "B04.tif") as file:
        np.testing.assert_array_equal(data.red.values, file.read(1))
        assert data.odc.geobox == GeoBox.from_rio(file)
    for name, file_name in {
        "scl": cube.folder / "june" / "SCL.tif",
        "ucl": path.parent.glob("*_ucl.tif"),
    }.items():
        file_path = file_name if isinstance(file_name, Path) else next(file_name)
        with rasterio.open(file_path) as file:
            np.testing.assert_array_equal(data[name].values, file.read(1).repeat(2, 0).repeat(2, 1))
    assert (float(data.offset), str(data.time.values)[:16]) == (-1000, "2024-06-15T10:10")
    assert data.attrs["simulated"]
    found = compare(data)
    said = cube.masks["june"].metadata_doc["properties"]
    for c in (CloudClass.CLOUD, CloudClass.SHADOW):
        assert layer(found, "ucl").percent[int(c)] == pytest.approx(said[f"cleansat:{c.label}_percent"], abs=0.006)  # fmt: skip


def test_a_part_and_a_coarser_grid(cube: Cube, monkeypatch: pytest.MonkeyPatch) -> None:
    path = cube.masks["june"].local_path
    whole = mask_dataset(path)
    part = mask_dataset(path, bbox=(13.67, 47.80, 13.69, 47.82))
    roi = whole.odc.geobox.overlap_roi(part.odc.geobox)
    inside = whole.isel(y=roi[0], x=roi[1])
    assert part.ucl.shape == inside.ucl.shape != whole.ucl.shape
    np.testing.assert_array_equal(part.ucl.values, inside.ucl.values)
    np.testing.assert_array_equal(part.red.values, inside.red.values)
    corners = part.odc.geobox.geographic_extent.boundingbox
    np.testing.assert_allclose(corners.bbox, (13.67, 47.80, 13.69, 47.82), atol=0.002)
    with pytest.raises(SceneError, match="lies outside the scene"):
        mask_dataset(path, bbox=(10, 50, 11, 51))
    monkeypatch.setattr("odc_cleansat.review.datasets.DRAWN", 1000)
    with rasterio.open(cube.folder / "june" / "SCL.tif") as file:
        assert mask_dataset(path).odc.geobox == GeoBox.from_rio(file)
    monkeypatch.setattr("odc_cleansat.review.datasets.LARGEST", 10_000)
    small = mask_dataset(path)
    assert np.prod(small.ucl.shape) <= 12_000
    assert small.odc.geobox.extent.contains(whole.odc.geobox.extent.buffer(-200))


def test_a_scene_is_masked_or_given_a_mask(cube: Cube, tmp_path: Path) -> None:
    made = scene_dataset(str(cube.folder / "june"))
    stored = mask_dataset(cube.masks["june"].local_path)
    assert np.mean(made.ucl.values == stored.ucl.values) > 0.9999
    np.testing.assert_array_equal(made.red.values, stored.red.values)
    np.testing.assert_array_equal(made.scl.values, stored.scl.values)
    assert float(made.offset) == -1000
    (path,) = cube.masks["june"].local_path.parent.glob("*_ucl.tif")
    given = scene_dataset(str(cube.folder / "june"), ucl=str(path))
    np.testing.assert_array_equal(given.ucl.values, stored.ucl.values)
    far = tmp_path / "far_ucl.tif"
    with rasterio.open(path) as file:
        profile = file.profile | {"transform": Affine.translation(2e5, 0) * file.transform}
        with rasterio.open(far, "w", **profile) as moved:
            moved.write(file.read())
    with pytest.raises(SceneError, match="lies elsewhere"):
        scene_dataset(str(cube.folder / "june"), ucl=str(far))
    with pytest.raises(CleansatError, match="there is no"):
        scene_dataset(str(cube.folder / "nowhere"))


@pytest.mark.parametrize("nodata", [65535, 0])
def test_what_files_have_for_nodata_is_not_drawn(cube: Cube, tmp_path: Path, nodata: int) -> None:
    """65535 is no cloud."""
    for band in ("B02", "B03", "B04", "B08", "B11", "B12"):
        with rasterio.open(cube.folder / f"june/{band}.tif") as file:
            values, profile = file.read(1), file.profile
        values[:, : values.shape[1] // 2] = nodata
        profile.update(nodata=nodata)
        with rasterio.open(tmp_path / f"{band}.tif", "w", **profile) as file:
            file.write(values, 1)
    scene = scene_dataset(str(tmp_path), moment=datetime(2024, 6, 15), offset=-1000)
    found = compare(scene)
    half = found.frames[0].rgb.shape[1] // 2
    assert np.isnan(found.frames[0].rgb[:, :half]).all()
    assert np.isfinite(found.frames[0].rgb[:, half:]).all()
    assert (layer(found, "ucl").codes[:, :half] == 0).all()


def test_an_scl_of_another_place_is_refused(cube: Cube, tmp_path: Path) -> None:
    with rasterio.open(cube.folder / "june/SCL.tif") as file:
        values, profile = file.read(1), file.profile
    profile["transform"] = profile["transform"] * Affine.translation(0, 100_000)
    with rasterio.open(tmp_path / "SCL.tif", "w", **profile) as file:
        file.write(values, 1)
    with pytest.raises(SceneError, match="lies elsewhere"):
        scene_dataset(str(cube.folder / "june"), scl=str(tmp_path / "SCL.tif"))


def test_what_is_no_scl_is_refused(cube: Cube, tmp_path: Path) -> None:
    with rasterio.open(cube.folder / "june/SCL.tif") as file:
        values, profile = file.read(1), file.profile
    with rasterio.open(tmp_path / "label.tif", "w", **profile) as file:
        file.write((values == 3).astype("uint8"), 1)
    with pytest.raises(SceneError, match="has no class of an SCL"):
        scene_dataset(str(cube.folder / "june"), scl=str(tmp_path / "label.tif"))


def test_a_mask_of_another_day_is_refused(cube: Cube) -> None:
    (june,), (july,) = (cube.folder.glob(f"products/**/{month}/**/*_ucl.tif") for month in ("06", "07"))  # fmt: skip
    scene_dataset(str(cube.folder / "june"), ucl=str(june))
    with pytest.raises(SceneError, match="it is of 2024-07-05, and this is of 2024-06-15"):
        scene_dataset(str(cube.folder / "june"), ucl=str(july))


def test_darkest_shadow_is_dark(tmp_path: Path) -> None:
    """A band that was cut off at 0 has no data there; drawn white it would look like cloud."""
    dark = np.full(GRID.shape, 300, dtype="uint16")
    cut = dark.copy()
    cut[:5] = 0
    dark[4] = 3000
    gone = np.where(np.arange(GRID.shape[0])[:, np.newaxis] < 2, np.uint16(0), dark)
    scene = made_up(red=dark * (gone > 0), green=dark * (gone > 0), blue=cut)
    for band in ("red", "green", "blue"):
        scene[band].attrs["nodata"] = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rgb = compare(scene).frames[0].rgb
    assert np.isnan(rgb[[0, 1, 4]]).all()
    np.testing.assert_allclose(rgb[2:4], np.broadcast_to([0.03, 0.03, 0], rgb[2:4].shape))


def test_other_places_are_no_masks(cube: Cube, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no mask product"):
        mask_dataset(cube.folder / "june")
    (document, *_) = sorted((cube.folder / "scenes").glob("*.odc-metadata.yaml"))
    (tmp_path / document.name).write_text(document.read_text())
    (tmp_path / document.name.replace(".odc-metadata.yaml", ".proc-info.yaml")).write_text("{}")
    with pytest.raises(OutputError, match="no measurement ucl"):
        mask_dataset(tmp_path)


# --- the command ----------------------------------------------------------------------


@pytest.fixture
def run(run: Run) -> Run:
    return partial(run, "compare")


def test_compare_a_mask(run: Run, cube: Cube, tmp_path: Path) -> None:
    mask = cube.masks["june"].local_path.parent
    outputs = [tmp_path / f"june.{kind}" for kind in ("png", "pdf", "html")]
    asked = [part for path in outputs for part in ("-o", path)]
    said = good(run(mask, "--confidence", "--agreement", *asked))
    assert all(path.stat().st_size > 50_000 for path in outputs)
    assert "2024-06-15 10:10 UTC" in said
    assert "UCL and SCL agree" in said
    assert "SCL (simulated), cloud classes only" in said
    result = run(mask, "--bbox", "13.66,47.80,13.69,47.82", "-o", outputs[0], "--json")
    (line,) = good(result).splitlines()
    numbers = json.loads(line)
    assert numbers["time"] == "2024-06-15T10:10:31Z"
    assert numbers["files"] == [str(outputs[0])]
    assert sum(numbers["percent"]["ucl"].values()) == pytest.approx(100, abs=0.01)
    assert numbers["agreement"]["overall"] <= 100
    assert "Drawing" in result.stderr


def test_compare_a_scene(run: Run, cube: Cube, tmp_path: Path) -> None:
    scene = cube.folder / "west"
    label = scene / "truth.tif"
    arguments = ["--label", label, "--agreement", "shadow", "--style", "outlines", "-o", tmp_path / "west.png"]  # fmt: skip
    said = good(run(scene, "--bbox", "13.66,47.80,13.70,47.83", *arguments))
    assert "UCL and label: shadow" in said
    assert "Masking" in said
    (ucl,) = cube.masks["june"].local_path.parent.glob("*_ucl.tif")
    said = good(run(cube.folder / "june", "--ucl", ucl, "-o", tmp_path / "june.png"))
    assert "Masking" not in said


def test_compare_in_a_datacube(run: Run, cube: Cube, tmp_path: Path) -> None:
    config = ["-C", cube.folder / "datacube.conf"]
    area = ["--crs", "EPSG:32633", "--resolution", 60, "--bbox", "13.66,47.8,13.72,47.84"]
    path = tmp_path / "cube.html"
    result = run("--product", "s2_l2a", "--time", "2024-06/2024-07", *area, "-o", path, "--json", *config)  # fmt: skip
    lines = [json.loads(line) for line in good(result).splitlines()]
    assert [line["time"][:10] for line in lines] == ["2024-06-15", "2024-07-05"]
    data = odc_cleansat.load(
        cube.dc, "s2_l2a", measurements=["scl", "ucl"], time=("2024-06", "2024-07"), group_by="solar_day",
        x=(13.66, 13.72), y=(47.8, 47.84), output_crs="EPSG:32633", resolution=60,
    )  # fmt: skip
    for i, line in enumerate(lines):
        expected = agreement(data.ucl.values[i], data.scl.values[i])
        assert line["agreement"] == pytest.approx(expected, abs=1e-3)
    assert path.stat().st_size > 10_000
    assert "no product 'x'" in failure(run("--product", "x", *area, "-o", path, *config))
    assert "no measurement" not in failure(
        run("--product", "s2_l2a_ucl", *area, "-o", path, *config)
    )


def test_wrong_usage(run: Run, cube: Cube, tmp_path: Path) -> None:
    out = ["-o", tmp_path / "x.png"]
    assert "give SOURCE, or --product" in failure(run(*out), 2)
    assert "give SOURCE, or --product" in failure(run("a", "--product", "b", *out), 2)
    assert "--time is for --product" in failure(run("a", "--time", "2024", *out), 2)
    assert "--ucl is for SOURCE" in failure(run("--product", "a", "--ucl", "b", *out), 2)
    assert "--out" in failure(run("a"), 2)
    assert "*.html" in failure(run("a", "-o", "x.tif"))
    assert "there is no" in failure(run(tmp_path / "x.json", *out))
    mask = cube.masks["june"].local_path.parent
    assert "is a mask" in failure(run(mask, "--offset", "0", *out), 2)
    label = ["--label", cube.folder / "june" / "truth.tif", "--label-mapping", "shadow-label"]
    assert "cannot answer --agreement cloud" in failure(run(mask, *label, "--agreement", "cloud", *out), 2)  # fmt: skip
    scl = ["--label", cube.folder / "june" / "SCL.tif"]
    assert "no codes of a UCL" in failure(run(mask, *scl, *out))
    assert not list(tmp_path.iterdir())
    with rasterio.open(cube.folder / "june/SCL.tif") as file:
        values, profile = file.read(1), file.profile
    with rasterio.open(tmp_path / "shadow.tif", "w", **profile) as file:
        file.write((values == 3).astype("uint8"), 1)
    label = (cube.folder / "june", "--label", tmp_path / "shadow.tif", "-o", tmp_path / "x.png")
    assert "--label-mapping shadow-label" in failure(run(*label), 2)
    good(run(*label, "--label-mapping", "0=clear,1=shadow"))


# --- real scenes ----------------------------------------------------------------------


def test_calgary_with_its_label(shared: Path, run: Run, tmp_path: Path) -> None:
    folder = shared / "calgary" / "2020-06-15"
    path = tmp_path / "calgary.png"
    label = ["--label", folder / "shadow_label.tif", "--label-mapping", "shadow-label"]
    result = run(folder, *label, "--agreement", "shadow", "-o", path, "--json")
    (numbers,) = map(json.loads, good(result).splitlines())
    with rasterio.open(folder / "shadow_label.tif") as file:
        share = 100 * np.mean(file.read(1) == 1)
    assert numbers["percent"]["label"]["cloud shadow"] == pytest.approx(share, abs=0.01)
    found = numbers["percent"]["agreement-label"]
    assert found["both"] / (found["both"] + found["only label"]) > 0.8
    assert imread(path).shape[1] > 1500


def test_manila_in_digital_numbers(shared: Path) -> None:
    scene = read_folder(shared / "manila" / "2024-a", "B02 B03 B04 B08 B11 B12 SCL")
    mask = odc_cleansat.classify(scene)
    found = compare(scene, ucl=mask)
    picture = true_colour(found.frames[0].rgb)
    cloud = layer(found, "ucl").codes == CloudClass.CLOUD
    core = picture[cloud & (found.frames[0].rgb.min(axis=-1) > 0.4)]
    assert core.min() > 0.8
    assert np.std(core) > 0.02  # it keeps its shape
    assert drawn(found).std() > 0.1
