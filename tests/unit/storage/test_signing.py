"""Which addresses are signed as they are read, and how GDAL is told."""

from __future__ import annotations

import pytest

from odc_cleansat.storage.signing import signing_path

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
