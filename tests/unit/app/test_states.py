"""States of review: known after a while, read anew after a verdict, and no wait for a store."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from odc_cleansat.app import states
from odc_cleansat.app.states import ReviewStates
from odc_cleansat.cube.scene_list import MaskRow
from odc_cleansat.products import MaskProduct, accept


def soon(condition: Callable[[], bool]) -> None:
    """Wait until something holds, 20 s at most."""
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_states_come_soon_and_change_with_verdicts(masks: Path) -> None:
    product = MaskProduct.find(masks)[0]
    rows = [MaskRow(product.id, product.model, None, str(product.document_file))]
    known = ReviewStates()
    soon(lambda: known.get(rows) == {product.id: "unreviewed"})
    accept(product.folder.path, "good", "Ann")
    assert known.get(rows) == {product.id: "unreviewed"}  # remembered for a while
    known.forget(product.id)
    soon(lambda: known.get(rows) == {product.id: "accepted"})


def test_a_store_that_is_gone(tmp_path: Path) -> None:
    known = ReviewStates()
    gone = MaskRow(uuid4(), "model", None, str(tmp_path / "gone" / "a.odc-metadata.yaml"))
    known.get([gone])
    soon(lambda: not known._reading)
    assert known.get([gone]) in ({}, {gone.id: "unreviewed"})


def test_a_slow_store_is_not_waited_for(masks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(states, "PATIENCE", 0.01)
    monkeypatch.setattr(states, "mask_states", lambda rows: (release.wait(20), ({}, {}))[1])
    product = MaskProduct.find(masks)[0]
    rows = [MaskRow(product.id, product.model, None, str(product.document_file))]
    known = ReviewStates()
    assert known.get(rows) == {}
    release.set()
    soon(lambda: not known._reading)
