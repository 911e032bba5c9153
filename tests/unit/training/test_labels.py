"""Labelled patches in the layouts of public datasets."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from benchmark_data import a_scene, write_taco

from odc_cleansat import CloudClass
from odc_cleansat.errors import SceneError
from odc_cleansat.training.labels import TACO, read_labels, read_scene
from odc_cleansat.training.truths import UNKNOWN, class_bits
from unit.training.helpers import CLEAR, CLOUD, SHADOW, SIX, THIN, halves, raster


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


def test_labels_of_cloudsen12plus(tmp_path: Path) -> None:
    scenes = [a_scene(seed) for seed in (1, 2, 3)]
    file = tmp_path / "cloudsen12-l2a.0000.part.taco"
    write_taco(file, scenes, splits=["train", "validation", "train"])
    found = read_labels(tmp_path, TACO, SIX, finest=20)
    assert [p.site for p in found] == ["ROI_00000", "ROI_00002"]
    assert all(p.bands == SIX and p.pixels.shape == (6, 256, 256) for p in found)
    (other,) = read_labels(tmp_path, TACO, SIX, split="validation")
    assert other.resolution == pytest.approx(10, rel=0.01)
    data = scenes[1].to_xarray(10).isel(time=0, y=slice(509), x=slice(509))
    np.testing.assert_allclose(other.pixels[0, :509, 3:], data.B02.values / 1e4, rtol=1e-3)
    assert np.isnan(other.pixels[:, :, :3]).all()
    assert other.truth is not None
    for cls, code in (
        (CLEAR, CloudClass.CLEAR),
        (CLOUD, CloudClass.CLOUD),
        (SHADOW, CloudClass.SHADOW),
    ):
        told = other.truth[:509, 3:][data.truth.values == code]
        assert (told & class_bits([cls])).all()


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
