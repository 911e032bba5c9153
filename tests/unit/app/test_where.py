"""Area, time and grid, which several pages ask for."""

from __future__ import annotations

import pytest

from odc_cleansat.app.where import PLACED

from .conftest import Page


def test_whoever_comes_back_finds_the_same_scenes(page: Page) -> None:
    app = page("scenes_page", {"time": "2024-06"})
    app.query_params["show"] = "x"
    app.run()
    assert "show" not in app.query_params
    assert app.text_input(key="time").value == "2024-06"


@pytest.mark.parametrize("title", ["Scenes", "Recall", "Composite", "Queue"])
def test_a_page_has_the_fields_that_it_needs(page: Page, title: str) -> None:
    app = page(f"{title.lower()}_page")
    names = {each.key for each in [*app.text_input, *app.number_input]}
    wanted = {"area", "time"} if title in PLACED else set()
    assert names == wanted | ({"crs", "resolution"} if title in ("Recall", "Composite") else set())


def test_an_upload_is_told_to_be_no_area_on_each_page(page: Page) -> None:
    app = page("recall_page")
    app.file_uploader[0].set_value(("area.geojson", b"\xff no area", "application/json")).run()
    words = app.error[0].value
    assert "is no area" in words
    text = b'{"type": "Polygon", "coordinates": [[[13, 47], [13.1, 47], [13.1, 47.1], [13, 47]]]}'
    app.file_uploader[0].set_value(("area.geojson", text, "application/json")).run()
    assert words not in [each.value for each in app.error]
    assert app.text_input(key="area").value.startswith("13")
