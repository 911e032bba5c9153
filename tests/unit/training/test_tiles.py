"""Tiles are drawn from patches, with their truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from odc_cleansat.training.patches import Patch, hold_out
from odc_cleansat.training.spoiling import FEWER_BANDS, KINDS, PHASE
from odc_cleansat.training.tiles import Tile, TileSampler
from odc_cleansat.training.truths import class_bits
from unit.training.helpers import CLEAR, CLOUD, SIX, THIN, patch


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


def test_tiles_of_scenes_of_any_shape() -> None:
    for shape in ((40, 300), (300, 40), (70, 64)):
        scene = np.full((6, *shape), 0.1, "float32")
        tiles = TileSampler([Patch(scene, SIX, 30, "L2A", "a")], SIX, size=64)
        for number in range(20):
            assert tiles.draw(number).pixels.shape[1:] == (64, 64)
            assert tiles.draw(number, single=True).pixels.shape[1:] == (32, 32)


def test_the_same_lesson_is_spoilt_in_another_way_at_another_step() -> None:
    spoilt = dict.fromkeys(KINDS, 0.5)
    tiles = TileSampler([patch(side=100)], SIX, few=4, size=64, spoilt=spoilt, thin_cloud=0.5)
    for lesson in (0, 1):
        first, second, again = (
            tiles.batch(step, 2, lesson) for step in (lesson, lesson + 2, lesson + 2)
        )
        for one, other, same in zip(first, second, again, strict=True):
            np.testing.assert_array_equal(one.sharp, other.sharp)
            assert one.pixels.shape != other.pixels.shape or (one.pixels != other.pixels).any()
            np.testing.assert_array_equal(other.pixels, same.pixels)
            np.testing.assert_array_equal(other.veil, same.veil)
            assert np.isfinite(other.pixels).all()


def test_the_network_may_see_fewer_bands_than_the_teacher() -> None:
    tiles = TileSampler([patch()], SIX, few=4, size=64, spoilt={FEWER_BANDS: 0.5})
    drawn = [tiles.draw(number) for number in range(40)]
    assert {tile.kind for tile in drawn} == {("L2A", 6)}
    assert 10 <= sum(tile.bands == SIX[:4] for tile in drawn) <= 30
    for tile in drawn:
        np.testing.assert_array_equal(tile.pixels, tile.sharp[: len(tile.bands)])


def test_what_is_moved_is_moved_as_a_whole() -> None:
    """Pixels, truth and thin cloud lie as before beside each other, and what fills the edges does not count."""
    each = [patch(str(i), i) for i in range(3)]
    still, moved = (
        TileSampler(each, SIX, size=64, spoilt={PHASE: share}, thin_cloud=1.0) for share in (0, 1)
    )
    veils = 0
    for number in range(20):
        one, other = still.draw(number), moved.draw(number)
        down, right = other.phase
        assert one.counted.all()
        assert other.counted[: 64 - down, : 64 - right].all()
        assert other.counted.sum() == (64 - down) * (64 - right)
        for name in ("pixels", "truth", "veil"):
            before, after = getattr(one, name), getattr(other, name)
            np.testing.assert_array_equal(
                after[..., : 64 - down, : 64 - right], before[..., down:, right:]
            )
        veils += (one.veil == class_bits([THIN])).any()
        np.testing.assert_array_equal(one.sharp, other.sharp)
    assert veils > 8


def test_thin_cloud_is_brighter_than_what_the_teacher_sees() -> None:
    dark = Patch(np.full((6, 64, 64), 0.05, "float32"), SIX, 30, "L2A", "a")
    tiles = TileSampler([dark], SIX, size=64, spoilt={}, thin_cloud=1.0)
    none = TileSampler([dark], SIX, size=64, spoilt={})
    changes = []
    for number in range(20):
        tile = tiles.draw(number)
        thin = (tile.veil == class_bits([THIN])) & (tile.sharp[0] < 0.15)
        changes.append((tile.pixels[0] - tile.sharp[0])[thin])
        assert not none.draw(number).veil.any()
        np.testing.assert_array_equal(none.draw(number).sharp, tile.sharp)
    changed = np.concatenate(changes)
    assert changed.size > 10_000
    assert (changed > 0.01).mean() > 0.9, "the rest lies in shadow"
