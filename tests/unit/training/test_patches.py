"""Patches at other resolutions, read from archives, held out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from odc_cleansat.errors import SceneError
from odc_cleansat.training.patches import Patch, hold_out, read_archive
from odc_cleansat.training.truths import class_bits
from unit.training.helpers import CLEAR, CLOUD, SIX, patch


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
