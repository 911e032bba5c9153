"""Findings hold no secrets, and come in time."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import FrozenInstanceError, asdict
from time import monotonic

import pytest

from odc_cleansat.doctor.finding import Finding, in_time
from odc_cleansat.errors import CubeError


def test_a_finding_holds_no_secrets() -> None:
    found = Finding("store", "wrong", "https://me:pass@host/x?token=abc", "set password=hidden")
    assert "pass@" not in json.dumps(asdict(found))
    assert "abc" not in found.what
    assert "hidden" not in found.mend
    with pytest.raises(FrozenInstanceError):
        found.what = ""  # type: ignore[misc]


def test_findings_come_as_they_are_found() -> None:
    found = [Finding("x", "ok", text) for text in ("one", "two")]
    assert list(in_time("x", lambda: iter(found), 5)) == found


def test_a_probe_that_fails_is_a_finding() -> None:
    def refuses() -> Iterator[Finding]:
        yield Finding("x", "ok", "begun")
        raise CubeError("no such thing; do this.")

    def breaks() -> Iterator[Finding]:
        raise ZeroDivisionError("by nought")
        yield

    first, second = in_time("x", refuses, 5)
    assert (first.state, second.state, second.what) == ("ok", "wrong", "no such thing; do this.")
    (found,) = in_time("x", breaks, 5)
    assert "unexpected ZeroDivisionError: by nought" in found.what
    assert found.mend


def test_a_probe_that_hangs_is_left_behind() -> None:
    free = threading.Event()

    def hangs() -> Iterator[Finding]:
        yield Finding("x", "ok", "begun")
        free.wait(60)

    begun = monotonic()
    first, second = in_time("x", hangs, 0.1)
    free.set()
    assert monotonic() - begun < 10
    assert first.state == "ok"
    assert second.what.startswith("no answer within 0.1 s")
    assert second.state == "wrong"
