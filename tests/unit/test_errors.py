"""Messages: without secrets, in one line, and heard from every thread."""

from __future__ import annotations

import logging
import threading
import warnings

import pytest

from odc_cleansat.errors import (
    CleansatError,
    GapWarning,
    SceneError,
    fault_of,
    first_line,
    tell,
    without_secrets,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s3://me:word@host/a.tif", "s3://***@host/a.tif"),
        ("https://host/a.tif?sig=abc%2F&x=1", "https://host/a.tif?***&x=1"),
        ("https://host/a?x=1&api_key=abc", "https://host/a?x=1&***"),
        ("https://host/a?X-Amz-Signature=abc", "https://host/a?***"),
        ("me@host is no address, nor is key=1", "me@host is no address, nor is key=1"),
    ],
)
def test_logins_and_keys_are_taken_out(text: str, expected: str) -> None:
    assert without_secrets(text) == expected
    assert str(CleansatError(text)) == expected


def test_the_first_line_of_an_error() -> None:
    assert first_line(ValueError("it broke.\nat line 3.")) == "it broke"
    assert first_line(ValueError()) == "ValueError"
    assert first_line(OSError("https://a:b@host is gone.")) == "https://***@host is gone"
    assert len(first_line(ValueError("x" * 999))) == 300


def test_errors_of_the_package_are_of_one_kind() -> None:
    assert issubclass(SceneError, CleansatError)
    assert issubclass(CleansatError, ValueError)


class Records(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.kept.append(record)


def test_a_warning_is_heard_from_every_thread() -> None:
    with pytest.warns(GapWarning, match=r"https://\*\*\*@host is gone"):
        tell("https://a:b@host is gone", GapWarning)
    records = Records()
    logging.getLogger("odc_cleansat").addHandler(records)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            thread = threading.Thread(target=tell, args=("a file is gone", GapWarning))
            thread.start()
            thread.join()
    finally:
        logging.getLogger("odc_cleansat").removeHandler(records)
    (record,) = records.kept
    assert record.getMessage() == "a file is gone"
    assert record.category is GapWarning


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (KeyError("model"), "it lacks model"),
        (KeyError(), "it lacks a key"),
        (TypeError("'NoneType' object is not subscriptable"), "a value is of another kind than it should be, or has another length"),
        (ValueError("not enough values to unpack (expected 2, got 1)"), "a value is of another kind than it should be, or has another length"),
        (ValueError("the grid has the shape 0 x 3"), "the grid has the shape 0 x 3"),
        (CleansatError("the id is wrong."), "the id is wrong"),
        (OSError("gone"), "gone"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_document(error: Exception, text: str) -> None:
    assert fault_of(error) == text
