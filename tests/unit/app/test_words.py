"""What a browser gets to read of errors."""

from __future__ import annotations

import logging

import pytest

from odc_cleansat.app.words import in_words, plain
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


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("**x** _y_ `z` ~q~", r"\*\*x\*\* \_y\_ \`z\` \~q\~"),
        ("[a](javascript:b)", r"\[a\](javascript\:b)"),
        ("![a](b)", r"\!\[a\](b)"),
        (":red[a] $x$", r"\:red\[a\] \$x\$"),
        ("<img onerror>", r"\<img onerror\>"),
        ("# head\n\n- item", r"\# head - item"),
        ("- item", r"\- item"),
        ("1. item", r"1\. item"),
        ("10 % of it, at 47.5", "10 % of it, at 47.5"),
    ],
)
def test_text_of_strangers_is_plain(text: str, shown: str) -> None:
    assert plain(text) == shown


@pytest.mark.parametrize("text", ["http://a.example", "www.a.example", "a@b.example"])
def test_addresses_do_not_become_links(text: str) -> None:
    assert text not in plain(text).replace("\\", "")
    assert plain(text).replace("\u2060", "").replace("\\", "") == text
