"""States of review: known after a while, read anew after a verdict, and no wait for a store."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path



from odc_cleansat.app.states import ReviewStates
from odc_cleansat.products import MaskProduct, accept
from odc_cleansat.storage.folder import Folder


def soon(condition: Callable[[], bool]) -> None:
    """Wait until something holds, 20 s at most."""
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_states_come_later_and_change_with_verdicts(masks: Path) -> None:
    product = MaskProduct.find(masks)[0]
    folders = {product.id: product.folder}
    states = ReviewStates()
    assert states.get(folders) == {}
    soon(lambda: states.get(folders) == {product.id: "unreviewed"})
    accept(product.folder.path, "good", "Ann")
    assert states.get(folders) == {product.id: "unreviewed"}  # remembered for a while
    states.forget(product.id)
    soon(lambda: states.get(folders) == {product.id: "accepted"})


def test_a_store_that_is_gone(masks: Path, tmp_path: Path) -> None:
    product = MaskProduct.find(masks)[0]
    states = ReviewStates()
    states.get({product.id: Folder(tmp_path / "gone")})
    soon(lambda: not states._reading)
    assert states.get({product.id: product.folder}) in ({}, {product.id: "unreviewed"})
