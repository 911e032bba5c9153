"""The page to recall masks."""

from __future__ import annotations

from typing import Any

import pytest
import xarray as xr
from conftest import Cube

from odc_cleansat.app.service import Service

from .conftest import Page

AREA = "13.67,47.78,13.72,47.82"


def test_the_size_is_told_and_the_lines_are_shown(page: Page, cube: Cube) -> None:
    app = page(
        "recall_page", {"area": AREA, "time": "2024-06", "crs": "EPSG:32633", "resolution": "60"}
    )
    assert not app.exception
    assert not app.error, app.error[0].value
    assert "pixels, 1 time, 1 layer" in app.markdown[-1].value
    assert "resolution=60.0" in app.code[0].value
    compile(app.code[0].value, "lines", "exec")


def test_without_an_area(page: Page) -> None:
    assert "Choose an area" in page("recall_page").info[0].value


def test_too_large(page: Page) -> None:
    app = page("recall_page", {"area": AREA, "crs": "EPSG:32633", "resolution": "0.05"})
    assert "at most" in app.error[0].value


def test_a_grid_of_billions_is_refused_before_it_is_planned(page: Page) -> None:
    app = page("recall_page", {"area": AREA, "crs": "EPSG:32633", "resolution": "0.0005"})
    assert "coarser resolution" in app.error[0].value


@pytest.mark.parametrize("crs", ["/etc/passwd", "+proj=utm +zone=33 +nadgrids=/etc/passwd", "x"])
def test_a_coordinate_system_is_a_code(page: Page, crs: str) -> None:
    app = page("recall_page", {"area": AREA, "crs": crs})
    assert "such as EPSG" in app.error[0].value


def test_no_mask_there(page: Page) -> None:
    app = page("recall_page", {"area": AREA, "time": "1999"})
    assert "no mask" in app.error[0].value.lower()


def test_how_is_what_the_address_says(page: Page) -> None:
    where = {"area": AREA, "time": "2024-06", "crs": "EPSG:32633", "resolution": "60"}
    app = page("recall_page", {**where, "how": "mode"})
    assert not app.error, app.error[0].value
    assert "how='mode'" in app.code[0].value
    app.selectbox(key="how").set_value("any_cloud").run()
    assert app.query_params["how"] in ("any_cloud", ["any_cloud"])
    app = page("recall_page", {**where, "how": "worst"})
    assert "how=worst is none of nearest" in app.warning[0].value.replace("\\", "")
    assert "how='nearest'" in app.code[0].value


@pytest.mark.filterwarnings("ignore:no data in ucl where 1 of")
def test_masks_refined_by_other_dates(
    page: Page, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = {"area": AREA, "time": "2024-06", "crs": "EPSG:32633", "resolution": "60"}
    app = page("recall_page", {**where, "refine": "time"})
    assert not app.error, app.error[0].value
    assert [each.key for each in app.selectbox] == ["refine"], (
        "each pixel has one way to be refined"
    )
    lines = app.code[0].value
    assert "refine='time'" in lines
    next(each for each in app.button if each.label == "Make it").click().run()
    assert not app.error, app.error[0].value
    made = app.session_state["recalled"].masks
    assert made.ucl.attrs["refined"] == "hindsight"
    monkeypatch.setattr("datacube.Datacube", lambda: service.dc)
    names: dict[str, Any] = {}
    exec(lines, names)
    kept = names["masks"].ucl.sel(time=made.time)
    xr.testing.assert_equal(kept, made.ucl)


def test_what_was_made_is_offered_for_the_same_request_alone(page: Page) -> None:
    where = {"area": AREA, "time": "2024-06", "crs": "EPSG:32633", "resolution": "60"}
    app = page("recall_page", where)
    next(each for each in app.button if each.label == "Make it").click().run()
    assert not app.error, app.error[0].value
    assert len(app.get("download_button")) == 2
    made = app.session_state["recalled"]
    assert f"masks = {made.request}" in app.code[0].value
    app.toggle(key="only_accepted").set_value(True).run()
    assert not app.get("download_button"), "masks that nobody has accepted are another result"
