"""Reasons of network errors, without the objects that carried them."""

from __future__ import annotations

import pytest

from odc_cleansat.scenes.http import innermost_reason


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("403 Client Error: Forbidden for url", "403 Client Error: Forbidden for url"),
        (
            "HTTPSConnectionPool(host='x', port=443): Max retries exceeded with url: / (Caused by "
            "NewConnectionError('<HTTPSConnection object>: Failed to establish a new connection'))",
            "Failed to establish a new connection",
        ),
        ("first line\nsecond line", "first line"),
    ],
)
def test_the_innermost_reason(text: str, expected: str) -> None:
    assert innermost_reason(OSError(text)) == expected
