"""Training: tiles and their truth, recipes, labels, the loop that learns, and the model that comes of it."""

from __future__ import annotations

import csv
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import yaml
from affine import Affine
from click.testing import CliRunner
from conftest import Recorder

from odc_cleansat import CloudClass, get_model
from odc_cleansat.cli.main import main
from odc_cleansat.errors import ModelError, SceneError
from odc_cleansat.evaluate.mappings import MAPPINGS
from odc_cleansat.models.engines import get_engine
from odc_cleansat.models.networks import torch_network
from odc_cleansat.models.registry import read_model
from odc_cleansat.training.augmentation import BLURRED_SHARE
from odc_cleansat.training.checkpoints import read_average
from odc_cleansat.training.clouds import CloudLayer, draw_clouds, lay_snow
from odc_cleansat.training.curves import add_row, draw_curves, read_rows
from odc_cleansat.training.export import export_model
from odc_cleansat.training.gather import band_statistics, cut_to_bands, gather
from odc_cleansat.training.history import History
from odc_cleansat.training.labels import read_labels, read_scene
from odc_cleansat.training.learner import Task, loss_of
from odc_cleansat.training.loop import Session, fit
from odc_cleansat.training.network import first_network, untrained_network
from odc_cleansat.training.patches import Patch, hold_out, read_archive
from odc_cleansat.training.recipe import Recipe, RecipeError
from odc_cleansat.training.recipe_file import read_recipe
from odc_cleansat.training.run import train
from odc_cleansat.training.run_folder import replacing
from odc_cleansat.training.schedule import Schedule
from odc_cleansat.training.sources import simulate_patch
from odc_cleansat.training.summary import SUMMARY, read_summary
from odc_cleansat.training.teachers import answers_for_tiles, weight_by_variety
from odc_cleansat.training.tiles import Tile, TileSampler
from odc_cleansat.training.truths import UNKNOWN, class_bits, possible_channels, truth_of

F32 = Session(device="cpu", precision="f32")
CLEAR, CLOUD, SHADOW = CloudClass.CLEAR, CloudClass.CLOUD, CloudClass.SHADOW
THIN = CloudClass.THIN_CLOUD
SIX = ("blue", "green", "red", "nir", "swir16", "swir22")
ROOT = Path(__file__).parents[3]
SHIPPED = ROOT / "training" / "unet-mobilenetv2-l2a.yaml"


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """These networks are so small that threads would only wait for each other."""
    monkeypatch.setenv("CLEANSAT_THREADS", "1")


