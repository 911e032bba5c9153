"""Tiles of scenes and masks: what they show, where, and what is said of places outside."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from conftest import Cube
from PIL import Image

from odc_cleansat import get_model
from odc_cleansat.classes import CLOUDS, CloudClass, scl_to_ucl
from odc_cleansat.evaluate.mappings import get_mapping
from odc_cleansat.grids.footprint import lonlat_footprint
from odc_cleansat.products import MaskProduct
from odc_cleansat.review.other_masks import OtherMask
from odc_cleansat.review.tiles import KINDS, VEIL, NoTileError, SceneTiles, legend
from odc_cleansat.scenes.files import SceneFiles

morecantile = pytest.importorskip("morecantile", reason="the extra app is not installed")


@pytest.fixture(scope="module")
def tiles(cube: Cube) -> SceneTiles:
    product = MaskProduct.of_dataset(cube.masks["june"])
    return SceneTiles(SceneFiles.of_dataset(cube.scenes["june"]), product)


@pytest.fixture(scope="module")
def bounds(cube: Cube) -> tuple[float, float, float, float]:
    west, south, east, north = lonlat_footprint(cube.scenes["june"].extent).geom.bounds
    return west, south, east, north


def pixels(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGBA"))


def middle(bounds: tuple[float, float, float, float], zoom: int) -> tuple[int, int, int]:
    west, south, east, north = bounds
    grid = morecantile.tms.get("WebMercatorQuad")
    found = grid.tile((west + east) / 2, (south + north) / 2, zoom)
    return zoom, found.x, found.y


def test_a_scene_with_a_mask_has_all_kinds(tiles: SceneTiles, cube: Cube) -> None:
    assert set(tiles.kinds) == set(KINDS)
    bare = SceneTiles(SceneFiles.of_dataset(cube.scenes["june"]))
    assert set(bare.kinds) == {"colour", "infrared", "swir", "scl"}
    with pytest.raises(NoTileError, match="no layer 'ucl'"):
        bare.tile("ucl", 0, 0, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_drawn(tiles: SceneTiles, bounds: tuple[float, ...], kind: str) -> None:
    drawn = pixels(tiles.tile(kind, *middle(bounds, 13)))
    assert drawn.shape == (256, 256, 4)
    assert drawn[..., 3].any()
    assert len(np.unique(drawn[..., :3])) > 1


def test_classes_have_their_colours_and_clear_is_a_veil(
    tiles: SceneTiles, bounds: tuple[float, ...]
) -> None:
    drawn = pixels(tiles.tile("ucl", *middle(bounds, 13)))
    found = {tuple(each) for each in drawn.reshape(-1, 4).tolist()}
    colours = {
        (*bytes.fromhex(c.colour[1:]), VEIL if c is CloudClass.CLEAR else 255)
        for c in get_model().classes
    }
    assert found <= colours | {(0, 0, 0, 0)}
    assert len(found & colours) >= 3


def test_outside_of_the_scene_is_transparent_or_no_tile(
    tiles: SceneTiles, bounds: tuple[float, ...]
) -> None:
    whole = pixels(tiles.tile("colour", *middle(bounds, 8)))
    assert 0 < (whole[..., 3] > 0).mean() < 0.5
    with pytest.raises(NoTileError, match="elsewhere"):
        tiles.tile("colour", 8, 0, 0)
    with pytest.raises(NoTileError, match="elsewhere"):
        tiles.values_at(-100, 10)


def test_the_stretch_can_be_chosen(tiles: SceneTiles, bounds: tuple[float, ...]) -> None:
    where = middle(bounds, 13)
    dark, bright = (pixels(tiles.tile("colour", *where, limits)) for limits in ((0, 0.9), (0, 0.1)))
    assert dark[..., :3].mean() < bright[..., :3].mean()


def test_values_are_those_of_the_files(tiles: SceneTiles, cube: Cube) -> None:
    from odc.geo.geom import point

    mask = MaskProduct.of_dataset(cube.masks["june"])
    with mask.open_layer("ucl") as file:
        row, column = 100, 200
        code = int(file.read(1)[row, column])
        x, y = file.xy(row, column)
    lon, lat = point(x, y, mask.grid.crs).to_crs("EPSG:4326").coords[0]
    found = tiles.values_at(lon, lat)
    assert found["UCL"] == CloudClass(code).description
    assert found["SCL"] in {CloudClass(int(c)).description for c in scl_to_ucl(np.arange(12))}
    assert 0 <= float(found["Reflectance, red"]) <= 2
    assert found["Confidence"].endswith("%")


def test_shares_of_all_are_those_of_the_document(
    tiles: SceneTiles, cube: Cube, bounds: tuple[float, float, float, float]
) -> None:
    found = tiles.shares(bounds)
    written = cube.masks["june"].metadata_doc["properties"]
    for label in ("clear", "cloud", "shadow"):
        assert found.ucl[label] == pytest.approx(written[f"cleansat:{label}_percent"], abs=1.5)
    assert sum(found.scl.values()) == pytest.approx(100)
    assert 0 <= found.agreement["overall"] <= 100
    with pytest.raises(NoTileError, match="bounds"):
        tiles.shares((13, 48, 12, 47))
    with pytest.raises(NoTileError, match="elsewhere"):
        tiles.shares((0, 0, 1, 1))


def test_shares_from_afar_are_those_from_near(
    tiles: SceneTiles, bounds: tuple[float, float, float, float]
) -> None:
    """Of a view of the whole world, one pixel would lie on the scene."""
    near, far = tiles.shares(bounds), tiles.shares((-180, -85, 180, 85))
    assert far.ucl == pytest.approx(near.ucl, abs=0.5)
    assert far.scl == pytest.approx(near.scl, abs=0.5)
    assert far.agreement == pytest.approx(near.agreement, abs=0.5)


def test_thumbnails_are_small(tiles: SceneTiles) -> None:
    drawn = pixels(tiles.thumbnail("colour"))
    assert max(drawn.shape) == 160
    assert drawn[..., 3].mean() > 200


def test_legends_name_what_a_layer_has() -> None:
    assert {each.name for each in legend("ucl")} >= {"clear", "cloud", "cloud shadow"}
    assert [each.name for each in legend("disagreement")] == ["both", "only UCL", "only SCL"]
    assert not legend("colour")
    assert [each.name for each in legend("ucl", usual=True)] == [
        "clear",
        "cloud",
        "thin cloud",
        "cloud shadow",
    ]


def test_masks_by_others(
    tiles: SceneTiles, cube: Cube, bounds: tuple[float, float, float, float], tmp_path: Path
) -> None:
    """A measurement, a file on another grid, and some that cannot be shown."""
    (own,) = cube.masks["june"].local_path.parent.glob("*_ucl.tif")
    with rasterio.open(own) as file:
        codes, profile = file.read(1), file.profile
    strange = np.where(codes == 3, 7, np.where(np.isin(codes, CLOUDS), 4, 0)).astype("uint8")
    with rasterio.open(tmp_path / "f.tif", "w", **{**profile, "nodata": None}) as file:
        file.write(strange, 1)
    with rasterio.open(
        tmp_path / "away.tif", "w", **{**profile, "transform": Affine(20, 0, 0, 0, -20, 0)}
    ) as file:
        file.write(strange, 1)
    others = [
        OtherMask("measured", "scl", get_mapping("scl")),
        OtherMask("gone", str(tmp_path / "gone.tif"), get_mapping("fmask4")),
        OtherMask("away", str(tmp_path / "away.tif"), get_mapping("fmask4")),
        OtherMask("file", str(tmp_path / "f.tif"), get_mapping("fmask4")),
    ]
    product = MaskProduct.of_dataset(cube.masks["june"])
    found = SceneTiles(SceneFiles.of_dataset(cube.scenes["june"]), product, others)
    assert found.kinds == (*tiles.kinds, "other0", "other1")
    assert [name for name, _ in found.beside.values()] == ["measured", "file"]
    assert len(found.gaps) == 3
    assert "gone: no file matches gone.tif" in found.gaps[0]
    assert "away.tif lies elsewhere" in found.gaps[1]
    assert "f.tif holds 7, which the mapping fmask4 does not name" in found.gaps[2]
    assert str(tmp_path) not in "".join(found.gaps)
    place = middle(bounds, 13)
    np.testing.assert_array_equal(
        pixels(found.tile("other0", *place))[..., 3] > 0,
        pixels(found.tile("scl", *place))[..., 3] > 0,
    )
    own_tile, theirs = (pixels(found.tile(kind, *place)) for kind in ("ucl", "other1"))
    colours = np.array([[*bytes.fromhex(each.colour[1:])] for each in CLOUDS])
    mine, other = (
        (each[..., np.newaxis, :3] == colours).all(-1).any(-1) for each in (own_tile, theirs)
    )
    same = mine == other
    assert 0.1 < mine.mean() < 0.9
    assert same.mean() > 0.98  # one is warped by GDAL, the other by the centres of pixels
    shares = found.shares(bounds)
    assert shares.agreements["file"]["cloud"] > 98
    assert shares.agreements["measured"]["overall"] == pytest.approx(shares.agreement["overall"], abs=1)  # fmt: skip
    assert sum(shares.others["file"].values()) == pytest.approx(100)
    west, south, east, north = bounds
    values = found.values_at((west + east) / 2, (south + north) / 2)
    assert values["measured"] == values["SCL"]
    assert "file" in values
    with pytest.raises(NoTileError, match="elsewhere"):
        found.tile("other0", 13, 0, 0)
