"""What the errors of a store mean."""

from __future__ import annotations

import pytest

from odc_cleansat.storage.failures import store_advice


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("An error occurred (AccessDenied) when calling PutObject: Access Denied", "no permission"),
        ("An error occurred (403) when calling the HeadObject operation: Forbidden", "AWS_REQUEST_PAYER"),
        ("InvalidAccessKeyId: The AWS Access Key Id you provided does not exist", "does not know these credentials"),
        ("Unable to locate credentials", "AWS_NO_SIGN_REQUEST"),
        ("An error occurred (ExpiredToken)", "renew"),
        ("ProfileNotFound: The config profile (gone) could not be found", "cleansat.toml"),
        ("AWS_SECRET_ACCESS_KEY and AWS_NO_SIGN_REQUEST configuration options not defined", "AWS_PROFILE"),
        ("HTTP response code: 503", "try later"),
        ("something else altogether", None),
    ],
)  # fmt: skip
def test_advice(text: str, expected: str | None) -> None:
    found = store_advice(OSError(text))
    assert found is None if expected is None else expected in str(found)