def patch(site: str = "a", seed: int = 0, bands: tuple[str, ...] = SIX, side: int = 70) -> Patch:
    """Smooth ground with bright blobs, which labels call cloud."""
    rng = np.random.default_rng(seed)
    field = rng.normal(size=(side // 10, side // 10)).repeat(10, 0).repeat(10, 1)
    cloud = field > 0.5
    pixels = np.where(cloud, 0.6, 0.1 + 0.02 * field).astype("float32")
    truth = truth_of(np.where(cloud, CLOUD, CLEAR), MAPPINGS["ucl"])
    return Patch(np.stack([pixels] * len(bands)), bands, 30.0, "L2A", site, truth=truth)


DOCUMENT = {
    "name": "tiny",
    "version": "1",
    "title": "For tests",
    "licence": "CC0-1.0",
    "level": "L2A",
    "bands": list(SIX),
    "few": 4,
    "resolution": 30,
    "classes": ["clear", "cloud", "shadow"],
    "architecture": {
        "name": "Unet",
        "encoder": "mobilenet_v2",
        "decoder_channels": [16, 16, 8, 8, 8],
    },
    "data": [{"simulated": [1], "size": 64}],
    "held_out": {"data": [{"name": "sim", "simulated": [2], "size": 64}]},
    "plan": {
        "steps": 6, "cooldown": 2, "warmup": 2, "batch": 2, "size": 64, "check": 3, "average": 0.5,
        "teacher": 0, "truth": 1,
    },
}  # fmt: skip


def write(folder: Path, **changes: object) -> Path:
    path = folder / "tiny.yaml"
    found = {key: value for key, value in (DOCUMENT | changes).items() if value is not None}
    path.write_text(yaml.safe_dump(found))
    return path


def plan(**changes: object) -> dict[str, object]:
    return {**DOCUMENT["plan"], **changes}  # type: ignore[dict-item]


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    return read_recipe(write(tmp_path))


# --- clouds and truth -----------------------------------------------------------------


def test_the_truth_of_clouds_agrees_with_what_was_laid_over() -> None:
    ground = np.full((6, 128, 128), 0.08, "float32")
    seen_classes = set()
    for seed in range(12):
        clouds = draw_clouds(np.random.default_rng(seed), 128)
        seen, truth = clouds.over(ground, SIX), clouds.classes()
        change = seen[0] / ground[0]
        # Dark ground below a quarter of a bright cloud is brighter, in the shadow of one darker.
        assert (change[truth == CLOUD] > 1.2).all()
        # A trace of cloud, below what counts, may be over a shadow or over clear ground.
        assert (change[truth == SHADOW] < 0.97).all()
        assert (np.abs(change[truth == CLEAR] - 1) < 0.3).all()
        seen_classes |= set(np.unique(truth))
    assert seen_classes == {CloudClass.NODATA, CLEAR, CLOUD, SHADOW}


def test_a_shadow_lies_where_the_cloud_is_moved_to() -> None:
    clouds = draw_clouds(np.random.default_rng(3), 96)
    found = [
        np.allclose(np.roll(clouds.opacity, (dy, dx), (0, 1)), clouds.dimming)
        for dy in range(96)
        for dx in range(96)
    ]
    assert sum(found) == 1


@pytest.mark.parametrize(
    ("mapping", "code", "classes"),
    [
        ("cloudsen12", 0, {CLEAR, CloudClass.SNOW, CloudClass.WATER}),
        ("cloudsen12", 1, {CLOUD}),
        ("cloudsen12", 2, {THIN}),
        ("cloudsen12", 3, {SHADOW}),
        ("on-cloud-n", 0, {CLEAR, SHADOW, CloudClass.SNOW, CloudClass.WATER}),
        ("on-cloud-n", 1, {CLOUD, THIN}),
        ("on-cloud-n", 255, set()),
        ("shadow-label", 0, {CLEAR, CLOUD, THIN, CloudClass.SNOW, CloudClass.WATER}),
    ],
)
def test_what_labels_leave_open(mapping: str, code: int, classes: set[CloudClass]) -> None:
    assert truth_of(np.array([[code]]), MAPPINGS[mapping])[0, 0] == class_bits(classes)


def test_which_channels_would_be_right() -> None:
    three, four = (CLEAR, CLOUD, SHADOW), (CLEAR, CLOUD, THIN, SHADOW)

    def right(classes: tuple[CloudClass, ...], *truth: CloudClass) -> list[bool]:
        return possible_channels(classes)[class_bits(truth)].tolist()

    assert right(three, THIN) == [False, True, False], "thin cloud counts as cloud"
    assert right(four, THIN) == [False, False, True, False]
    assert right(four, CLOUD, THIN) == [False, True, True, False]
    assert right(three, CloudClass.SNOW) == [True, False, False]
    assert right(three, CLEAR, SHADOW) == [True, False, True]
    assert right(three) == [True] * 3, "nothing is known"


def test_the_loss_of_a_label_that_does_not_know_shadow() -> None:
    import torch

    logs = torch.tensor([0.2, 0.5, 0.3]).log().view(1, 3, 1, 1)
    possible = torch.from_numpy(possible_channels((CLEAR, CLOUD, SHADOW)))
    for truth, wanted in (({CLEAR, SHADOW}, -np.log(0.5)), ({SHADOW}, -np.log(0.3)), ((), 0.0)):
        each = possible[class_bits(truth)].view(1, 3, 1, 1)
        loss = loss_of(logs, None, each, Schedule(truth=1.0))
        assert float(loss.detach()) == pytest.approx(wanted, abs=1e-6)


def test_the_loss_has_the_weights_of_the_plan() -> None:
    import torch

    logs = torch.tensor([0.2, 0.5, 0.3]).log().view(1, 3, 1, 1)
    taught = torch.tensor([0.0, 1.0, 0.0]).view(1, 3, 1, 1)
    cloud = torch.tensor([False, True, False]).view(1, 3, 1, 1)
    found = float(loss_of(logs, taught, cloud, Schedule(teacher=2.0, truth=0.5)).detach())
    assert found == pytest.approx(2.5 * np.log(2), abs=1e-6)


# --- patches and tiles ----------------------------------------------------------------


def test_tiles_are_the_same_for_the_same_seed_and_number() -> None:
    patches = [patch("a", 0), patch("b", 1, SIX[:4])]
    first, again = (TileSampler(patches, SIX, few=4, size=64, seed=5) for _ in range(2))
    other = TileSampler(patches, SIX, few=4, size=64, seed=6)
    for number in range(8):
        tile = first.draw(number)
        assert np.array_equal(tile.pixels, again.draw(number).pixels)
        assert np.array_equal(tile.truth, again.draw(number).truth)
        assert tile.pixels.shape == (len(tile.bands), 64, 64)
        assert np.isfinite(tile.pixels).all()
        assert tile.bands in (SIX, SIX[:4])
        there = other.draw(number)
        assert there.pixels.shape != tile.pixels.shape or (there.pixels != tile.pixels).any()


def test_most_tiles_lie_as_they_were_and_some_are_turned() -> None:
    """Patches of one slope, brighter to the east."""
    slope = np.broadcast_to(np.linspace(0.05, 0.5, 64, dtype="float32"), (6, 64, 64))
    tiles = TileSampler([Patch(slope, SIX, 30, "L2A", "a")], SIX, size=64)
    upright = 0
    for number in range(100):
        blue = tiles.draw(number).pixels[0]
        upright += np.median(np.diff(blue, axis=1)) > 2 * abs(np.median(np.diff(blue, axis=0)))
    assert 60 <= upright <= 92


def test_every_second_step_shows_single_patches() -> None:
    """Each site has a brightness of its own, so a tile with two of them shows an edge between flat pieces."""
    flat = [
        Patch(np.full((6, 24, 24), value, "float32"), SIX, 30, "L2A", f"{value}")
        for value in (0.05, 0.3, 0.6)
    ]
    tiles = TileSampler(flat, SIX, few=4, size=64)
    assert [tile.pixels.shape[1:] for tile in tiles.batch(2, 3)] == [(64, 64)] * 3
    assert [tile.pixels.shape[1:] for tile in tiles.batch(3, 3)] == [(32, 32)] * 12
    for step in (2, 3):
        for tile, again in zip(tiles.batch(step, 3), tiles.batch(step, 3), strict=True):
            assert np.array_equal(tile.pixels, again.pixels)

    def flat_share(tiles: list[Tile]) -> float:
        return float(np.mean([np.ptp(tile.pixels[0]) < 1e-3 for tile in tiles]))

    mosaics = [tile for step in range(0, 60, 2) for tile in tiles.batch(step, 4)]
    singles = [tile for step in range(1, 16, 2) for tile in tiles.batch(step, 4)]
    # The others have simulated clouds or snow.
    assert flat_share(singles) > 0.35
    assert 0.05 < flat_share(mosaics) < 0.8 * flat_share(singles), "half of them are of one site"


def test_snow_is_bright_to_the_eye_and_dark_in_the_short_wave_infrared() -> None:
    ground = np.full((6, 128, 128), 0.1, dtype="float32")
    shares = []
    for seed in range(10):
        seen, share = lay_snow(np.random.default_rng(seed), ground, SIX)
        assert seen.shape == ground.shape
        assert seen.dtype == np.float32
        assert share.min() >= 0
        assert share.max() <= 1
        np.testing.assert_array_equal(seen[:, share == 0], np.float32(0.1))
        deep = share > 0.7
        assert (seen[SIX.index("blue")][deep] > 0.35).all()
        assert (seen[SIX.index("swir16")][deep] < 0.15).all()
        shares.append((share > 0.02).mean())
    assert min(shares) < 0.3
    assert max(shares) > 0.7


def test_the_truth_of_a_tile_lies_where_its_pixels_do() -> None:
    """Ground is near 0.1 and cloud 0.6 in every band, whatever else is done to a tile."""
    tiles = TileSampler([patch(str(i), i) for i in range(4)], SIX, size=64)
    right = total = 0
    for number in range(60):
        tile = tiles.draw(number, single=number >= 40)
        cloud, clear = tile.truth == class_bits([CLOUD]), (tile.truth & class_bits([CLEAR])) != 0
        right += (tile.pixels[0][cloud] > 0.3).sum() + (tile.pixels[0][clear] < 0.3).sum()
        total += cloud.sum() + clear.sum()
    assert total > 40 * 64 * 64 * 0.3
    assert right / total > 0.9, "edges are blurred by resampling, no more"


def test_tiles_never_come_from_sites_that_are_held_out() -> None:
    """Those have a reflectance of 30, which nothing else has."""
    bright = [
        replace(patch("held", i), pixels=np.full((6, 70, 70), 30.0, "float32")) for i in (0, 1)
    ]
    kept, held = hold_out([patch("a", 0), *bright, patch("b", 1)], ["held"])
    assert {p.site for p in kept} == {"a", "b"}
    assert len(held) == 2
    tiles = TileSampler(kept, SIX, size=64)
    # A very bright simulated cloud reaches 1.1, and a gain is hardly ever more than three.
    for single in (False, True):
        assert max(tiles.draw(number, single=single).pixels.max() for number in range(30)) < 6
    leaky = TileSampler([*kept, *held], SIX, size=64)
    assert max(leaky.draw(number).pixels.max() for number in range(30)) > 6, "the test can fail"


def test_a_share_of_the_sites_is_held_out_always_the_same() -> None:
    patches = [patch(f"site {i}", side=10) for i in range(200)]
    kept, held = hold_out(patches, [], 0.25)
    assert 30 < len(held) < 70
    assert {p.site for p in hold_out(patches[:100], [], 0.25)[1]} <= {p.site for p in held}
    assert {p.site for p in held}.isdisjoint(p.site for p in kept)
    with pytest.raises(SceneError, match="no patches of the sites Nowhere"):
        hold_out(patches, ["Nowhere"])


def test_resampling_moves_truth_with_pixels() -> None:
    whole = patch(side=120)
    for resolution in (30.0, 60.0, 47.0, 20.0):
        each = whole.resampled(resolution)
        assert each.truth is not None
        assert each.truth.shape == each.pixels.shape[1:]
        cloud = each.truth == class_bits([CLOUD])
        assert np.mean((each.pixels[0] > 0.35) == cloud) > 0.9, resolution


def test_rows_left_over_by_resampling_do_not_move_the_truth() -> None:
    """Stripes three pixels wide become one wide; of 500 rows the last two are dropped."""
    stripes = np.broadcast_to((np.arange(500) // 3 % 2 == 0)[:, None], (500, 40))
    truth = np.where(stripes, class_bits([CLOUD]), class_bits([CLEAR])).astype("uint8")
    each = Patch(stripes[None].astype("float32"), ("blue",), 10, "L2A", "a", truth=truth)
    pixels = each.at(30)
    assert pixels.shape == (1, 166, 13)
    np.testing.assert_array_equal(each.truth_at(30) == class_bits([CLOUD]), pixels[0] == 1)


@pytest.mark.parametrize("resolution", [10.0, 20.0, 27.0, 30.0, 40.0, 60.0, 85.0])
def test_resampling_keeps_what_lies_around_a_gap(resolution: float) -> None:
    """A gap is no wider than the pixels that it touches, and what has data stays as it was."""
    smooth = np.add.outer(np.linspace(0.1, 0.5, 80), np.linspace(0, 0.3, 60))
    full = replace(patch(), pixels=smooth[None].astype("float32"), resolution=20.0)
    holes = full.pixels.copy()
    holes[:, 40, 30] = np.nan
    holes[:, 60:, :20] = np.nan
    holes[:, 0:30:3, 30:60:3] = np.nan
    wanted, found = full.at(resolution), replace(full, pixels=holes).at(resolution)
    lost = np.isnan(found)
    assert lost.mean() < np.isnan(holes).mean() + 0.03
    if resolution > 30:
        assert not lost[:, : -round(25 * 20 / resolution)].any(), "single pixels are averaged away"
    assert lost[:, -round(15 * 20 / resolution) :, : round(15 * 20 / resolution)].all()
    assert np.abs(found - wanted)[~lost].max() < 0.02


def test_resampling_does_not_move_the_ground() -> None:
    """A ramp stays a ramp: each pixel has the value of the ground at its centre."""
    ramp = np.broadcast_to(np.arange(120, dtype="float32") + 0.5, (1, 90, 120))
    each = replace(patch(), pixels=ramp, resolution=10.0)
    for resolution in (6.0, 13.0, 15.0, 20.0, 25.0, 30.0, 42.0):
        found = each.at(resolution)[0]
        count = found.shape[1]
        centres = (np.arange(count) + 0.5) * 120 / count
        inside = slice(2, -2)  # beyond the edges there is no ground to average
        assert np.abs(found - centres)[:, inside].max() < 0.1, resolution


def test_some_tiles_are_sampled_and_not_averaged() -> None:
    """Rows of 10 m alternate; at 30 m their means are grey, the nearest are black or white."""
    rows = np.broadcast_to((np.arange(300) % 2)[:, None], (6, 300, 300)).astype("float32")
    each = Patch(rows, SIX, 10, "L2A", "a")
    assert each.nearest_at(30).shape == each.at(30).shape == (6, 100, 100)
    assert set(np.unique(each.nearest_at(30))) == {0, 1}
    assert np.ptp(each.at(30)) < 0.4
    tiles = TileSampler([each], SIX, size=64)
    spread = [np.ptp(tiles.draw(number, single=True).pixels[3]) for number in range(60)]
    assert 5 <= sum(each > 0.6 for each in spread) <= 40


def test_what_is_clipped_are_the_visible_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    bands = ("nir", "swir16", "red")
    bright = Patch(np.full((3, 64, 64), 3, "float32"), bands, 30, "L2A", "a")
    for name, share in (
        ("augmentation.CLIPPED", 1), ("tiles.CLOUDED", 0), ("tiles.SNOWED", 0), ("augmentation.BLURRED", 0)
    ):  # fmt: skip
        monkeypatch.setattr(f"odc_cleansat.training.{name}_SHARE", share)
    pixels = TileSampler([bright], bands, size=64).draw(0, single=True).pixels
    assert pixels[2].max() <= 1
    assert pixels[:2].min() > 1


def test_some_tiles_are_blurred(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).uniform(0.1, 0.2, (6, 100, 100)).astype("float32")
    tiles = TileSampler([replace(patch(), pixels=noise, truth=None)], SIX, size=64)

    def steps(share: float) -> list[float]:
        """How much neighbours differ, in each tile."""
        monkeypatch.setattr("odc_cleansat.training.augmentation.BLURRED_SHARE", share)
        drawn = [tiles.draw(number, single=True).pixels for number in range(60)]
        return [float(np.abs(np.diff(pixels, axis=1)).mean()) for pixels in drawn]

    sharp, blurred, mixed = steps(0), steps(1), steps(BLURRED_SHARE)
    assert all(after < before for before, after in zip(sharp, blurred, strict=True))
    assert 4 <= sum(each in blurred for each in mixed) <= 25
    assert all(each in blurred or each in sharp for each in mixed)


def test_the_teacher_answers_for_the_tile_before_it_was_blurred(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("odc_cleansat.training.augmentation.BLURRED_SHARE", 1)
    tile = TileSampler([patch(side=100)], SIX, size=64).draw(1)
    assert np.abs(tile.pixels - tile.sharp).max() > 0.01
    teacher = get_model("unet-efficientnetb4-l2a-6b")
    (answer,) = answers_for_tiles([tile], {("L2A", 6): teacher}, teacher.classes)
    np.testing.assert_array_equal(answer, get_engine(teacher)(tile.sharp[None])[0])


def test_tiles_of_scenes_of_any_shape() -> None:
    for shape in ((40, 300), (300, 40), (70, 64)):
        scene = np.full((6, *shape), 0.1, "float32")
        tiles = TileSampler([Patch(scene, SIX, 30, "L2A", "a")], SIX, size=64)
        for number in range(20):
            assert tiles.draw(number).pixels.shape[1:] == (64, 64)
            assert tiles.draw(number, single=True).pixels.shape[1:] == (32, 32)


def test_an_archive_is_read(tmp_path: Path) -> None:
    x = np.full((2, 4, 8, 8), 1500, "uint16")
    x[0, :, 0, 0] = 0
    path = tmp_path / "a.npz"
    there = {"res_m": [10.0, 20.0], "level": ["L1C", "L2A"], "site": ["a", "b"]}
    np.savez(path, x=x, bands=["B02", "B03", "B04", "B8A"], **there)
    first, second = read_archive(path, SIX)
    assert first.bands == SIX[:4]
    assert np.isnan(first.pixels[:, 0, 0]).all()
    assert first.pixels[2, 3, 3] == pytest.approx(0.15)
    assert (second.resolution, second.level, second.site) == (20.0, "L2A", "b")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SceneError, match="not an archive"):
        read_archive(path, SIX)
    np.savez(path, x=x)
    with pytest.raises(SceneError, match="not an archive"):
        read_archive(path, SIX)
    np.save(tmp_path / "a.npy", x)
    with pytest.raises(SceneError, match="not an archive"):
        read_archive(tmp_path / "a.npy", SIX)
    np.savez(path, x=x, bands=["B02", "B03", "B04", "B8A"], **there | {"level": ["L1C"]})
    with pytest.raises(SceneError, match="does not fit its other arrays"):
        read_archive(path, SIX)


def test_the_archives_of_the_shipped_model_are_read(shared: Path) -> None:
    if not (shared / "training").is_dir():
        pytest.skip("the archives to train on are not here; they are not part of the project")
    found = read_recipe(SHIPPED)
    quick = tuple(s for s in found.data if "simulated" not in str(s))
    held = replace(found.held_out, data=())
    material = gather(replace(found, data=quick, held_out=held), shared)
    assert sum(material.counts.values()) == 481
    assert material.unused == 0
    assert {p.site for p in material.train}.isdisjoint(found.held_out.sites)
    assert {p.bands for p in material.train} == {SIX, SIX[:4]}
    surface = [p for p in material.train if p.bands == SIX and p.site.startswith("ROIs")]
    raw, hazed = (next(p for p in surface if p.level == level) for level in ("L1C", "L2A"))
    assert raw.site == hazed.site
    assert np.allclose(raw.pixels[0] - hazed.pixels[0], 0.07, atol=1e-6)
    assert set(material.held_out) == {
        f"{name}-{n}" for name in ("l2a", "l1c", "l1c-surface") for n in (4, 6)
    }


# --- labels ---------------------------------------------------------------------------


def raster(path: Path, planes: np.ndarray, crs: str | None = "EPSG:32633", **more: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = planes.shape
    with rasterio.open(
        path, "w", driver="GTiff", count=count, height=height, width=width, dtype=planes.dtype,
        crs=crs, transform=Affine(10, 0, 4e5, 0, -10, 5e6) if crs else None, **more,
    ) as file:  # fmt: skip
        file.write(planes)


def halves(side: int = 60) -> np.ndarray:
    """Left half 0, right half 1."""
    return (np.arange(side) >= side // 2)[None].repeat(side, 0).astype("uint8")


def test_labels_in_the_layout_of_cloudsen12(tmp_path: Path) -> None:
    for i, roi in enumerate(("ROI_0001", "ROI_0002")):
        folder = tmp_path / "high" / roi / "20200215T082021_T34JCP"
        for level, count in (("L1C", 13), ("L2A", 15)):
            bands = np.arange(1, count + 1)[:, None, None] * 100 * np.ones((1, 60, 60))
            bands[:, :, 30:] += 1000
            raster(folder / f"S2{level}.tif", bands.astype("int16"))
        raster(folder / "labels" / "manual_hq.tif", (halves() * (2 + i))[None])
    l2a = read_labels(tmp_path / "high", "cloudsen12", SIX)
    l1c = read_labels(tmp_path, "cloudsen12", SIX, level="L1C", finest=30)
    assert [p.site for p in l2a] == ["ROI_0001", "ROI_0002"]
    assert l2a[0].bands == SIX
    assert l2a[0].pixels.shape == (6, 60, 60)
    # B02 is the second band; of L2A B12 is the twelfth, of L1C, which has B10, the thirteenth.
    assert l2a[0].pixels[[0, 5], 0, 0] == pytest.approx([0.02, 0.12], rel=1e-3)
    assert l1c[0].pixels[[0, 5], 0, 0] == pytest.approx([0.02, 0.13], rel=1e-3)
    assert l1c[0].pixels.shape == (6, 20, 20)
    assert l1c[0].resolution == pytest.approx(30)
    for found in (l2a, l1c):
        for each, cls in zip(found, (THIN, SHADOW), strict=True):
            assert each.truth is not None
            bright = each.pixels[0] > 0.1
            assert (each.truth == np.where(bright, class_bits([cls]), each.truth[0, 0])).all()
            assert each.truth[0, 0] & class_bits([CLEAR])


@pytest.mark.parametrize("published", [True, False])
def test_labels_in_the_layout_of_on_cloud_n(tmp_path: Path, published: bool) -> None:
    label = halves()
    label[:, :5] = 255
    for chip in ("abcd", "efgh"):
        folder = tmp_path / "train_features" / chip if published else tmp_path / chip
        for i, band in enumerate(("B02", "B03", "B04", "B08")):
            raster(folder / f"{band}.tif", np.full((1, 60, 60), 1000 + i, "uint16"))
        place = tmp_path / "train_labels" / f"{chip}.tif" if published else folder / "label.tif"
        raster(place, label[None])
    with (tmp_path / "train_metadata.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("chip_id", "location"), ("abcd", "Chifunfu")])
    first, second = read_labels(tmp_path, "on-cloud-n", SIX)
    assert (first.site, second.site) == ("Chifunfu", "efgh")
    assert first.bands == SIX[:4]
    assert first.truth is not None
    assert first.truth[0, 0] == UNKNOWN
    assert first.truth[0, 40] == class_bits([CLOUD, THIN])
    assert first.truth[0, 10] & class_bits([SHADOW]), "not cloud may be shadow"
    if published:
        (tmp_path / "train_features" / "efgh").rename(tmp_path / "elsewhere")
        with pytest.raises(SceneError, match="train_features/efgh"):
            read_labels(tmp_path, "on-cloud-n", SIX)


def test_a_label_on_another_grid_is_refused(tmp_path: Path) -> None:
    raster(tmp_path / "chip" / "B02.tif", np.full((1, 60, 60), 1000, "uint16"))
    raster(tmp_path / "chip" / "label.tif", halves(40)[None])
    with pytest.raises(SceneError, match="40 x 40 pixels and its bands 60 x 60"):
        read_labels(tmp_path, "on-cloud-n", SIX)


def test_reflectance_and_declared_nodata_are_read_as_they_are(tmp_path: Path) -> None:
    values = np.full((1, 60, 60), 0.25, "float32")
    values[0, 0, 0], values[0, 0, 1] = -9999, np.nan
    raster(tmp_path / "B02.tif", values, nodata=-9999)
    whole = np.full((1, 60, 60), 2500, "int16")
    whole[0, 0, 0], whole[0, 0, 1] = -9999, 0
    raster(tmp_path / "B03.tif", whole, nodata=-9999)
    found = read_scene(tmp_path, SIX)
    assert found.bands == SIX[:2]
    assert np.isnan(found.pixels[:, 0, :2]).all()
    assert np.allclose(found.pixels[:, 1:], 0.25)


def test_labels_without_coordinates_take_the_resolution_of_the_recipe(tmp_path: Path) -> None:
    for name, planes in (("B02", np.full((1, 60, 60), 1000, "uint16")), ("label", halves()[None])):
        raster(tmp_path / "chips" / "a" / f"{name}.tif", planes, crs=None)
    source = {"labels": "chips", "layout": "on-cloud-n"}
    common = {"bands": ["blue"], "few": None, "held_out": None}
    with pytest.raises(SceneError, match="say its resolution in the recipe"):
        gather(read_recipe(write(tmp_path, data=[source], **common)), tmp_path)
    found = read_recipe(write(tmp_path, data=[{**source, "resolution": 10}], **common))
    (each,) = gather(found, tmp_path).train
    assert each.resolution == 15, "half of the model's"
    assert each.pixels.shape == (1, 40, 40)


# --- recipes --------------------------------------------------------------------------


def test_the_recipe_of_the_shipped_model_is_in_order() -> None:
    found = read_recipe(SHIPPED)
    assert found.few == 4
    assert set(found.teachers) == {("L2A", 6), ("L2A", 4), ("L1C", 6), ("L1C", 4)}
    assert found.mean == get_model("unet-efficientnetb4-l2a-6b").mean
    assert all(source.licence for source in found.data)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bans": ["blue"]}, "no 'bans'; perhaps 'bands' is meant"),
        ({"licence": None}, "lacks licence"),
        ({"few": 9}, "few is 9, and there are 6 bands"),
        ({"bands": ["blue", "pink"]}, "bands should be of coastal, blue"),
        ({"classes": None}, "no teachers, so it must say its classes"),
        ({"plan": plan(size=100)}, "plan: size should be a multiple of 32, and is 100"),
        ({"plan": plan(stepps=3)}, "plan: there is no 'stepps'; perhaps 'steps' is meant"),
        ({"plan": plan(rate="high")}, "rate should be a number"),
        ({"plan": plan(teacher=1, truth=0)}, "no teachers, and the plan gives labels no weight"),
        ({"data": [{"archiv": "a.npz"}]}, "one of archive, labels, scenes, simulated"),
        ({"data": [{"labels": "a"}]}, "data, labels: it lacks layout"),
        ({"plan": plan(teacher=0, truth=0)}, "no teachers, and the plan gives labels no weight"),
        ({"data": [{"labels": "a", "layout": ["cloudsen12"]}]}, "layout should be cloudsen12 or"),
        ({"data": [{"labels": "a", "layout": "b"}]}, "layout should be cloudsen12 or on-cloud-n"),
        ({"held_out": {"data": [{"simulated": [1]}]}}, "needs a name for its group"),
        ({"haze": {"pink": 0.1}}, "haze names pink"),
        ({"teachers": ["unet-efficientnetb4-l2a-6b"]}, "no teacher is for L2A with 4 bands"),
        ({"teachers": ["cloudsen12-l2a"], "few": 4}, "neither all of the bands nor the first 4"),
        (
            {
                "teachers": ["unet-efficientnetb4-l2a-6b"],
                "few": None,
                "classes": None,
                "resolution": None,
                "plan": plan(teacher=0, truth=0),
            },
            "gives weight neither to teachers nor to labels",
        ),
        ({"mean": [0.1]}, "mean should have a number for each of the 6 bands"),
    ],
)
def test_recipes_that_are_wrong(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message) as caught:
        read_recipe(write(tmp_path, **changes))
    assert str(tmp_path / "tiny.yaml") in str(caught.value)


def test_a_recipe_may_start_with_a_model(tmp_path: Path) -> None:
    import torch

    left_out = dict.fromkeys(("bands", "classes", "architecture", "few", "resolution"))
    found = read_recipe(write(tmp_path, start="unet-mobilenetv2-l2a-4b", **left_out))
    model = get_model("unet-mobilenetv2-l2a-4b")
    assert (found.bands, found.classes, found.mean) == (model.bands, model.classes, model.mean)
    image = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 4, 64, 64)).astype("float32"))
    with torch.inference_mode():
        assert torch.equal(first_network(found).eval()(image), torch_network(model)(image))
    losses = run(found, tmp_path / "run")
    assert np.isfinite(losses).all()
    learnt = read_model(export_model(found, tmp_path / "run")[0])
    assert learnt.bands == model.bands
    assert "Begun with the weights of `unet-mobilenetv2-l2a-4b`" in Path(learnt.card).read_text()
    for changes in ({"classes": ["clear", "cloud"]}, {"bands": list(SIX)}):
        with pytest.raises(
            RecipeError, match="should be those of unet-mobilenetv2-l2a-4b, where it starts"
        ):
            read_recipe(write(tmp_path, start=model.name, **{**left_out, **changes}))
    softmax = {"name": "Unet", "encoder": "mobilenet_v2", "activation": "softmax2d"}
    with pytest.raises(RecipeError, match="no activation"):
        read_recipe(write(tmp_path, architecture=softmax))
    with pytest.raises(RecipeError, match="two or more"):
        read_recipe(write(tmp_path, teachers=None, classes=["cloud"], resolution=30))
    with pytest.raises(RecipeError, match="start should be one network"):
        read_recipe(write(tmp_path, start="unet-efficientnetb4-l2a-6b+unet-efficientnetb4-l2a-4b"))


@pytest.fixture
def imagenet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Weights for MobileNetV2 as segmentation_models_pytorch publishes them, in Hugging Face's cache."""
    import torch
    import torchvision
    from huggingface_hub import constants
    from safetensors.torch import save_file
    from segmentation_models_pytorch.encoders import encoders

    torch.manual_seed(5)
    weights = torchvision.models.mobilenet_v2(weights=None).state_dict()
    source = encoders["mobilenet_v2"]["pretrained_settings"]["imagenet"]
    name = f"models--{source['repo_id'].replace('/', '--')}"
    folder = tmp_path / "hub" / name / "snapshots" / source["revision"]
    folder.mkdir(parents=True)
    save_file(weights, folder / "model.safetensors")
    (folder / "config.json").write_text("{}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return dict(weights)


def test_an_encoder_may_be_a_trained_one(tmp_path: Path, imagenet: dict[str, Any]) -> None:
    import torch

    found = read_recipe(write(tmp_path, encoder_weights="imagenet", bands=["swir16", *SIX[:3]]))
    torch.manual_seed(0)
    network = first_network(found)
    own = network.encoder.state_dict()
    first = "features.0.0.weight"
    assert all(torch.equal(own[name], imagenet[name]) for name in own if name != first)
    share = 3 / 4  # so that four bands that are alike give what three gave
    mean = imagenet[first].mean(dim=1)
    assert SIX[:3] == ("blue", "green", "red")
    for i, expected in enumerate((mean, *(imagenet[first][:, k] for k in (2, 1, 0)))):
        torch.testing.assert_close(own[first][:, i], share * expected)


def test_a_run_with_a_trained_encoder(tmp_path: Path, imagenet: dict[str, Any]) -> None:
    found = read_recipe(write(tmp_path, encoder_weights="imagenet", plan=plan(steps=2)))
    train(found, tmp_path, tmp_path / "run", device="cpu")
    # It goes on without them, and a run with another encoder is another run.
    shutil.rmtree(tmp_path / "hub")
    train(
        replace(found, schedule=replace(found.schedule, steps=3)),
        tmp_path,
        tmp_path / "run",
        device="cpu",
    )
    with pytest.raises(ModelError, match="begun with another encoder_weights"):
        train(read_recipe(write(tmp_path)), tmp_path, tmp_path / "run", device="cpu")
    card = next(path for path in export_model(found, tmp_path / "run") if path.suffix == ".md")
    assert "an encoder trained on imagenet (segmentation_models_pytorch)" in card.read_text()


def test_trained_encoders_that_cannot_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RecipeError, match="leave out encoder_weights, or start"):
        read_recipe(write(tmp_path, encoder_weights="imagenet", start="unet-mobilenetv2-l2a"))
    with pytest.raises(
        ModelError, match=r"'photos' for the encoder mobilenet_v2.*options are.*imagenet"
    ):
        first_network(read_recipe(write(tmp_path, encoder_weights="photos")))
    monkeypatch.setenv("CLEANSAT_OFFLINE", "1")
    with pytest.raises(ModelError, match=r"as CLEANSAT_OFFLINE is set.*HF_HUB_OFFLINE=1 too"):
        first_network(read_recipe(write(tmp_path, encoder_weights="imagenet")))


@pytest.mark.parametrize(
    ("error", "raised"),
    [(OSError(28, "No space left on device"), ModelError), (ValueError("spoilt"), ValueError)],
)
def test_what_cannot_be_written_whole_replaces_nothing(
    error: Exception, raised: type[Exception], tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")

    def half() -> None:
        with replacing(path) as file:
            file.write(b"half")
            raise error

    with pytest.raises(raised, match=r"No space|spoilt"):
        half()
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
    assert path.read_bytes() == b"before"


def test_recipes_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    for text, message in (("a: [", "not YAML"), ("- a", "no recipe")):
        path.write_text(text)
        with pytest.raises(RecipeError, match=message):
            read_recipe(path)
    with pytest.raises(RecipeError, match="cannot read"):
        read_recipe(tmp_path / "b.yaml")
    with pytest.raises(ModelError, match="there is no model 'unet'"):
        read_recipe(write(tmp_path, teachers=["unet"]))


def test_data_that_are_missing_or_held_out_twice(tmp_path: Path) -> None:
    found = read_recipe(write(tmp_path, data=[{"archive": "none/*.npz"}]))
    with pytest.raises(SceneError, match=r"there is no .*none/\*\.npz; --data names the folder"):
        gather(found, tmp_path)
    for name in ("a", "b"):
        raster(tmp_path / "scenes" / name / "B02.tif", np.full((1, 64, 64), 1000, "uint16"))
    held = {"data": [{"name": "again", "scenes": "scenes/*"}]}
    data = [{"scenes": "scenes/a"}]
    found = read_recipe(write(tmp_path, bands=["blue"], few=None, data=data, held_out=held))
    with pytest.raises(SceneError, match="scenes/a: held out, and among the data"):
        gather(found, tmp_path)
    # The same files are the same place, whatever it is called.
    data = [{"scenes": "scenes/a", "site": "one place"}]
    found = read_recipe(write(tmp_path, bands=["blue"], few=None, data=data, held_out=held))
    with pytest.raises(SceneError, match=r"a/B02\.tif: held out, .* under another site"):
        gather(found, tmp_path)


def test_a_simulated_scene_is_not_held_out_and_trained_on(tmp_path: Path) -> None:
    held = {"data": [{"name": "sim", "simulated": [1], "size": 64}]}
    with pytest.raises(SceneError, match="simulated 1: held out, and among the data"):
        gather(read_recipe(write(tmp_path, held_out=held)), tmp_path)


def test_five_bands_are_cut_to_the_few_that_a_recipe_has(tmp_path: Path, recipe: Recipe) -> None:
    found = cut_to_bands([patch(bands=SIX[:5]), patch(), patch(bands=SIX[1:])], recipe)
    assert [p.bands for p in found] == [SIX[:4], SIX]
    assert found[0].pixels.shape[0] == 4


def test_data_are_of_the_level_of_the_recipe_unless_they_say_another(tmp_path: Path) -> None:
    raster(tmp_path / "a" / "B02.tif", np.full((1, 64, 64), 1000, "uint16"))
    common = {"bands": ["blue"], "few": None, "held_out": None, "level": "L1C"}
    data = [{"scenes": "."}, {"scenes": "a"}, {"scenes": "a", "level": "L2A", "site": "Here"}]
    raster(tmp_path / "B02.tif", np.full((1, 64, 64), 1000, "uint16"))
    found = gather(read_recipe(write(tmp_path, data=data, **common)), tmp_path)
    assert [p.level for p in found.train] == ["L1C", "L1C", "L2A"]
    assert [p.site for p in found.train] == [".", "a", "Here"]
    assert found.counts == {".": 1, "a": 1, "a, L2A": 1}
    wrong = read_recipe(write(tmp_path, held_out=None, level="L1C"))
    with pytest.raises(SceneError, match="to be for L1C, and the labels are all of L2A"):
        run(wrong, tmp_path / "run")


def test_a_scene_counts_as_many_patches_as_tiles_would_cover_it(tmp_path: Path) -> None:
    raster(tmp_path / "large" / "B02.tif", np.full((1, 384, 576), 1000, "uint16"))
    raster(tmp_path / "small" / "B02.tif", np.full((1, 64, 64), 1000, "uint16"))
    data = [{"scenes": "small"}, {"scenes": "large"}]
    found = read_recipe(write(tmp_path, data=data, bands=["blue"], few=None, held_out=None))
    patches = gather(found, tmp_path).train
    weights = [p.weight for p in patches]
    assert weights == pytest.approx([1, 2 * 3], rel=0.01), "64 pixels at 30 m are 192 of these"
    labelled = [
        replace(p, truth=np.full(p.pixels.shape[1:], class_bits([CLEAR]), "uint8")) for p in patches
    ]
    small, large = weight_by_variety(labelled, {}, (CLEAR, CLOUD, SHADOW))
    assert large.weight == pytest.approx(weights[1] * small.weight)


def test_a_recipe_of_whose_data_nothing_can_be_used(tmp_path: Path, recorder: Recorder) -> None:
    raster(tmp_path / "a" / "B02.tif", np.full((1, 64, 64), 1000, "uint16"))
    found = read_recipe(write(tmp_path, data=[{"scenes": "a"}], held_out=None))
    with pytest.raises(SceneError, match="there is nothing to learn from"):
        train(found, tmp_path, tmp_path / "run", reporter=recorder)
    assert recorder.lines[-1] == "  1 of the patches lack bands and are left out"


def test_the_normalisation_of_odd_data() -> None:
    flat = replace(patch(), pixels=np.full((6, 64, 64), 0.25, "float32"))
    mean, std = band_statistics([flat], SIX)
    assert mean == pytest.approx((0.25,) * 6)
    assert std == (1.0,) * 6, "nothing is divided by 0"
    with pytest.raises(SceneError, match="has data in swir16"):
        band_statistics([patch(bands=SIX[:4])], SIX)


def test_patches_of_which_nothing_is_known_are_left_out_without_teachers() -> None:
    half = patch()
    assert half.truth is not None
    truth = half.truth.copy()
    truth[:35] = UNKNOWN
    none = replace(half, truth=np.zeros_like(truth))
    low = replace(half, truth=np.full_like(truth, class_bits([CLEAR])))
    some = replace(low, truth=np.where(truth == UNKNOWN, UNKNOWN, low.truth).astype("uint8"))
    first, second = weight_by_variety([none, low, some], {}, (CLEAR, CLOUD, SHADOW))
    assert first.weight == pytest.approx(second.weight), "what is unknown has no say"
    assert weight_by_variety([half], {}, (CLEAR, CLOUD, SHADOW))[0].weight > first.weight


def test_simulated_ground_at_the_resolution_of_the_model(recipe: Recipe) -> None:
    found = simulate_patch(3, 96, recipe.bands, recipe.resolution)
    assert found.pixels.shape == (6, 96, 96)
    assert found.truth is not None
    cloud = found.truth == class_bits([CLOUD, THIN])
    assert cloud.any()
    assert found.pixels[0][cloud].mean() > 2 * found.pixels[0][~cloud].mean()


# --- learning -------------------------------------------------------------------------


def run(recipe: Recipe, out: Path, stop: Callable[[], bool] = lambda: False) -> list[float]:
    """Train in f32, and return the losses of this session."""
    steps = 0

    def counted() -> bool:
        nonlocal steps
        steps += 1
        return stop()

    history = train(recipe, out.parent, out, device="cpu", precision="f32", stop=counted)
    return history.losses[len(history.losses) - steps :]


def weights(out: Path) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in read_average(out).items()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[float]]:
    """The folder and the losses of a run from the first to the last step."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("CLEANSAT_THREADS", "1")
        return folder / "run", run(read_recipe(write(folder)), folder / "run")


def after(steps: int) -> Callable[[], bool]:
    """Says to stop after so many steps."""
    asked = iter(range(1, steps + 1))
    return lambda: next(asked) == steps


def test_a_run_that_is_stopped_goes_on_as_if_it_had_not_been(
    tmp_path: Path, recipe: Recipe, whole: tuple[Path, list[float]]
) -> None:
    folder, losses = whole
    threads = {thread.name for thread in threading.enumerate()}
    assert not any(name.startswith("tiles") for name in threads), "the preparing thread has ended"
    first = run(recipe, tmp_path / "parts", stop=after(4))
    second = run(recipe, tmp_path / "parts")
    assert (len(first), len(second)) == (4, 2)
    assert first + second == losses
    one, other = weights(folder), weights(tmp_path / "parts")
    assert all(np.array_equal(one[name], other[name]) for name in one)
    assert [row["step"] for row in read_rows(tmp_path / "parts")] == [3, 6]
    with (folder / "curves.png").open("rb") as file:
        assert file.read(4) == b"\x89PNG"
    changed = replace(recipe, schedule=replace(recipe.schedule, rate=1.0))
    with pytest.raises(ModelError, match="another rate; use another folder"):
        run(changed, tmp_path / "parts")
    with pytest.raises(ModelError, match="holds a run of the recipe tiny"):
        run(replace(recipe, name="other"), tmp_path / "parts")


def test_the_loss_falls_on_a_small_fixed_set(tmp_path: Path, recipe: Recipe) -> None:
    import torch

    class Fixed(TileSampler):
        """The same two mosaics and two single patches in turn."""

        def draw(self, number: int, *, single: bool = False) -> Tile:
            return super().draw(number % 2, single=single)

    torch.manual_seed(0)
    schedule = replace(recipe.schedule, steps=25, cooldown=5, rate=0.01, check=100, size=32)
    task = Task(recipe.classes, [0.2] * 6, [0.2] * 6, schedule)
    tiles = Fixed([patch()], SIX, size=32)
    losses = fit(untrained_network(recipe), tiles, tmp_path, task, F32).losses
    assert np.mean(losses[-4:]) < 0.6 * np.mean(losses[:4])


@pytest.mark.parametrize("fault", ["infinite", "unknown"])
def test_a_loss_that_cannot_be_learnt_from(tmp_path: Path, recipe: Recipe, fault: str) -> None:
    class Faulty(TileSampler):
        """From the fifth step on."""

        def draw(self, number: int, *, single: bool = False) -> Tile:
            tile = super().draw(number, single=single)
            if number < 8:
                return tile
            if fault == "infinite":
                return replace(tile, pixels=np.full_like(tile.pixels, np.inf))
            return replace(tile, truth=np.zeros_like(tile.truth))

    schedule = replace(recipe.schedule, size=32)
    task = Task(recipe.classes, [0.2] * 6, [0.2] * 6, schedule)
    tiles = Faulty([patch()], SIX, size=32)
    network = untrained_network(recipe)
    if fault == "unknown":
        fit(network, tiles, tmp_path, task, F32)
        assert read_rows(tmp_path)[-1]["step"] == 6
        return
    with pytest.raises(ModelError, match="not finite at step 5; lower the plan's rate"):
        fit(network, tiles, tmp_path, task, F32)
    assert [row["step"] for row in read_rows(tmp_path)] == [3]
    assert all(np.isfinite(values).all() for values in weights(tmp_path).values())


def test_a_network_with_dropout_goes_on_as_if_it_had_not_been_stopped(tmp_path: Path) -> None:
    architecture = {"name": "Unet", "encoder": "efficientnet-b0", "decoder_channels": [8] * 5}
    found = read_recipe(
        write(tmp_path, architecture=architecture, held_out=None, plan=plan(steps=4, size=32))
    )
    losses = run(found, tmp_path / "whole")
    parts = run(found, tmp_path / "parts", stop=after(2)) + run(found, tmp_path / "parts")
    assert parts == losses
    one, other = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert all(np.array_equal(one[name], other[name]) for name in one)


@pytest.fixture
def begun(tmp_path: Path, whole: tuple[Path, list[float]]) -> Path:
    """A copy of a run."""
    return Path(shutil.copytree(whole[0], tmp_path / "begun"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bands": [*SIX[:4], "swir22", "swir16"]}, "another bands"),
        ({"few": 3}, "another few"),
        ({"classes": ["cloud", "clear", "shadow"]}, "another classes"),
        ({"resolution": 20}, "another resolution"),
        ({"level": "L1C"}, "another level"),
        ({"haze": {"blue": 0.1}}, "another haze"),
        ({"held_out": {"sites": ["simulated 1"]}}, "now held out: simulated 1"),
    ],
)
def test_a_run_is_of_one_recipe(
    tmp_path: Path, begun: Path, changes: dict[str, object], message: str
) -> None:
    changed = read_recipe(write(tmp_path, **changes))
    with pytest.raises(ModelError, match=message):
        run(changed, begun)
    with pytest.raises(ModelError, match=message):
        export_model(changed, begun)


def test_a_run_of_an_earlier_version_goes_on(tmp_path: Path, begun: Path, recipe: Recipe) -> None:
    path = begun / SUMMARY
    found = json.loads(path.read_text())
    for key in ("recipe", "sites"):
        del found[key]
    path.write_text(json.dumps(found))
    assert export_model(recipe, begun)
    with pytest.raises(ModelError, match="another architecture"):
        export_model(replace(recipe, classes=(CLEAR, CLOUD)), begun)
    assert json.loads(path.read_text()) == found
    assert len(run(replace(recipe, schedule=replace(recipe.schedule, steps=7)), begun)) == 1
    summary = read_summary(begun)
    assert summary.recipe["classes"] == ["clear", "cloud", "shadow"]
    assert summary.sites == ("simulated 1",)
    held = {"data": [{"name": "sim", "simulated": [1], "size": 64}]}
    swapped = read_recipe(write(tmp_path, data=[{"simulated": [2], "size": 64}], held_out=held))
    with pytest.raises(ModelError, match="now held out: simulated 1"):
        run(swapped, begun)


def test_folders_that_cannot_be_used(tmp_path: Path, begun: Path, recipe: Recipe) -> None:
    from filelock import FileLock

    with FileLock(begun / ".lock"), pytest.raises(ModelError, match="another command is training"):
        run(recipe, begun)
    (begun / SUMMARY).write_text('{"name": "ti')
    with pytest.raises(ModelError, match=f"{SUMMARY} is spoilt"):
        export_model(recipe, begun)
    (begun / SUMMARY).unlink()
    checkpoint = begun / "checkpoint.pt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:10_000])
    with pytest.raises(ModelError, match="delete it to begin anew"):
        run(recipe, begun)
    checkpoint.unlink()
    checkpoint.mkdir()
    with pytest.raises(ModelError, match=r"cannot read .*directory") as caught:
        run(recipe, begun)
    assert "delete" not in str(caught.value)


def test_what_cannot_be_done_is_said_before_data_are_read(
    tmp_path: Path, begun: Path, recorder: Recorder
) -> None:
    import torch

    missing = {"data": [{"archive": "none.npz"}], "held_out": None}
    architecture = {"name": "Unet", "encoder": "mobilnet"}
    found = read_recipe(write(tmp_path, architecture=architecture, **missing))
    with pytest.raises(ModelError, match="cannot build"):
        train(found, tmp_path, tmp_path / "run", reporter=recorder)
    found = read_recipe(write(tmp_path, plan=plan(rate=1.0), **missing))
    with pytest.raises(ModelError, match="another rate"):
        train(found, tmp_path, begun, reporter=recorder)
    if not torch.cuda.is_available():
        with pytest.raises(ModelError, match="no CUDA device"):
            train(found, tmp_path, tmp_path / "run", device="cuda", reporter=recorder)
    assert not recorder.lines


def test_the_model_is_not_written_over_the_recipe(tmp_path: Path, recipe: Recipe) -> None:
    text = recipe.path.read_text()
    few = recipe.path.rename(tmp_path / "tiny-4b.yaml")
    for path in (recipe.path, few):
        path.write_text(text)
        for act in (run, export_model):
            with pytest.raises(ModelError, match="where the model's document would be written"):
                act(replace(recipe, path=path), tmp_path)  # type: ignore[operator]
        assert path.read_text() == text
        assert not (tmp_path / SUMMARY).exists()


def test_curves_of_groups_that_have_no_measure(tmp_path: Path) -> None:
    progress = History(step=3, losses=[1.0])
    add_row(tmp_path, progress, {"good": 0.9, "odd": float("nan")})
    assert draw_curves(tmp_path) == tmp_path / "curves.png"
    add_row(tmp_path, History(step=6, losses=[1.0]), {"odd": float("nan")})
    assert draw_curves(tmp_path) is not None


def test_a_killed_run_goes_on_from_its_last_checkpoint(
    tmp_path: Path, recipe: Recipe, whole: tuple[Path, list[float]]
) -> None:
    """It is killed between two steps, some steps after the last checkpoint."""
    folder, losses = whole
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from odc_cleansat.training import read_recipe, train\n"
        "steps = iter(range(1, 10))\n"
        "def stop():\n"
        "    if next(steps) == 5: os.kill(os.getpid(), signal.SIGKILL)\n"
        "train(read_recipe(sys.argv[1]), Path('.'), Path(sys.argv[2]), device='cpu', precision='f32',"
        " stop=stop)\n"
    )
    arguments = [sys.executable, "-W", "ignore", "-c", program, recipe.path, tmp_path / "killed"]
    assert subprocess.run(arguments, timeout=100, check=False).returncode == -signal.SIGKILL
    rest = run(recipe, tmp_path / "killed")
    assert rest == pytest.approx(losses[3:], rel=1e-5), "the checkpoint was at step 3"
    one, other = weights(folder), weights(tmp_path / "killed")
    for name in one:
        # Another process may add up in another order.
        assert np.allclose(one[name], other[name], rtol=1e-4, atol=1e-6), name


def test_a_teacher_is_imitated(tmp_path: Path) -> None:
    """With a real teacher, on tiles of all bands and of four: first the same losses for the same seed."""
    names = ["unet-efficientnetb4-l2a-6b", "unet-efficientnetb4-l2a-4b"]
    path = write(
        tmp_path,
        teachers=names,
        classes=None,
        resolution=None,
        plan=plan(steps=2, teacher=1, truth=0.1),
    )
    found = read_recipe(path)
    assert found.classes == get_model(names[0]).classes
    first, again = (run(found, tmp_path / name) for name in ("one", "two"))
    assert first == again
    (row,) = read_rows(tmp_path / "one")
    assert set(row) - {"step", "seconds", "loss"} == {
        f"sim-{n}{end}" for n in (4, 6) for end in ("", " label")
    }


def test_the_model_that_comes_of_it(
    tmp_path: Path, recipe: Recipe, whole: tuple[Path, list[float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    out = whole[0]
    files = export_model(recipe, out)
    assert [path.name for path in files] == [
        "tiny.yaml", "tiny-4b.yaml", "tiny.safetensors", "tiny.md", "tiny.png",
    ]  # fmt: skip
    monkeypatch.setenv("CLEANSAT_MODELS", str(tmp_path / "models"))
    done = CliRunner().invoke(main, ["models", "import", str(files[0])])
    assert done.exit_code == 0, done.output
    model = get_model("tiny")
    scene = simulate_patch(9, 64, recipe.bands, recipe.resolution).pixels[None]
    probabilities = get_engine(model, "torch", "f32")(scene)
    # Weights in half precision change no class to speak of.
    network = untrained_network(recipe)
    network.load_state_dict(read_average(out))
    mean, std = (np.array(v, "float32")[:, None, None] for v in (model.mean, model.std))
    with torch.inference_mode():
        full = network.eval()(torch.from_numpy((scene - mean) / std)).numpy()
    assert np.mean(full.argmax(1) == probabilities.argmax(1)) > 0.999
    openvino = get_engine(model, "openvino", "f32")(scene)
    assert np.abs(openvino - probabilities).max() < 1e-3
    four = read_model(files[1])
    assert four.bands == SIX[:4]
    lacking = scene.copy()
    lacking[:, 4:] = np.array(model.mean[4:], "float32")[:, None, None]
    same = get_engine(four, "torch", "f32")(scene[:, :4])
    assert np.abs(same - get_engine(model, "torch", "f32")(lacking)).max() < 1e-5
    card = files[3].read_text()
    for text in (
        "CC0-1.0",
        "simulated scenes 1",
        "sim-6",
        model.sha256,
        "![Learning curves](tiny.png)",
    ):
        assert text in card
    other = replace(recipe, classes=(CLEAR, CLOUD))
    with pytest.raises(ModelError, match="another classes"):
        export_model(other, out)
    with pytest.raises(ModelError, match="there is no run"):
        export_model(recipe, tmp_path / "none")


# --- the command ----------------------------------------------------------------------


def test_the_command_trains_and_goes_on(tmp_path: Path, recipe: Recipe) -> None:
    arguments = ["train", str(recipe.path), "--out", str(tmp_path / "run"), "--device", "cpu"]
    done = CliRunner().invoke(main, [*arguments, "--steps", "3"])
    assert done.exit_code == 0, done.output
    assert "agreement, %: sim-6" in done.output
    assert "cleansat models import" in done.output
    first = (tmp_path / "run" / "tiny.safetensors").read_bytes()
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    assert "Going on after step 3" in done.output
    assert (tmp_path / "run" / "tiny.safetensors").read_bytes() != first
    (tmp_path / "run" / "tiny.safetensors").unlink()
    done = CliRunner().invoke(main, [*arguments, "--export-only"])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "run" / "tiny.safetensors").exists()
    assert (tmp_path / "run" / SUMMARY).exists()


@pytest.fixture
def endless(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """The command, with far too many steps to do."""
    path = write(tmp_path, plan=plan(steps=100_000, check=50_000))
    program = "import sys; from odc_cleansat.cli.main import main; main(sys.argv[1:])"
    arguments = ["train", path, "--out", tmp_path / "a run", "--device", "cpu"]
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", program, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"CLEANSAT_THREADS": "1"},
    )
    yield process
    process.kill()
    process.wait()


def test_ctrl_c_saves_a_checkpoint_and_says_how_to_go_on(
    tmp_path: Path, endless: subprocess.Popen[str]
) -> None:
    assert endless.stdout is not None
    for line in endless.stdout:
        if "s a step: about" in line:
            break
    began = time.monotonic()
    endless.send_signal(signal.SIGINT)
    rest, _ = endless.communicate(timeout=40)
    assert time.monotonic() - began < 30
    assert endless.returncode == 130
    (again,) = [line for line in rest.splitlines() if line.startswith("Stopped.")]
    assert shlex.split(again.partition(": ")[2]) == [
        "cleansat", "train", str(tmp_path / "tiny.yaml"), "--out", str(tmp_path / "a run"), "--device", "cpu",
    ]  # fmt: skip
    assert "--export-only" in rest
    assert (tmp_path / "a run" / "checkpoint.pt").exists()


def test_commands_that_cannot_be_done(tmp_path: Path, recipe: Recipe) -> None:
    out = str(tmp_path / "none")
    for arguments, code, message in (
        (["--export-only"], 1, "there is no run in"),
        (["--hours", "0"], 2, "not in the range"),
    ):
        done = CliRunner().invoke(main, ["train", str(recipe.path), "--out", out, *arguments])
        assert done.exit_code == code, done.output
        assert message in done.output


def test_clouds_can_be_laid_over_every_band() -> None:
    from odc_cleansat.scenes.bands import S2_BANDS

    bands = tuple(band for band in S2_BANDS if band != "scl")
    half = np.full((4, 4), 0.5, "float32")
    seen = CloudLayer(half, half, half).over(np.full((len(bands), 4, 4), 0.1, "float32"), bands)
    assert np.isfinite(seen).all()
