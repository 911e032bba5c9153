"""The radiometric offset of a scene, settled by its pixels where they are clearer than its metadata."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr

from odc_cleansat.errors import ReflectanceWarning
from odc_cleansat.scenes.files import BandFile
from odc_cleansat.scenes.offset import ASSUMED, Offset
from odc_cleansat.scenes.settle import settle_offset

BASELINE = Offset(-1000, "s2:processing_baseline is 05.10")
GUESS = Offset(0, f"{ASSUMED}: the metadata does not tell")
ARGUMENT = Offset(-1000, "argument")


def scene(
    folder: Path,
    dark: float,
    *,
    offset: int = 0,
    side: int = 300,
    gone: float = 0.3,
    tag: float = 0,
) -> dict[str, BandFile]:
    """Files of a scene from this reflectance on, in whose numbers the offset is left or not."""
    grid = GeoBox.from_bbox((0, 0, 10 * side, 10 * side), "EPSG:32633", shape=(side, side))
    rng, files = np.random.default_rng(0), {}
    for name in ("blue", "green", "red"):
        values = np.rint(10_000 * rng.uniform(dark, dark + 0.3, grid.shape) - offset).astype(
            "uint16"
        )
        values[: int(gone * side)] = 0
        path = folder / f"{name}.tif"
        wrap_xr(values, grid, nodata=0).odc.write_cog(path, overview_levels=[], overwrite=True)
        if tag:
            with rasterio.open(path, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as file:
                file.scales, file.offsets = (0.0001,), (tag,)
        files[name] = BandFile(str(path), 1, 0)
    return files


@pytest.mark.parametrize("side", [300, 1100])
def test_an_offset_that_is_no_longer_in_the_numbers_is_not_taken_off(
    tmp_path: Path, side: int
) -> None:
    files = scene(tmp_path, 0.01, side=side)
    with pytest.warns(
        ReflectanceWarning,
        match=r"the offset -1000 .*removed already; 0 is taken\. Pass offset= to decide",
    ):
        found = settle_offset(files, BASELINE, "a scene")
    assert (found.value, found.stated) == (0, -1000)
    assert found.source.startswith("the pixels show")


@pytest.mark.parametrize(
    ("dark", "offset", "said"),
    [
        (0.01, -1000, BASELINE),  # it is in them
        (0.2, 0, BASELINE),  # nothing is dark, so nobody knows
        (0.2, -1000, GUESS),
        (0.01, 0, ARGUMENT),
        (0.01, 0, Offset(0, "s2:processing_baseline is 02.12")),
    ],
)
def test_else_the_metadata_or_the_caller_decide(
    tmp_path: Path, dark: float, offset: int, said: Offset
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert settle_offset(scene(tmp_path, dark, offset=offset), said, "a scene") == said


def test_a_guess_is_settled_by_dark_ground(tmp_path: Path) -> None:
    found = settle_offset(scene(tmp_path, 0.01), GUESS, "a scene")
    assert (found.value, found.stated) == (0, None)
    assert found.source.startswith("the pixels: ground is too dark")
    assert settle_offset(scene(tmp_path, 0.01, gone=0.99), GUESS, "a scene") == GUESS


def test_a_scene_without_visible_bands_is_left_alone() -> None:
    assert settle_offset({"nir": BandFile("nowhere.tif", 1, 0)}, BASELINE, "a scene") == BASELINE


def test_the_tags_of_the_files_are_heeded_where_the_metadata_give_nothing(tmp_path: Path) -> None:
    files = scene(tmp_path, 0.01, offset=-1000, tag=-0.1)
    found = settle_offset(files, GUESS, "a scene")
    assert (found.value, found.stated) == (-1000, 0)
    assert "tags" in found.source
    assert settle_offset(files, BASELINE, "a scene") == BASELINE
    assert settle_offset(files, ARGUMENT, "a scene") == ARGUMENT


def test_pixels_decide_between_tags_and_metadata(tmp_path: Path) -> None:
    old = Offset(0, "s2:processing_baseline is 02.12")
    with pytest.warns(ReflectanceWarning, match="the pixels and the tags of its files"):
        found = settle_offset(scene(tmp_path, 0.01, offset=-1000, tag=-0.1), old, "a scene")
    assert (found.value, found.stated) == (-1000, 0)
    found = settle_offset(scene(tmp_path, 0.01, tag=-0.1), old, "a scene")
    assert found.value == 0
    assert found.source.startswith("the pixels")


def test_what_nothing_decides_is_told(tmp_path: Path) -> None:
    old = Offset(0, "s2:processing_baseline is 02.12")
    with pytest.warns(
        ReflectanceWarning,
        match=r"pixels do not tell which is right; 0 is taken\. Pass offset= to decide",
    ):
        found = settle_offset(scene(tmp_path, 0.3, tag=-0.1), old, "a scene")
    assert replace(found, doubt=None) == old
    assert found.doubt
    assert "the tags of its files -1000" in found.doubt


TWO = Offset(0, "s2:processing_baseline is 02.12, but baseline 05.10 in id", rival=-1000)
"""What an item says that contradicts itself."""


@pytest.mark.parametrize(
    ("said", "left", "value", "stated"),
    [
        (TWO, 0, 0, None),
        (TWO, -1000, -1000, 0),
        (replace(TWO, value=-1000, rival=0), 0, 0, -1000),
        (replace(TWO, value=-1000, rival=0), -1000, -1000, None),
    ],
)
def test_pixels_decide_between_two_baselines(
    tmp_path: Path, said: Offset, left: int, value: float, stated: float | None
) -> None:
    files = scene(tmp_path, 0.01, offset=left)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = settle_offset(files, said, "a scene")
    assert (found.value, found.stated, found.doubt) == (value, stated, None)
    assert "the pixels" in found.source
    assert len(caught) == (stated is not None), "what differs from the metadata is told"


def test_two_baselines_of_which_pixels_tell_nothing_are_a_doubt(tmp_path: Path) -> None:
    files = scene(tmp_path, 0.3)
    with pytest.warns(
        ReflectanceWarning, match=r"02\.12, but baseline 05\.10 in id\), and the pixels do not"
    ):
        found = settle_offset(files, TWO, "a scene")
    assert found.value == 0
    assert found.doubt
    assert "a scene" not in found.doubt
