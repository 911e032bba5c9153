"""Days in names of masks."""

from __future__ import annotations

from datetime import date

import pytest

from odc_cleansat.errors import SceneError
from odc_cleansat.scenes.days import check_days, days_in_name, moments_in_name


@pytest.mark.parametrize(
    ("name", "days"),
    [
        ("S2B_MSIL2A_20240615T100559_N0510_R022_T33UVP_20240616T110000_fmask.tif", {"2024-06-15", "2024-06-16"}),
        ("ga_s2bm_oa_3-2-1_56KKB_2021-06-15_final_fmask.tif", {"2021-06-15"}),
        ("HLS.S30.T13TEF.2024167T174911.v2.0.Fmask.tif", {"2024-06-15"}),
        ("/2019-01-01/S2A_33UVP_20240615_0_L2A_cld.tif?sig=20200101", {"2024-06-15"}),
        ("fmask.tif", set()),
        ("mask_20241399.tif", set()),
        ("120240615.tif", set()),
    ],
)  # fmt: skip
def test_days(name: str, days: set[str]) -> None:
    assert days_in_name(name) == {date.fromisoformat(day) for day in days}


def test_moments_have_a_time_of_day() -> None:
    assert moments_in_name("label_20250101_20240615T100559.tif") == {date(2024, 6, 15)}


def test_a_mask_of_another_day_is_refused() -> None:
    scene = {date(2024, 6, 15)}
    for right in (
        "fmask.tif",
        "x_20240615.tif",
        "x_2024-06-16.tif",
        "x_20240615_made_20250101.tif",
    ):
        check_days(right, scene)
    check_days("x_20240617.tif", set())
    with pytest.raises(SceneError, match="2024-06-17, and the scene is of 2024-06-15"):
        check_days("x_20240617.tif", scene)
