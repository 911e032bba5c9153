"""Refining as people choose it: names, which mask is shown, and refining by other dates."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID, uuid4

import pytest
from conftest import Cube

from odc_cleansat.app.refining import REFINE, argument, best_mask, name_of, refine_by_dates
from odc_cleansat.app.service import Service
from odc_cleansat.app.settings import Limits
from odc_cleansat.cube.catalogue import MaskRow
from odc_cleansat.cube.over_time import check_refine
from odc_cleansat.errors import CubeError
from odc_cleansat.models.registry import DEFAULTS
from odc_cleansat.products.product import MaskProduct

from .conftest import Page

AREA = "13.67,47.78,13.72,47.82"


@pytest.mark.parametrize("by", REFINE)
def test_each_choice_is_one_of_load(by: str) -> None:
    check_refine(argument(by))


def test_the_mask_that_is_shown_is_by_light_and_of_one_date() -> None:
    model = next(iter(DEFAULTS))
    plain = MaskRow(uuid4(), model, None, None)
    lit = MaskRow(uuid4(), model, None, None, light=True)
    dates = MaskRow(uuid4(), model, None, None, light=True, dates="hindsight")
    other = MaskRow(uuid4(), "other", None, None, light=True)
    assert best_mask([other, dates, plain, lit]) == lit
    assert best_mask([other, plain]) == plain
    assert best_mask([]) is None
    assert len({name_of(mask) for mask in (plain, lit, dates, other)}) == 4


def test_a_scene_without_a_mask(service: Service, cube: Cube) -> None:
    with pytest.raises(CubeError, match="mask it first"):
        service.refine_by_dates(cube.scenes["west"].id, hindsight=True)


def test_a_whole_tile_is_too_much_for_a_page(cube: Cube, tmp_path: Path) -> None:
    limits = Limits(pixels=100)
    with pytest.raises(CubeError, match="cleansat refine"):
        refine_by_dates(cube.dc, cube.scenes["july"], str(tmp_path), limits, hindsight=False)
    assert not any(tmp_path.iterdir())


def test_a_scene_is_refined_once(
    service: Service, cube: Cube, monkeypatch: pytest.MonkeyPatch
) -> None:
    def index(dc: object, document: Path) -> tuple[MaskProduct, list[object]]:
        return MaskProduct(document), []  # the datacube of these tests is only read

    monkeypatch.setattr("odc_cleansat.app.refining.index_refined", index)
    made = service.refine_by_dates(cube.scenes["june"].id, hindsight=True)
    (document,) = Path(service.settings.store).rglob("*.odc-metadata.yaml")
    product = MaskProduct(document)
    assert product.id == made
    assert product.properties["cleansat:refined"] == "hindsight"
    written = document.stat().st_mtime_ns
    assert service.refine_by_dates(cube.scenes["june"].id, hindsight=True) == made
    assert document.stat().st_mtime_ns == written


def test_the_page_look_shows_what_other_dates_give(
    page: Page, cube: Cube, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[UUID, bool]] = []
    june, july = cube.scenes["june"].id, cube.masks["july"].id

    def refine(self: Service, scene: UUID, hindsight: bool) -> UUID:
        made.append((scene, hindsight))
        return july

    rows = (
        MaskRow(cube.masks["june"].id, "unet", None, None, light=True),
        MaskRow(july, "unet", None, None, light=True, dates="earlier"),
    )
    monkeypatch.setattr(Service, "masks_of", lambda self, scene: rows)
    monkeypatch.setattr(Service, "refine_by_dates", refine)
    app = page("view_page", {"show": f"{june}.-", "dates": "earlier"})
    assert not app.error
    next(each for each in app.button if each.label == "Refine").click().run()
    assert made == [(june, False)]
    assert str(july) in str(app.query_params["show"])
    (which,) = [each for each in app.selectbox if each.label.startswith("Mask of")]
    assert which.value == july, "the choice of before must not win"


def test_the_switch_of_light_decides_what_is_asked_for(
    page: Page, cube: Cube, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[UUID, bool]] = []

    def ask(self: Service, scenes: list[UUID], person: str, area: object, *, light: bool) -> None:
        asked.append((scenes[0], light))

    monkeypatch.setattr(Service, "ask", ask)
    app = page("scenes_page", {"time": "2024-06", "area": AREA})
    assert app.toggle(key="light").value, "on by default"
    assert "time='2024-06'" in app.code[0].value
    assert "refine" not in app.code[0].value
    june = list(app.dataframe[0].value.id).index(str(cube.scenes["june"].id))
    app.session_state["scene_table"] = {"selection": {"rows": [june], "columns": [], "cells": []}}
    app.run()
    labels = {each.label for each in app.button}
    assert "Mask" in labels, "the scene has a mask that light refined"
    app.toggle(key="light").set_value(False).run()
    assert "refine=False" in app.code[0].value
    compile(app.code[0].value, "lines", "exec")
    next(each for each in app.button if each.label == "Mask 1 scene").click().run()
    assert asked == [(cube.scenes["june"].id, False)]


def test_the_address_may_leave_light_out(page: Page) -> None:
    assert not page("scenes_page", {"light": "false"}).toggle(key="light").value
