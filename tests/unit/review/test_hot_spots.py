"""Where UCL and SCL disagree most."""

from __future__ import annotations

import numpy as np
import pytest
from odc.geo.geobox import GeoBox

from odc_cleansat import CloudClass
from odc_cleansat.review.hot_spots import hot_spots
from unit.review.helpers import CLEAR, CLOUD, SHADOW, UTM


def test_hot_spots_are_where_two_masks_differ() -> None:
    ucl = np.full((320, 320), CLEAR, dtype="uint8")
    scl = ucl.copy()
    scl[40:60, 60:80] = CLOUD  # all of a cell, the fourth of the third row
    scl[200:210, 300:320] = SHADOW  # half of another
    scl[:, 0] = 0
    found = hot_spots(ucl, scl, UTM)
    assert (found.side, found.columns) == (20, 16)
    assert [each.cell for each in found.spots] == [2 * 16 + 3, 10 * 16 + 15]
    assert [each.percent for each in found.spots] == [100, 50]
    assert (found.spots[0].ucl, found.spots[0].scl) == ("clear", "cloud")
    assert found.spots[1].scl == "cloud shadow"
    assert found.percent.count(0) == 254
    assert found.score == pytest.approx(150 / 26)  # the worst tenth of 256 cells
    lat, lon = (float(part.split("°")[0]) for part in found.spots[0].place.split(", "))
    x, y = UTM.crs.transformer_to_crs("EPSG:4326")([399960 + 70 * 20], [5300040 - 50 * 20])
    assert (lon, lat) == (pytest.approx(x[0], abs=1e-4), pytest.approx(y[0], abs=1e-4))


def test_hot_spots_need_data_and_know_kinds_of_cloud_as_one() -> None:
    ucl = np.full((100, 70), CloudClass.THIN_CLOUD, dtype="uint8")
    scl = np.full((100, 70), CLOUD, dtype="uint8")
    grid = GeoBox((100, 70), UTM.affine, UTM.crs)
    found = hot_spots(ucl, scl, grid)
    assert (found.score, found.spots, found.columns) == (0, (), 10)
    nothing = hot_spots(ucl, np.zeros_like(scl), grid)
    assert np.isnan(nothing.score)
    assert set(nothing.percent) == {None}
    ucl[...] = CloudClass.WATER
    scl[...] = CloudClass.SNOW
    assert hot_spots(ucl, scl, grid).score == 0  # both are clear of cloud
