"""Comparisons of masks by eye: what they show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from conftest import read_folder

import odc_cleansat
from odc_cleansat import CloudClass
from odc_cleansat.classes import class_percent, scl_to_ucl
from odc_cleansat.errors import OutputError, ReflectanceWarning, SceneError
from odc_cleansat.evaluate.scores import agreement
from odc_cleansat.review.comparison import compare
from odc_cleansat.review.figure import true_colour
from unit.review.helpers import GRID, alike, drawn, layer, made_up, two_dates


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


def test_a_mapping_of_arrays_of_which_the_scl_is_coarser() -> None:
    scene = made_up()
    coarse = GRID.zoom_out(2)
    arrays = {**scene.data_vars, "scl": scene.scl.odc.reproject(coarse, resampling="nearest")}
    found = compare(arrays, agreement="cloud")
    plain = compare(scene.assign(scl=arrays["scl"].odc.reproject(GRID, resampling="nearest")))
    np.testing.assert_array_equal(found.frames[0].rgb, plain.frames[0].rgb)
    for key in ("scl", "ucl"):
        np.testing.assert_array_equal(layer(found, key).codes, layer(plain, key).codes)
    with pytest.raises(SceneError, match="red, green, blue are not on one grid"):
        compare({**arrays, "red": scene.red[:50]})
    with pytest.raises(SceneError, match="lacks blue"):
        compare({"red": scene.red, "green": scene.green, "ucl": scene.ucl})
    with pytest.raises(SceneError, match="not int"):
        compare(5)  # type: ignore[arg-type]


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
