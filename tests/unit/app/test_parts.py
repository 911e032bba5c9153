"""Parts of pages: ids in addresses, and the UTM zone of an area."""

from __future__ import annotations

from uuid import uuid4

import pytest
from odc.geo.geom import box

from odc_cleansat.app.parts import in_turn, read_id, utm_of
from odc_cleansat.app.service import Service
from odc_cleansat.errors import CleansatError


def test_ids_of_an_address() -> None:
    one = uuid4()
    assert read_id(f" {one} ") == one
    with pytest.raises(CleansatError, match="no id of a scene or mask"):
        read_id("../../etc")


@pytest.mark.parametrize(
    ("west", "south", "code"), [(13.6, 47.7, 32633), (-180, 10, 32601), (179, -17, 32760)]
)
def test_utm_zones(west: float, south: float, code: int) -> None:
    assert utm_of(box(west, south, west + 0.5, south + 0.5, "EPSG:4326")) == f"EPSG:{code}"


def test_results_are_made_one_after_the_other(service: Service) -> None:
    with in_turn(service):
        assert not service.turns.acquire(blocking=False)
    with pytest.raises(ZeroDivisionError), in_turn(service):
        raise ZeroDivisionError
    assert service.turns.acquire(blocking=False)
