"""What a browser gets to read of errors."""

from __future__ import annotations

import logging

import pytest

from odc_cleansat.app.words import in_words
from odc_cleansat.errors import SceneError


@pytest.mark.parametrize(
    "place",
    [
        "/home/ann/masks/a_ucl.tif",
        "s3://secret-bucket/masks/a_ucl.tif",
        "file:///data/masks/a_ucl.tif",
        "https://user:pass@host/masks/a_ucl.tif?X-Amz-Signature=abc",
        "/vsis3/secret-bucket/masks/a_ucl.tif",
    ],
)
def test_places_are_cut(place: str) -> None:
    words = in_words(SceneError(f"cannot read {place}: it is gone. Is it there, and whole?"))
    assert "a_ucl.tif" in words
    assert "it is gone" in words
    for secret in ("/ann", "secret-bucket", "data/", "user", "pass", "Signature"):
        assert secret not in words


def test_words_with_slashes_stay() -> None:
    text = "write it like 2024-06-01/2024-06-15"
    assert in_words(SceneError(text)) == text


def test_an_error_that_nobody_foresaw_has_a_number(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "odc_cleansat.app"):
        words = in_words(ValueError("/etc/passwd"))
    assert "passwd" not in words
    number = words.split("error ")[1].split(".")[0]
    assert number in caplog.text
    assert "passwd" in caplog.text
