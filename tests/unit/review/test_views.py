"""Views: parts of scenes with their masks, compared on one grid."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import Cube

from odc_cleansat.errors import SceneError
from odc_cleansat.evaluate.mappings import get_mapping
from odc_cleansat.evaluate.rasters import ClassRaster
from odc_cleansat.grids.footprint import lonlat_footprint
from odc_cleansat.products import MaskProduct
from odc_cleansat.review.views import MaskedFiles, compare_view
from odc_cleansat.scenes.files import SceneFiles


def masked(cube: Cube, name: str) -> MaskedFiles:
    product = MaskProduct.of_dataset(cube.masks[name])
    return MaskedFiles(SceneFiles.of_dataset(cube.scenes[name]), product)


def test_two_dates_in_order_on_one_grid(cube: Cube) -> None:
    found = compare_view([masked(cube, "july"), masked(cube, "june")], pixels=40_000)
    assert [frame.date[:7] for frame in found.frames] == ["2024-06", "2024-07"]
    assert np.prod(found.grid.shape) * 2 <= 40_000
    for frame in found.frames:
        assert [layer.key for layer in frame.layers] == ["scl", "ucl", "confidence"]
        # The offsets of the two dates differ, and the ground is the same.
        assert 0 < np.nanmedian(frame.rgb) < 0.5


def test_a_part(cube: Cube) -> None:
    west, south, east, north = lonlat_footprint(cube.scenes["june"].extent).geom.bounds
    box = (west, south, (west + east) / 2, (south + north) / 2)
    part = compare_view([masked(cube, "june")], box)
    whole = compare_view([masked(cube, "june")])
    assert np.prod(part.grid.shape) == pytest.approx(np.prod(whole.grid.shape) / 4, rel=0.1)


def test_what_cannot_be_compared(cube: Cube) -> None:
    june = masked(cube, "june")
    with pytest.raises(SceneError, match="no scene"):
        compare_view([])
    with pytest.raises(SceneError, match="same time"):
        compare_view([june, june])
    with pytest.raises(SceneError, match="no mask yet"):
        compare_view([MaskedFiles(SceneFiles.of_dataset(cube.scenes["west"]))])
    with pytest.raises(SceneError, match="outside"):
        compare_view([june], (100, 10, 101, 11))


def test_masks_by_others(cube: Cube) -> None:
    views = []
    for name in ("june", "july"):
        view = masked(cube, name)
        file = view.scene.files["scl"]
        raster = ClassRaster(file.uri, get_mapping("scl"), file.band)
        views.append(replace(view, others={"theirs": raster}))
    for found in (compare_view(views[:1]), compare_view(views, pixels=40_000)):
        for frame in found.frames:
            layers = {layer.key: layer for layer in frame.layers}
            np.testing.assert_array_equal(layers["other:theirs"].codes, layers["scl"].codes)
            assert frame.others["theirs"] == frame.agreement
    alone = compare_view([views[0], masked(cube, "july")], pixels=40_000)
    assert "other:theirs" not in {layer.key for layer in alone.frames[0].layers}
