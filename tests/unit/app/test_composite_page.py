"""The page to make composites."""

from __future__ import annotations

from typing import Any

import pytest
import xarray as xr
from conftest import Cube

from odc_cleansat.app.service import Service

from .conftest import Page

AREA = "13.67,47.78,13.72,47.82"


def test_dates_can_be_left_out_and_the_lines_are_shown(page: Page, cube: Cube) -> None:
    app = page("composite_page", {"area": AREA, "resolution": "60"})
    assert not app.exception
    assert not app.error, app.error[0].value
    assert app.multiselect[0].value == ["2024-06-15", "2024-07-05"]
    assert "2 times" in app.markdown[-1].value
    compile(app.code[0].value, "lines", "exec")
    app.multiselect[0].set_value(["2024-06-15"]).run()
    assert "1 time," in app.markdown[-1].value
    assert "2024-06-15" in app.code[0].value


@pytest.mark.parametrize(
    ("refine", "said"), [("light", "refine"), ("plain", "refine=False"), ("time", "refine='time'")]
)
def test_the_lines_give_what_the_page_makes(
    page: Page, service: Service, monkeypatch: pytest.MonkeyPatch, refine: str, said: str
) -> None:
    app = page("composite_page", {"area": AREA, "resolution": "60", "refine": refine})
    app.multiselect[0].set_value(["2024-06-15"]).run()
    lines = app.code[0].value
    assert (said in lines) == (refine != "light")
    next(each for each in app.button if each.label == "Make it").click().run()
    assert not app.exception
    made = app.session_state["composite"].by["UCL"]
    monkeypatch.setattr("datacube.Datacube", lambda: service.dc)
    names: dict[str, Any] = {}
    exec(lines, names)
    for band in ("red", "green", "blue", "clear_count"):
        xr.testing.assert_equal(names["clean"][band], made[band])


def test_no_date_is_left(page: Page) -> None:
    app = page("composite_page", {"area": AREA, "resolution": "60"})
    app.multiselect[0].set_value([]).run()
    assert "one date" in app.info[-1].value


def test_no_scene_there(page: Page) -> None:
    app = page("composite_page", {"area": "100,10,100.1,10.1"})
    assert "no scene" in app.error[0].value.lower()
