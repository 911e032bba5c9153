"""Addresses that stand for a file which is read in a special way."""

from __future__ import annotations

import pytest

from odc_cleansat.cube.special_addresses import (
    MASK_LAYER,
    SHIFTED,
    file_address,
    file_of,
    patched_address,
)
from odc_cleansat.scenes.files import BandFile


@pytest.mark.parametrize("uri", ["/data/a b&c?.tif", "https://example.org/B04.tif?sig=a%2Fb&x=1"])
def test_an_address_tells_file_and_offset(uri: str) -> None:
    assert file_of(file_address(SHIFTED, BandFile(uri, 2, None), -1000)) == (BandFile(uri, 2, None), -1000)  # fmt: skip


def test_the_file_it_stands_for_is_patched() -> None:
    address = file_address(MASK_LAYER, BandFile("https://example.org/a&b.tif", 1, None))
    found = patched_address(address, lambda uri: f"{uri}?sig=1")
    assert found.startswith(MASK_LAYER)
    assert file_of(found) == (BandFile("https://example.org/a&b.tif?sig=1", 1, None), 0)
