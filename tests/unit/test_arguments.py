"""What callers pass, of whatever kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from odc_cleansat.arguments import (
    FARTHEST,
    fault_of_flags,
    fault_of_metres,
    fault_of_progress,
    is_number,
    meant,
    texts,
)
from odc_cleansat.progress import count_nothing


class Broken:
    """An object that breaks when numpy or a loop looks at it."""

    def __array__(self, *_: Any) -> np.ndarray:
        raise RuntimeError

    def __iter__(self) -> Any:
        raise RuntimeError


@pytest.mark.parametrize("value", [0, -1, 0.5, np.float32(2), np.int16(3), np.array(3.0)])
def test_numbers(value: Any) -> None:
    assert is_number(value)


@pytest.mark.parametrize(
    "value",
    [np.nan, np.inf, "5", True, None, [1], np.array([1]), 1j, 10**400, {}, Broken(), np.datetime64("2024-01-01")],
)  # fmt: skip
def test_what_is_no_number(value: Any) -> None:
    assert not is_number(value)


@pytest.mark.parametrize("dilation", [None, {}, {"cloud": 0, "shadow": FARTHEST}])
def test_metres(dilation: Any) -> None:
    assert fault_of_metres(dilation, ("cloud", "shadow")) is None


@pytest.mark.parametrize(
    ("dilation", "fault"),
    [
        (60, "the dilation is 60; pass a mapping of cloud and shadow to metres"),
        ({"snow": 1}, "cannot dilate 'snow'; choose from cloud and shadow"),
        ({None: 1}, "cannot dilate None; choose"),
        ({"cloud": "60"}, "cannot dilate cloud by '60'; pass a number of metres, 0 or more"),
        ({"shadow": -1}, "cannot dilate shadow by -1; pass a number"),
        ({"cloud": 1e9}, r"cannot dilate cloud by 1e\+09 m; pass 20000 m at most"),
    ],
)
def test_metres_that_cannot_be(dilation: Any, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        raise ValueError(fault_of_metres(dilation, ("cloud", "shadow")))


@pytest.mark.parametrize(
    ("value", "found"),
    [("a", ["a"]), (("a", "b"), ["a", "b"]), ([], []), (3, None), ([1], None), (None, None), (Broken(), None)],
)  # fmt: skip
def test_texts(value: Any, found: list[str] | None) -> None:
    assert texts(value) == found


@pytest.mark.parametrize(
    ("given", "question"),
    [("meadian", " Did you mean 'median'?"), ("MEDIAN", " Did you mean 'median'?"), ("x", ""), (7, "")],
)  # fmt: skip
def test_what_may_be_meant(given: object, question: str) -> None:
    assert meant(given, ["median", "geomedian", "best"]) == question


def test_what_is_neither_true_nor_false() -> None:
    assert fault_of_flags(one=True, other=np.bool_(False)) is None
    for value in (1, 0, None, "yes", [True], np.array([True, False])):
        said = fault_of_flags(one=True, other=value)
        assert said is not None
        assert said.startswith("other is ")
        assert said.endswith("pass True or False.")


@pytest.mark.parametrize(
    "progress", [None, lambda done, total: None, lambda *numbers: None, max, print, count_nothing]
)
def test_what_can_be_told_of_progress(progress: Any) -> None:
    assert fault_of_progress(progress) is None


@pytest.mark.parametrize("progress", [5, "tqdm", Broken(), lambda: None, lambda done: None, list])
def test_what_cannot_be_told_of_progress(progress: Any) -> None:
    assert "pass a function of two numbers" in (fault_of_progress(progress) or "")
