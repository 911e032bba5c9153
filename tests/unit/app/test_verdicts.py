"""Verdicts of the page to look."""

from __future__ import annotations

import datetime
from pathlib import Path
from uuid import uuid4

from conftest import Cube

from odc_cleansat.app.service import Service
from odc_cleansat.app.verdicts import verdict_line
from odc_cleansat.products import MaskProduct, verdicts
from odc_cleansat.products.verdict_files import Verdict

from .conftest import Page

WHEN = datetime.datetime(2026, 1, 2, 3, 4, tzinfo=datetime.UTC)


def test_a_verdict_in_one_line() -> None:
    given = Verdict(uuid4(), "reject", "harbour", "Ann", WHEN, "1")
    assert verdict_line(given) == "2026-01-02 03:04 UTC, reject by Ann: harbour"


def test_verdicts_are_written_with_name_and_note(
    page: Page, service: Service, cube: Cube, masks: Path, monkeypatch: object
) -> None:
    """They are given on copies, for other tests read the masks of the datacube."""
    product = next(p for p in MaskProduct.find(masks) if p.id == cube.masks["june"].id)
    script = {"show": f"{cube.scenes['june'].id}.{product.id}"}
    service.judge = lambda kind, mask, note, person: _give(product, kind, note, person)  # type: ignore[method-assign]
    app = page("view_page", script)
    app.text_input(key=f"note_{product.id}").set_value("fog").run()
    app.button(key=f"reject_{product.id}").click().run()
    (given,) = verdicts(product.folder.path)[-1:]
    assert (given.verdict, given.note, given.by) == ("reject", "fog", "Ann")


def _give(product: MaskProduct, kind: str, note: str, person: str) -> None:
    from odc_cleansat import products

    getattr(products, kind)(product.folder.path, note, person)
