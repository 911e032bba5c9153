"""`composite` against the simulated ground without clouds: counts, grids, dask, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cloudpickle
import dask
import numpy as np
import pytest
import xarray as xr
from affine import Affine
from odc.algo import enum_to_bool
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr

from odc_cleansat import CloudClass
from odc_cleansat.classes import ucl_attrs
from odc_cleansat.errors import CleansatError, SceneError
from odc_cleansat.masks.composite import CLEAR, MARGIN, METHODS, composite

from .series import BANDS, DATES, by_hand, error, little


# Measured, in digital numbers: without a mask 247; with the true mask median 4.3, geomedian 4.3 and
# best 0.6; with the masks of `classify` 1.6, 1.7 and 1.4. The truth leaves out thinner veils.
@pytest.mark.parametrize("method", METHODS)
def test_shows_the_ground(series: xr.Dataset, ground: xr.Dataset, method: str) -> None:
    unmasked = error(series[BANDS].median("time"), ground)
    assert unmasked > 100
    found = composite(series, method=method)
    assert error(found, ground) < 7
    in_swath = ground.B02.values != 0
    assert np.mean(found.B02.values[in_swath] != 0) > 0.99


def test_a_margin_helps(series: xr.Dataset, ground: xr.Dataset) -> None:
    with_margin, without = (error(composite(series, dilation=m), ground) for m in (MARGIN, None))
    assert with_margin < 0.6 * without


@pytest.mark.parametrize(
    ("dilation", "radius"), [(None, 0), (MARGIN, 3), ({"cloud": 100, "shadow": 100}, 5)]
)
def test_counts(series: xr.Dataset, dilation: dict[str, float] | None, radius: float) -> None:
    scene = series.copy(deep=True)
    scene["B11"].values[1, 60:80, 20:40] = 0
    for band in (*BANDS, "B03", "B12"):
        scene[band].values[1, 20:40, 20:40] = 0
    found = composite(scene, dilation=dilation)
    used, observed = by_hand(scene, radius)
    assert used.sum() < observed.sum() < observed.size
    for name, mask in (("clear_count", used), ("observation_count", observed)):
        assert found[name].dtype == np.uint16
        np.testing.assert_array_equal(found[name], mask.sum(axis=0))
    assert found.clear_share.dtype == np.float32
    with np.errstate(invalid="ignore"):
        share = used.sum(axis=0) / observed.sum(axis=0)
    np.testing.assert_allclose(found.clear_share, share, rtol=1e-6)
    assert np.isnan(found.clear_share.values).any()


def test_never_clear_is_nodata() -> None:
    scene = little([[2, 0, 1], [3, 0, 2], [6, 1, 1]], [[10, 20, 30], [11, 21, 31], [12, 22, 32]])
    for method in METHODS:
        found = composite(scene, method=method, dilation=None)
        assert found.red.values.tolist() == [[0, 22, 32 if method == "best" else 31]]
        assert found.clear_count.values.tolist() == [[0, 1, 2]]
        assert found.observation_count.values.tolist() == [[3, 1, 3]]
        np.testing.assert_allclose(found.clear_share, [[0, 1, 2 / 3]], rtol=1e-6)
        assert found.red.attrs["nodata"] == 0
    assert np.isnat(found.best_time.values).tolist() == [[True, False, False]]


@pytest.mark.parametrize(("gap", "lazy"), [(0, False), (0, True), (np.nan, False), (np.inf, False)])
def test_no_data_is_not_an_observation(gap: float, lazy: bool) -> None:
    """Nor is it clear where the mask says so but a band has none."""
    scene = little([[0, 1], [0, 1]], [[10, gap], [11, gap]], "float32" if gap else "uint16")
    for method in METHODS:
        found = composite(scene.chunk() if lazy else scene, method=method).compute()
        for name in ("red", "clear_count", "observation_count"):
            assert not np.nan_to_num(found[name]).any()
        assert np.isnan(found.clear_share.values).all()


@pytest.mark.parametrize("nodata", [0, 65535])
def test_any_value_of_the_type_may_be_nodata(nodata: int) -> None:
    found = composite(little([[1, 1], [1, 1]], [[nodata, nodata], [7, nodata]], nodata=nodata))
    assert found.red.values.tolist() == [[7, nodata]]


def test_what_counts_as_clear() -> None:
    scene = little([[4, 5, 6, 0], [1, 1, 1, 1]], [[10, 10, 10, 10], [20, 20, 20, 20]])

    def counts(clear: object = CLEAR, dilation: object = None) -> list[int]:
        found = composite(scene, clear=clear, dilation=dilation)  # type: ignore[arg-type]
        return list(found.clear_count.values[0])

    assert counts() == [2, 2, 1, 1]
    assert counts("clear") == [1, 1, 1, 1]
    assert counts(["clear", "thin_cloud"]) == [1, 1, 2, 1]
    # Cloud that counts as clear hides nothing around it either.
    assert counts(["clear", "thin_cloud"], MARGIN) == [1, 1, 2, 1]
    assert counts(dilation={"cloud": 20}) == [2, 1, 1, 1]


def test_min_observations(series: xr.Dataset) -> None:
    found = {n: composite(series, min_observations=n) for n in (1, 3)}
    few = found[1].clear_count.values < 3
    assert 0 < few.mean() < 0.5
    for band in BANDS:
        expected = np.where(few, 0, found[1][band])
        np.testing.assert_array_equal(found[3][band], expected)
    xr.testing.assert_identical(found[1].clear_count, found[3].clear_count)


@pytest.mark.parametrize("method", METHODS)
def test_one_date(series: xr.Dataset, method: str) -> None:
    scene = series.isel(time=[2])
    found = composite(scene, method=method)
    used, _ = by_hand(scene, 3)
    for band in BANDS:
        np.testing.assert_array_equal(found[band], np.where(used[0], scene[band].values[0], 0))
    assert set(np.unique(found.clear_count)) == {0, 1}


@pytest.mark.parametrize("method", METHODS)
def test_the_order_of_dates_does_not_matter(series: xr.Dataset, method: str) -> None:
    xr.testing.assert_identical(
        composite(series, method=method),
        composite(series.isel(time=[3, 0, 5, 1, 4, 2]), method=method),
    )


@pytest.mark.parametrize("method", METHODS)
def test_reflectance(series: xr.Dataset, method: str) -> None:
    scene = series[[*BANDS, "ucl"]].copy()
    for band in BANDS:
        scene[band] = ((scene[band].astype("float32") - 1000) / 10000).where(scene[band] != 0)
    found, expected = composite(scene, method=method), composite(series[[*scene]], method=method)
    for band in BANDS:
        assert found[band].dtype == np.float32
        reflectance = ((expected[band].astype("float32") - 1000) / 10000).where(expected[band] != 0)
        difference = np.abs(found[band] - reflectance).values
        np.testing.assert_array_equal(np.isnan(difference), np.isnan(reflectance.values))
        # Where observations lie on one line, the geomedian is free between the middle two.
        share = 0.995 if method == "geomedian" else 1
        assert np.mean(difference[~np.isnan(difference)] < 6e-5) >= share
    xr.testing.assert_equal(found.clear_share, expected.clear_share)


def test_which_bands(series: xr.Dataset) -> None:
    counts = {"clear_count", "observation_count", "clear_share"}
    scene = series.rename(B04="nbart_red", B08="NIR").drop_vars(["B03", "B11", "B12"])
    scene["ndvi"] = (scene.NIR - 1.0 * scene.nbart_red) / (scene.NIR + 1.0 * scene.nbart_red)
    assert set(composite(scene)) == {"B02", "nbart_red", "NIR"} | counts
    assert set(composite(scene, bands=["ndvi", "B02"])) == {"ndvi", "B02"} | counts
    assert set(composite(scene, bands="ndvi", method="best")) == {"ndvi", "best_time"} | counts


@pytest.mark.parametrize("method", METHODS)
def test_what_comes_out(series: xr.Dataset, method: str) -> None:
    before = series.copy(deep=True)
    found = composite(series, method=method)
    xr.testing.assert_identical(series, before)
    assert found.odc.geobox == series.odc.geobox
    assert found.spatial_ref.attrs == series.spatial_ref.attrs
    assert set(found.coords) == {"y", "x", "spatial_ref"}
    for layer in found.data_vars.values():
        assert layer.dims == ("y", "x")
        assert layer.odc.geobox == series.odc.geobox
        assert layer.attrs["grid_mapping"] == "spatial_ref"
    for band in BANDS:
        assert series[band].attrs.items() <= found[band].attrs.items()
    assert found.attrs["time_coverage_start"].startswith("2024-06-11T10:10:31")
    assert found.attrs["time_coverage_end"].startswith("2024-08-21T10:10:31")
    if method == "best":
        assert found.best_time.dtype == series.time.dtype


@pytest.mark.parametrize(
    "grid",
    [
        GeoBox((6, 8), Affine(0.0003, 0, -114, 0, -0.0003, 51), "EPSG:4326"),
        GeoBox((6, 8), Affine(30.0, 0, -1e6, 0, -30, -3e6), "EPSG:3577"),
        GeoBox((6, 8), Affine(30.0, 0, 4e5, 0, 30, 5e6), "EPSG:32633"),
        GeoBox((6, 8), Affine(21.0, -21, 4e5, -21, -21, 5e6), "EPSG:32633"),
        GeoBox((1, 1), Affine(20.0, 0, 4e5, 0, -20, 5e6), "EPSG:32633"),
    ],
    ids=["degrees", "Albers", "flipped", "rotated", "one pixel"],
)
@pytest.mark.parametrize("method", METHODS)
def test_any_grid(grid: GeoBox, method: str) -> None:
    times = np.array(["2024-06-01", "2024-06-02"], dtype="datetime64[ns]")
    values = np.arange(2 * grid.shape[0] * grid.shape[1], dtype="uint16").reshape(2, *grid.shape)
    scene = xr.Dataset(
        {
            "red": wrap_xr(values + 1, grid, time=times, nodata=0),
            "ucl": wrap_xr(np.ones(values.shape, "uint8"), grid, time=times, **ucl_attrs()),
        }
    )
    found = composite(scene, method=method)
    assert found.odc.geobox == grid
    assert found.red.odc.geobox == grid
    assert found.red.dims == grid.dimensions
    expected = values[1] + 1 if method == "best" else np.rint((values[0] + values[1]) / 2 + 1)
    np.testing.assert_array_equal(found.red, expected)


def test_degrees_with_dims_y_and_x() -> None:
    """As stackstac and rioxarray name them."""
    grid = GeoBox((6, 8), Affine(0.0003, 0, -114, 0, -0.0003, 51), "EPSG:4326")
    times = np.array(["2024-06-01"], dtype="datetime64[ns]")
    scene = xr.Dataset(
        {
            "red": wrap_xr(np.full((1, 6, 8), 7, "uint16"), grid, time=times, nodata=0),
            "ucl": wrap_xr(np.ones((1, 6, 8), "uint8"), grid, time=times, **ucl_attrs()),
        }
    ).rename(latitude="y", longitude="x")
    found = composite(scene, method="best")
    assert found.red.dims == ("y", "x")
    assert found.odc.geobox == scene.odc.geobox


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("shape", [(1, 1), (5, 9), (70, 60)])
def test_a_date_without_cloud_loses_nothing(shape: tuple[int, int], lazy: bool) -> None:
    """In odc-algo, dilation of an empty mask in memory marks the corner, or fails."""
    grid = GeoBox(shape, Affine(20, 0, 4e5, 0, -20, 5e6), "EPSG:32633")
    times = np.array(["2024-06-01"], dtype="datetime64[ns]")
    scene = xr.Dataset(
        {
            "red": wrap_xr(np.full((1, *shape), 7, "uint16"), grid, time=times, nodata=0),
            "ucl": wrap_xr(np.ones((1, *shape), "uint8"), grid, time=times, **ucl_attrs()),
        }
    )
    found = composite(scene.chunk(y=30, x=20) if lazy else scene, method="best")
    assert (found.red.values == 7).all()
    assert (found.clear_count.values == 1).all()


def test_other_order_of_dims(series: xr.Dataset) -> None:
    xr.testing.assert_identical(composite(series.transpose("x", "time", "y")), composite(series))


@pytest.mark.parametrize("resolution", [10, 20])
def test_margin_is_in_metres(resolution: int) -> None:
    side = 400 // resolution
    grid = GeoBox(
        (side, side), Affine(float(resolution), 0, 4e5, 0, -resolution, 5e6), "EPSG:32633"
    )
    codes = np.ones((1, side, side), "uint8")
    middle = slice(side // 2 - 20 // resolution, side // 2 + 20 // resolution)
    codes[:, middle, middle] = CloudClass.SHADOW
    times = np.array(["2024-06-01"], dtype="datetime64[ns]")
    scene = xr.Dataset(
        {
            "red": wrap_xr(np.full(codes.shape, 7, "uint16"), grid, time=times, nodata=0),
            "ucl": wrap_xr(codes, grid, time=times, **ucl_attrs()),
        }
    )

    def width(**metres: float) -> float:
        row = composite(scene, dilation=metres).clear_count.values[side // 2]
        return float((row == 0).sum() * resolution)

    assert width(shadow=60) == 40 + 2 * 60
    assert width(cloud=60) == 40


@pytest.mark.parametrize("method", METHODS)
def test_a_chunk_needs_no_more_than_its_surroundings(series: xr.Dataset, method: str) -> None:
    seen: list[tuple[int, ...]] = []

    def note(block: np.ndarray) -> np.ndarray:
        seen.append(block.shape)
        return block

    scene = series[[*BANDS, "ucl"]].chunk(time=1, y=60, x=60)
    for band in BANDS:
        scene[band].data = scene[band].data.map_blocks(note, meta=np.empty(0, "uint16"))
    corner = composite(scene, method=method).isel(y=slice(0, 60), x=slice(0, 60))
    corner.compute(scheduler="synchronous")
    # Bands of the chunk itself and, as an observation has all bands, nothing of its neighbours.
    assert seen == [(1, 60, 60)] * len(seen)
    assert len(seen) == len(BANDS) * len(DATES)


def test_can_be_sent_to_workers(series: xr.Dataset) -> None:
    scene = series[[*BANDS, "ucl"]].isel(x=slice(0, 60), y=slice(0, 50)).chunk(time=1, x=30)
    for method in METHODS:
        lazy = composite(scene, method=method)
        xr.testing.assert_identical(cloudpickle.loads(cloudpickle.dumps(lazy)), lazy)


Change = Callable[[xr.Dataset], object]


def without_crs(scene: xr.Dataset) -> xr.Dataset:
    bare = scene.drop_vars("spatial_ref").drop_attrs()
    return bare.drop_encoding()


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda s: s.drop_vars("ucl"), {}, "no `ucl`"),
        (lambda s: s.isel(time=0), {}, "expand_dims"),
        (lambda s: s.isel(time=slice(0)), {}, "one date or more"),
        (lambda s: s.assign(ucl=s.ucl.isel(time=0)), {}, "one date or more"),
        (lambda s: s.assign(ucl=s.ucl.astype("float32")), {}, "float32, but class codes"),
        (lambda s: s[["ucl", "SCL"]], {}, "lacks Sentinel-2 bands; it has ucl, SCL"),
        (lambda s: s, {"bands": ["B02", "red"]}, "lacks red; it has B02"),
        (lambda s: s, {"bands": []}, "lacks Sentinel-2 bands"),
        (lambda s: s.B02, {}, "not of DataArray"),
        (lambda s: s.assign(B02=s.B02.isel(time=0)), {}, "B02 has the dims .* one grid"),
        (
            lambda s: s.assign(B02=s.B02.rename(y="y2", x="x2").isel(y2=slice(0, 9))),
            {},
            "B02 has the dims .* one grid",
        ),
        (
            lambda s: s.assign(ucl_confidence=s.ucl.isel(time=0)),
            {"method": "best"},
            "ucl_confidence has the dims",
        ),
        (lambda s: s.assign(B02=s.B02 > 0), {}, "B02 is bool"),
        (lambda s: s.assign(B02=s.B02.assign_attrs(nodata=-999)), {}, "cannot hold .* -999"),
        (without_crs, {}, "coordinate system"),
        (lambda s: s.isel(x=[0, 1, 3, 7, 20]), {}, "evenly spaced"),
        (
            lambda s: xr.concat(
                [s, s.assign_coords(x=s.x + 7)], "time", join="outer", fill_value=0
            ),
            {},
            "dates on different grids",
        ),
        (lambda s: s.drop_vars("time"), {"method": "best"}, "needs dates"),
        (
            lambda s: s.assign_coords(offset=("time", [0, 0, -1000, 0, 0, 0])),
            {},
            "different offsets .-1000, 0.",
        ),
        (
            lambda s: s.assign_coords(offset=("time", [np.nan] * 6)),
            {},
            "different offsets .nan.",
        ),
        (
            lambda s: s.assign_coords(offset=("time", np.array([None] * 5 + [-1000]))),
            {},
            "offset is not of numbers but object",
        ),
    ],
)
def test_scenes_it_refuses(
    series: xr.Dataset, change: Change, options: dict[str, object], message: str
) -> None:
    with pytest.raises(SceneError, match=message):
        composite(change(series), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "mean"}, "no method 'mean'; choose from median, geomedian, best"),
        ({"clear": ["clear", "haze"]}, "clear is clear, haze; name one or more of"),
        ({"clear": "nodata"}, "clear is nodata"),
        ({"clear": []}, "clear is empty"),
        ({"dilation": {"water": 60}}, "cannot dilate 'water'"),
        ({"dilation": {"cloud": -1}}, "metres, 0 or more"),
        ({"dilation": {"cloud": float("nan")}}, "metres, 0 or more"),
        ({"min_observations": 0}, "1 or more"),
        ({"target": "2024-06-15"}, "a median has no target date"),
        ({"method": "best", "target": "midsummer"}, "'midsummer' is not a date"),
        ({"method": "best", "target": 5}, "5 is not a date"),
        ({"method": "best", "target": np.datetime64("NaT", "ns")}, "is not a date"),
    ],
)
def test_options_it_refuses(series: xr.Dataset, options: dict[str, object], message: str) -> None:
    with pytest.raises(CleansatError, match=message):
        composite(series, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("code", [4, 8, 255])
@pytest.mark.parametrize("lazy", [False, True])
def test_codes_of_others_are_refused(series: xr.Dataset, code: int, lazy: bool) -> None:
    """Such as those of the SCL, of which 8 to 10 are cloud. Snow, 4, is a class of the UCL."""
    scene = series[["B02", "ucl"]].copy(deep=True)
    scene["ucl"].values[-1, 50, 60] = code
    scene = scene.chunk(time=1, y=60) if lazy else scene
    if code == 4:
        composite(scene, method="best").compute()
        return
    with pytest.raises(SceneError, match=f"`ucl` holds {code}, which are no codes of the UCL"):
        composite(scene, method="best").compute()


def test_offsets_do_not_matter_to_reflectance(series: xr.Dataset) -> None:
    scene = series[["B02", "ucl"]].assign(B02=series.B02.where(series.B02 != 0) / 10000)
    scene = scene.assign_coords(offset=("time", [0, 0, -1000, 0, 0, 0]))
    assert "offset" not in composite(scene).coords
    assert composite(series.assign_coords(offset=("time", [-1000] * 6))).offset == -1000


def concat(ucl: xr.DataArray, folder: Path) -> xr.DataArray:
    return xr.concat([ucl.isel(time=[i]) for i in range(3)], "time")


def isel(ucl: xr.DataArray, folder: Path) -> xr.DataArray:
    return ucl.isel(time=1, y=slice(5, 60), x=slice(None, None, 2))


def lazy(ucl: xr.DataArray, folder: Path) -> xr.DataArray:
    return ucl.chunk(time=1, y=50, x=50)


def zarr(ucl: xr.DataArray, folder: Path) -> xr.DataArray:
    pytest.importorskip("zarr", reason="zarr is not installed")
    ucl.to_dataset().to_zarr(folder / "ucl.zarr", consolidated=False)
    return xr.open_zarr(folder / "ucl.zarr", consolidated=False).ucl


def netcdf(ucl: xr.DataArray, folder: Path) -> xr.DataArray:
    """NetCDF holds no nested attributes, so it returns the flags as text."""
    ucl.to_dataset().to_netcdf(folder / "ucl.nc", engine="scipy")
    back = xr.load_dataset(folder / "ucl.nc", engine="scipy", decode_coords="all").ucl
    # The classic format, which needs no further library, has signed bytes only.
    return back.astype("uint8").assign_attrs(flags_definition=json.loads(back.flags_definition))


@pytest.mark.parametrize("path", [concat, isel, lazy, zarr, netcdf])
def test_masking_tools(
    series: xr.Dataset,
    path: Callable[[xr.DataArray, Path], xr.DataArray],
    tmp_path: Path,
) -> None:
    from datacube.utils.masking import describe_variable_flags, make_mask

    ucl = path(series.ucl, tmp_path)
    labels = describe_variable_flags(ucl).loc["ucl", "values"]
    assert labels == {str(int(c)): c.label for c in CloudClass}
    codes = np.asarray(ucl.values)
    for label, code in (("cloud", 2), ("shadow", 3), ("nodata", 0), ("clear", 1)):
        assert (codes == code).any()
        for mask in (enum_to_bool(ucl, [label]), make_mask(ucl, ucl=label)):
            assert mask.dtype == bool
            assert dask.is_dask_collection(mask.data) == dask.is_dask_collection(ucl.data)
            np.testing.assert_array_equal(mask.values, codes == code)
    np.testing.assert_array_equal(
        enum_to_bool(ucl, ["cloud", "shadow"]).values, (codes == 2) | (codes == 3)
    )
    assert enum_to_bool(ucl, ["cloud"]).odc.geobox == ucl.odc.geobox


@pytest.mark.parametrize("method", METHODS)
def test_a_composite_can_be_saved(series: xr.Dataset, method: str, tmp_path: Path) -> None:
    found = composite(series, method=method)
    # The classic format has no unsigned 16 bit integers.
    classic = found.map(lambda v: v.astype("int32") if v.dtype == np.uint16 else v)
    classic.to_netcdf(tmp_path / "composite.nc", engine="scipy")
    back = xr.load_dataset(tmp_path / "composite.nc", engine="scipy", decode_coords="all")
    assert back.odc.geobox == series.odc.geobox
    for name in found:
        np.testing.assert_array_equal(back[name], found[name])
