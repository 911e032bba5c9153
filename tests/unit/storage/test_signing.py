"""Which addresses are signed as they are read, and how GDAL is told."""

from __future__ import annotations

import pytest

from odc_cleansat.storage.signing import signing_path, unsigned_address, unsigned_values

SIGNED = (
    "/vsicurl?pc_url_signing=yes&pc_collection=sentinel2l2a01%2Fsentinel2-l2"
    "&url=https%3A%2F%2Fsentinel2l2a01.blob.core.windows.net%2Fsentinel2-l2%2F33%2Fa%2520b.tif"
)


@pytest.mark.parametrize("signature", ["", "?st=1&sig=old"])
def test_an_address_of_planetary_computer_is_signed_by_gdal(signature: str) -> None:
    host = "https://sentinel2l2a01.blob.core.windows.net"
    assert signing_path(f"{host}/sentinel2-l2/33/a%20b.tif{signature}") == SIGNED


@pytest.mark.parametrize(
    "address",
    [
        "/data/B02.tif",
        "/data/[B02?.tif",
        "s3://eodata/B02.jp2",
        "https://ours.blob.core.windows.net/container/B02.tif?sig=ours",
        "https://example.org/sentinel2l2a01.blob.core.windows.net/B02.tif",
        "https://sentinel2l2a01.blob.core.windows.net.example.org/a/B02.tif",
        "cleansat://this-band-needs/driver=cleansat/computed-mask/ucl?abc",
    ],
)
def test_other_addresses_stay_as_they_are(address: str) -> None:
    assert signing_path(address) == address


AZURE = "sv=2024-05-04&se=2026-01-01T00%3A00%3A00Z&sr=c&sp=rl&skoid=a-b&sktid=c&skt=x&ske=y&sks=b&skv=2024&sig=abc%2Fd%3D"
AMAZON = (
    "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIA%2F20260101%2Feu&X-Amz-Date=20260101T0&X-Amz-Expires=900"
    "&X-Amz-SignedHeaders=host&X-Amz-Security-Token=t0ken&X-Amz-Signature=abcdef"
)


@pytest.mark.parametrize(
    "signature",
    [
        AZURE,
        AMAZON,
        AMAZON.replace("X-Amz-", "X-Goog-"),
        AMAZON.lower(),
        "Expires=1767225600&Signature=abc~d_&Key-Pair-Id=K2JCJ",
        "Policy=eyJTd&Signature=abc&Key-Pair-Id=K2JCJ",
        "AWSAccessKeyId=AKIA&Expires=1767225600&Signature=abc%3D",
        "GoogleAccessId=me@project&Expires=1767225600&Signature=abc%3D",
        "access_token=secret",
        "token=secret",
    ],
)
def test_no_signature_is_kept(signature: str) -> None:
    file = "https://ours.blob.core.windows.net/container/33/B02.tif"
    assert unsigned_address(f"{file}?{signature}") == file
    assert unsigned_address(f"/vsicurl/{file}?{signature}") == f"/vsicurl/{file}"
    asked = f"{file}?versionId=7&{signature}&file=B02"
    assert unsigned_address(asked) == f"{file}?versionId=7&file=B02"
    assert unsigned_values({"a": [{"href": asked}, 1, None], "b": "sig=1?sig=2"}) == {
        "a": [{"href": f"{file}?versionId=7&file=B02"}, 1, None],
        "b": "sig=1?sig=2",
    }


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("https://me:secret@example.org/B02.tif", "https://example.org/B02.tif"),
        ("s3://key:secret@bucket/B02.tif", "s3://bucket/B02.tif"),
    ],
)
def test_no_login_is_kept(address: str, kept: str) -> None:
    assert unsigned_address(address) == kept


@pytest.mark.parametrize(
    "address",
    [
        "",
        "/data/sig=1/B02.tif?sig=2",
        "s3://bucket/year=2024/a@b/B02.tif",
        "https://example.org/dataset?sp=3&se=4&sr=5&expires=never&policy=open",
        "https://example.org/odata/Products(1)/$value?file=B02#x",
        SIGNED,
        "zip+https://example.org/a.zarr.zip!/B02",
    ],
)
def test_what_is_no_signature_stays(address: str) -> None:
    assert unsigned_address(address) == address
