"""Searches of a STAC API, which turns pages, stumbles and refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from stac_server import StacServer

from odc_cleansat.errors import CleansatError
from odc_cleansat.scenes.search import search

WORLD = (-180.0, -90.0, 180.0, 90.0)


@pytest.fixture
def api(server: StacServer, metadata: Path) -> StacServer:
    """Five items of one collection, on three pages."""
    for name in ("S2A_39QTA_20230628_0", "S2A_39QUA_20230628_0", "S2B_39QTA_20230623_0"):
        server.add(metadata / "eodm" / f"{name}_L2A.json", "plain")
    for name in ("S2A_28QCH_20200714_0", "S2B_31QGB_20200831_0"):
        server.add(metadata / "odc-tools" / f"{name}_L2A.json", "plain")
    return server


def found(api: StacServer, *args: Any, **kwargs: Any) -> list[str]:
    return [item.id for item in search(*args, api=api.url, **kwargs)]


def test_search_turns_pages(api: StacServer) -> None:
    assert found(api, WORLD, "2020/2024") == [item["id"] for item in api.items]
    assert len(api.searches) == 3


def test_search_by_place_time_and_number(api: StacServer) -> None:
    assert found(api, (48.0, 17.0, 50.0, 20.0), "2023-06-28", limit=1) == [
        "S2A_39QTA_20230628_0_L2A"
    ]
    assert found(api, WORLD, "2020-07/2020-08") == [item["id"] for item in api.items[3:]]
    assert api.searches[-1]["datetime"] == "2020-07-01T00:00:00Z/2020-08-31T23:59:59Z"


def test_search_by_cloud(api: StacServer, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = {item["id"]: item["properties"]["eo:cloud_cover"] for item in api.items}
    limit = sorted(cloud.values())[2]
    clear = [name for name, value in cloud.items() if value <= limit]
    assert 0 < len(clear) < len(cloud)
    assert found(api, WORLD, "2020/2024", max_cloud=limit) == clear
    assert api.searches[0]["query"] == {"eo:cloud_cover": {"lte": limit}}
    # An API that cannot filter: done here.
    monkeypatch.setattr(
        "stac_server.CONFORMS", [c for c in __import__("stac_server").CONFORMS if "query" not in c]
    )
    assert found(api, WORLD, "2020/2024", max_cloud=limit) == clear
    assert "query" not in api.searches[-1]


def test_search_across_the_antimeridian(api: StacServer) -> None:
    with pytest.raises(CleansatError, match="no item"):
        found(api, (179.0, -20.0, -179.0, -10.0), "2023")
    assert api.searches[0]["bbox"] == [179.0, -20.0, -179.0, -10.0]


def test_search_survives_a_server_that_stumbles(api: StacServer) -> None:
    api.flaky |= {"/search": 2, "/": 1}
    assert len(found(api, WORLD, "2023")) == 3


@pytest.mark.parametrize(
    ("bbox", "time", "message"),
    [
        ((13.8, 47.7, 13.6, 47.9), "2023", "west, south, east and north"),
        ((47.7, 13.6, 47.9, 113.8), "2023", "west, south, east and north"),
        ((13.6, 47.9, 13.8, 47.7), "2023", "west, south, east and north"),
        (WORLD, "summer", "the time 'summer' makes no sense"),
        (WORLD, "2023-13", "the time '2023-13' makes no sense"),
        (WORLD, "2031", "has no item of sentinel-2-l2a in -180,-90,180,90 at 2031"),
    ],
)
def test_searches_that_find_nothing(
    bbox: tuple[float, float, float, float], time: str, message: str, api: StacServer
) -> None:
    with pytest.raises(CleansatError, match=message):
        search(bbox, time, api=api.url)


def test_an_api_that_refuses(api: StacServer) -> None:
    api.broken["/"] = 403
    with pytest.raises(CleansatError, match="refused"):
        search(WORLD, "2023", api=api.url)
