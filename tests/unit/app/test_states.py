"""States of review: known after a while, read anew after a verdict, and no wait for a store."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

from odc_cleansat.app.states import ReviewStates
from odc_cleansat.cube.catalogue import MaskRow
from odc_cleansat.products import MaskProduct, accept


def soon(condition: Callable[[], bool]) -> None:
    """Wait until something holds, 20 s at most."""
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_states_come_later_and_change_with_verdicts(masks: Path) -> None:
    product = MaskProduct.find(masks)[0]
    rows = [MaskRow(product.id, product.model, None, str(product.document_file))]
    states = ReviewStates()
    assert states.get(rows) == {}
    soon(lambda: states.get(rows) == {product.id: "unreviewed"})
    accept(product.folder.path, "good", "Ann")
    assert states.get(rows) == {product.id: "unreviewed"}  # remembered for a while
    states.forget(product.id)
    soon(lambda: states.get(rows) == {product.id: "accepted"})


def test_a_store_that_is_gone(tmp_path: Path) -> None:
    states = ReviewStates()
    gone = MaskRow(uuid4(), "model", None, str(tmp_path / "gone" / "a.odc-metadata.yaml"))
    states.get([gone])
    soon(lambda: not states._reading)
    assert states.get([gone]) in ({}, {gone.id: "unreviewed"})
