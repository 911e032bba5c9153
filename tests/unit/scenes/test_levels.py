"""Can the values of each band be reflectance? No real scene is suspected, and each kind of slip is noticed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr

from odc_cleansat.errors import SceneError
from odc_cleansat.scenes.files import Band
from odc_cleansat.scenes.levels import LevelCheck
from odc_cleansat.scenes.nodata import find_missing
from odc_cleansat.scenes.packing import Packing

NAMES = ("blue", "green", "red", "nir", "swir16", "swir22")
SIX = ["B02", "B03", "B04", "B08", "B11", "B12"]


def checked(
    planes: list[np.ndarray], scale: float | None = None, offset: float | None = None
) -> LevelCheck:
    """What a window of a scene of these bands does, without the network."""
    check = LevelCheck(NAMES[: len(planes)])
    bands = []
    for plane in planes:
        grid = GeoBox.from_bbox(
            (0, 0, 30 * plane.shape[1], 30 * plane.shape[0]), "EPSG:32633", shape=plane.shape
        )
        bands.append(Band(wrap_xr(plane, grid), grid).packed(scale, offset))
    missing = find_missing(bands, planes)
    check.add_undeclared(missing.undeclared, missing.alike)
    for i, (band, plane, gone) in enumerate(zip(bands, planes, missing.gone, strict=True)):
        packing = band.packing
        assert packing is not None
        values = (plane.astype("float32") + packing.offset) * packing.scale
        check.add(i, np.where(gone, np.nan, values), plane.dtype, packing)
    return check


def verdict(planes: list[np.ndarray], **how: float) -> str:
    check = checked(planes, **how)
    try:
        check.refuse()
    except SceneError as error:
        return f"refused: {error}"
    return " ".join(check.complaints())


def real_scenes(shared: Path) -> Iterator[tuple[str, list[np.ndarray]]]:
    """Digital numbers of all real scenes, in which no offset is left."""
    folders = [
        *(shared / "manila").iterdir(),
        *(shared / "calgary").iterdir(),
        shared / "oncloudn" / "chip_3",
    ]
    for folder in folders:
        planes = []
        for band in SIX:
            if (folder / f"{band}.tif").exists():
                with rasterio.open(folder / f"{band}.tif") as file:
                    planes.append(file.read(1))
        yield folder.name, planes
    with rasterio.open(shared / "bataan" / "bataan_12band_scl.tif") as file:
        yield "bataan", list(file.read([2, 3, 4, 8, 11, 12]))
    for i, date in enumerate(np.load(shared / "canberra" / "stack.npz")["x"]):
        yield f"canberra {i}", list(date[[0, 1, 2, 6, 8, 9]])


def test_no_real_scene_is_suspected(shared: Path) -> None:
    seen = 0
    for name, planes in real_scenes(shared):
        assert verdict(planes) == "", name
        reflectance = [
            np.where(plane == 0, np.nan, plane / 10000).astype("float32") for plane in planes
        ]
        assert verdict(reflectance) == "", name
        shifted = [(plane + np.uint16(1000)) for plane in planes]
        assert verdict(shifted, offset=-1000) == "", name
        seen += 1
    assert seen == 41


RNG = np.random.default_rng(0)


def scene(
    *levels: float, dtype: str = "uint16", shape: tuple[int, int] = (80, 90)
) -> list[np.ndarray]:
    """Bands with the given reflectance, and some noise, as digital numbers or reflectance."""
    noise = RNG.uniform(0.8, 1.2, shape)
    unit = 1 if dtype[0] == "f" else 10000
    return [(unit * level * noise).astype(dtype) for level in levels]


@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32"])
@pytest.mark.parametrize("shape", [(1, 1), (3, 4), (80, 90)])
@pytest.mark.parametrize(
    "levels",
    [
        (1.2, 1.1, 1.1, 1.0, 0.3, 0.25),  # snow
        (1.5, 1.5, 1.5, 1.6, 1.2, 1.0),  # cloud under a low sun
        (0.2, 0.3, 0.4, 0.5, 0.6, 0.55),  # desert
        (0.04, 0.03, 0.008, 0.002, 0.001, 0.0008),  # sea
        (0.01, 0.01, 0.01, 0.02, 0.02, 0.01),  # shadow
    ],
)
def test_scenes_of_one_kind_of_ground_pass(
    levels: tuple[float, ...], shape: tuple[int, int], dtype: str
) -> None:
    planes = scene(*levels, dtype=dtype, shape=shape)
    assert verdict(planes) == ""
    mostly_gone = [np.full((100, 100), 0 if dtype != "float32" else np.nan, dtype) for _ in planes]
    for whole, part in zip(mostly_gone, planes, strict=True):
        whole[: part.shape[0], : part.shape[1]] = part
    assert verdict(mostly_gone) == ""


FIELD = (0.04, 0.07, 0.06, 0.35, 0.2, 0.1)
Change = Callable[[list[np.ndarray]], list[np.ndarray]]


def one(i: int, change: Callable[[np.ndarray], np.ndarray]) -> Change:
    """Change one band only."""
    return lambda planes: [change(p) if k == i else p for k, p in enumerate(planes)]


def every(change: Callable[[np.ndarray], np.ndarray]) -> Change:
    return lambda planes: [change(p) for p in planes]


def holed(value: float, rows: int = 5) -> Callable[[np.ndarray], np.ndarray]:
    def change(plane: np.ndarray) -> np.ndarray:
        plane = plane.copy()
        plane[:rows] = value
        return plane

    return change


@pytest.mark.parametrize(
    ("dtype", "change", "said"),
    [
        ("float32", every(lambda p: p * 10000), "refused: .* pass scale=1/10000"),
        ("float32", one(4, lambda p: p * 10000), "refused: .*swir16 .* pass scale=1/10000"),
        ("float32", every(lambda p: p * 100), "refused: .*nir .*scale=1/100 if they are percent"),
        ("float32", one(0, lambda p: p * 100), "blue .*scale=1/100 if they are percent"),
        ("uint16", one(2, lambda p: (p / 100).astype("float32")), "refused: .*red .*"),
        ("uint16", one(2, lambda p: (p / 10000 / 7).astype("float32")), "refused: .*of different scales"),
        ("uint16", every(lambda p: p - np.uint16(1000)), "refused: .*wrapped round"),
        ("uint16", one(2, lambda p: p - np.uint16(1000)), "refused: .*red .*wrapped round"),
        ("int16", every(lambda p: p - np.int16(1000)), "as if 1000 had been taken off"),
        ("float32", every(lambda p: p - np.float32(0.1)), "as if 0.1 had been taken off"),
        ("float32", one(5, lambda p: p - np.float32(0.2)), "swir22 .* below a reflectance of -0.05"),
        ("uint16", every(lambda p: (p / 40).clip(0, 255).astype("uint8")), "refused: .*uint8.*picture"),
        ("uint16", every(lambda p: (p / 14).clip(100, 255).astype("uint16")), "picture of 8 bits"),
        ("float32", every(lambda p: p * np.float32(1e-4)), "as if a scale had been applied twice"),
        ("int16", every(holed(-999)), "450 pixels are -999 in all bands.*nodata'] = -999"),
        ("uint16", every(holed(65535)), "450 pixels are 65535 in all bands"),
        ("float32", every(holed(-9999)), "450 pixels are -9999 in all bands"),
        ("uint16", every(holed(255)), "450 pixels are 255 in all bands, which ground hardly is.*nodata'] = 255"),
        ("uint16", every(holed(10000)), "450 pixels are 10000 in all bands"),
        ("float32", every(holed(0.0255)), "450 pixels are 0.0255 in all bands"),
        ("uint16", every(lambda p: ((p / 1e4 + 0.2) / 2.75e-5).astype("uint16")), "refused: no pixel .* numbers of Landsat"),
        ("float32", every(lambda p: ((p + 0.2) / 2.75e-1).astype("float32")), "no pixel .* numbers of Landsat"),
        ("uint16", every(lambda p: np.maximum(p.astype(int) - 400, 0).astype("uint16")), "of blue are 0 .* cut off"),
        ("float32", every(lambda p: ((p - p.min()) / (p.max() - p.min()) * 1.1).clip(0, 1)), "every band are exactly 1"),
        ("float32", every(holed(0)), "450 pixels have a reflectance of 0 in all bands"),
        ("int16", one(3, holed(-9999)), "refused: .*nir .*undeclared value for no data"),
        ("float32", one(3, holed(-9999)), "nir .*undeclared value for no data"),
        ("int16", one(3, holed(-999)), "nir are below a reflectance of -0.05"),
    ],
)  # fmt: skip
def test_each_kind_of_slip_is_noticed(dtype: str, change: Change, said: str) -> None:
    found = verdict(change(scene(*FIELD, dtype=dtype)))
    assert re.search(said, found), found


def test_an_offset_taken_off_numbers_without_it_is_noticed_band_by_band() -> None:
    planes = scene(*FIELD)
    assert "blue are below" in verdict(planes, offset=-1000)
    assert "(argument) had been removed already; pass offset=0" in verdict(planes, offset=-1000)
    assert verdict([plane + np.uint16(1000) for plane in planes], offset=-1000) == ""


def test_integers_beside_floats_of_one_scale_pass() -> None:
    planes = scene(*FIELD)
    assert verdict([*planes[:3], *((p / 10000).astype("float32") for p in planes[3:])]) == ""


def test_pieces_are_judged_together() -> None:
    """A share of the scene counts, and not of its windows."""
    whole, part = checked(scene(*FIELD)), checked(scene(*FIELD))
    bright = np.full((10, 10), 6.0, "float32")
    part.add(0, bright, np.dtype("uint16"), Packing(1e-4, 0, None, "nothing"))
    assert "blue" in part.complaints()[0]
    for _ in range(20):
        part.merge(whole)
    assert part.complaints() == []


def test_stray_pixels_are_no_slip(simulated: xr.Dataset) -> None:
    planes = scene(*FIELD)
    planes[0][0, :5] = 65535
    assert verdict(planes) == ""
