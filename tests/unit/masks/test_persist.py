"""`persist`: shares of dates, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from odc_cleansat.errors import SceneError
from odc_cleansat.masks import persist

from .series import little

# A row of pixels by date: always cloud, shadow once, thin cloud and snow, no data, water.
CODES = [[2, 3, 6, 0, 5], [2, 1, 4, 0, 5], [2, 1, 1, 0, 0], [2, 1, 1, 0, 0]]


def scene() -> xr.Dataset:
    made = little(CODES, [[1] * 5] * 4)
    scl = np.array([[9, 4, 4, 0, 6], [9, 4, 3, 0, 6], [4, 4, 10, 0, 6], [4, 4, 8, 0, 6]], "uint8")
    return made.assign(SCL=made.ucl.copy(data=scl[:, None]))


def test_shares_of_the_dates_with_data() -> None:
    found = persist(scene())
    rows = {name: found[name].values[0].round(2).tolist() for name in found.data_vars}
    none = pytest.approx(np.nan, nan_ok=True)
    assert rows["cloud_share"] == [1, 0, 0.25, none, 0]
    assert rows["shadow_share"] == [0, 0.25, 0, none, 0]
    assert rows["clear_share"] == [0, 0.75, 0.75, none, 1]
    assert rows["scl_cloud_share"] == [0.5, 0, 0.5, none, 0]
    assert rows["scl_shadow_share"] == [0, 0, 0.25, none, 0]
    assert rows["date_count"] == [4, 4, 4, 0, 2]
    assert {str(found[n].dtype) for n in rows} == {"float32", "uint16"}
    assert found.odc.geobox == scene().odc.geobox


def test_dask_gives_the_same() -> None:
    lazy = persist(scene().chunk({"time": 1, "x": 2}))
    assert lazy.scl_cloud_share.chunks is not None
    xr.testing.assert_equal(lazy.compute(), persist(scene()))


def test_without_scl_there_are_shares_of_the_ucl_alone() -> None:
    found = persist(scene().drop_vars("SCL"))
    assert [*found.data_vars] == ["cloud_share", "shadow_share", "clear_share", "date_count"]


def test_what_has_no_dates_or_no_codes_is_said() -> None:
    with pytest.raises(SceneError, match="load several dates with masks"):
        persist(scene().isel(time=0))
    with pytest.raises(SceneError, match="`ucl` is float64"):
        persist(scene().assign(ucl=scene().ucl.astype("float64")))
