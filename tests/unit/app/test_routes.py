"""Routes: tiles and pictures only for those who have a key, and only of scenes."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from conftest import Cube

from odc_cleansat.app.routes import (
    in_turn,
    make_routes,
    map_library,
    picture_address,
    place_address,
    swipe_address,
    tile_address,
)
from odc_cleansat.app.service import Service

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

starlette = pytest.importorskip("starlette.testclient", reason="the extra app is not installed")


@pytest.fixture
def client(service: Service) -> Iterator[starlette.TestClient]:
    from starlette.applications import Starlette

    with starlette.TestClient(Starlette(routes=make_routes(service))) as made:
        yield made


@pytest.fixture
def key(service: Service) -> str:
    return service.door.key("Ann")


def addresses(cube: Cube, **query: str) -> list[str]:
    """One address of each route that shows something of a scene."""
    scene, mask = cube.scenes["june"].id, cube.masks["june"].id
    lon, lat = cube.scenes["june"].extent.to_crs("EPSG:4326").centroid.coords[0]
    tile = tile_address("ucl", scene, mask, **query).format(z=0, x=0, y=0)
    bounds = f"{lon - 0.01},{lat - 0.01},{lon + 0.01},{lat + 0.01}"
    return [
        tile,
        picture_address("colour", scene, mask, **query),
        place_address("values", scene, mask, lon=str(lon), lat=str(lat), **query),
        place_address("shares", scene, mask, bounds=bounds, **query),
        swipe_address([(scene, mask)], bounds=bounds, **query),
    ]


def test_with_a_key(client: starlette.TestClient, cube: Cube, key: str) -> None:
    kinds = []
    for address in addresses(cube, key=key):
        answer = client.get(f"/{address}")
        assert answer.status_code == 200, answer.text
        kinds.append(answer.headers["content-type"].split(";")[0])
    assert kinds == ["image/png", "image/png", "application/json", "application/json", "text/html"]


@pytest.mark.parametrize("query", [{}, {"key": "x"}])
def test_without_a_key(client: starlette.TestClient, cube: Cube, query: dict[str, str]) -> None:
    for address in addresses(cube, **query):
        answer = client.get(f"/{address}")
        assert answer.status_code == 403
        assert "no valid key" in answer.json()["error"]


def test_addresses_written_by_hand(client: starlette.TestClient, cube: Cube, key: str) -> None:
    scene, mask = cube.scenes["june"].id, cube.masks["june"].id
    for path in (
        f"/tiles/ucl/{uuid4()}/-/0/0/0.png",
        f"/tiles/secrets/{scene}/{mask}/0/0/0.png",
        f"/tiles/ucl/{scene}/{mask}/99/0/0.png",
        f"/tiles/ucl/{scene}/{mask}/1/7/0.png",
        f"/tiles/ucl/{scene}/{mask}/{'9' * 5000}/0/0.png",
        f"/tiles/ucl/{scene}/{mask}/-1/0/0.png",
        f"/tiles/ucl/{scene}/..%2F..%2Fetc/0/0/0.png",
        f"/tiles/colour/{scene}/-/0/0/0.png?stretch=1,0",
        f"/tiles/colour/{scene}/-/0/0/0.png?stretch=a",
        f"/values/{scene}/{mask}?lon=x&lat=1",
        f"/values/{scene}/{mask}?lon=1000&lat=1",
        f"/shares/{scene}/{mask}?bounds=1,2",
        f"/shares/{scene}/{mask}?bounds=nan,nan,nan,nan",
        f"/swipe/{scene}.html",
        "/swipe/nonsense.html",
        f"/thumbnails/ucl/{mask}/-.png",
    ):
        answer = client.get(path, params={**_query(path), "key": key})
        assert answer.status_code in (204, 404, 502), (path, answer.status_code, answer.text)
        assert str(cube.folder) not in answer.text
        assert "Traceback" not in answer.text


def _query(path: str) -> dict[str, str]:
    return dict(re.findall(r"[?&](\w+)=([^&]+)", path))


def test_a_file_that_is_gone_is_said_without_its_place(
    client: starlette.TestClient, service: Service, cube: Cube, key: str
) -> None:
    scene, mask = cube.scenes["june"].id, cube.masks["june"].id
    product = service.mask(mask)
    product.document = {
        **product.document,
        "measurements": {"ucl": {"path": "gone_ucl.tif"}, "ucl_confidence": {"path": "gone.tif"}},
    }
    from odc_cleansat.review.tiles import SceneTiles

    service._tiles[scene, mask] = SceneTiles(service.scene_files(scene), product)
    answer = client.get(f"/tiles/ucl/{scene}/{mask}/0/0/0.png", params={"key": key})
    assert answer.status_code == 502
    assert "gone_ucl.tif" in answer.json()["error"]
    assert str(cube.folder) not in answer.text


def test_the_map_library_comes_from_its_package(client: starlette.TestClient) -> None:
    assert (map_library() / "maplibre-gl.js").exists()
    assert "javascript" in client.get("/map/maplibre-gl.js").headers["content-type"]
    assert client.get("/map/pywidget.js").status_code == 404
    assert client.get("/map/..%2Fpyproject.toml").status_code == 404
    assert client.get("/alive").text == "ok"


async def ask(answer: Any, name: str, gone: asyncio.Event) -> None:
    """Ask for a picture as a server does, for a browser that stays until it has gone."""
    from starlette.requests import Request

    asked = False

    async def receive() -> dict[str, Any]:
        nonlocal asked
        if not asked:
            asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await gone.wait()
        return {"type": "http.disconnect"}

    scope = {
        "type": "http",
        "method": "GET",
        "path": f"/{name}",
        "headers": [],
        "query_string": b"",
    }
    await answer(Request(scope, receive))


def test_pictures_are_drawn_in_the_order_of_asking_and_few_at_a_time() -> None:
    from starlette.responses import PlainTextResponse

    begun: list[str] = []
    at_once: list[int] = []
    lock, running = threading.Lock(), 0

    def draw(request: Request) -> Response:
        nonlocal running
        with lock:
            running += 1
            begun.append(request.url.path)
            at_once.append(running)
        time.sleep(0.01)
        with lock:
            running -= 1
        return PlainTextResponse("drawn")

    async def many() -> None:
        answer, stays = in_turn(draw, asyncio.Semaphore(3)), asyncio.Event()
        await asyncio.gather(*(ask(answer, f"{i:03}", stays) for i in range(60)))

    asyncio.run(many())
    assert len(begun) == 60
    assert max(at_once) <= 3
    # Threads that begin together may note it in any order.
    assert all(abs(int(path[1:]) - i) <= 3 for i, path in enumerate(begun))


def test_pictures_are_not_drawn_for_browsers_that_have_gone() -> None:
    from starlette.responses import PlainTextResponse

    begun: list[str] = []
    go_on = threading.Event()

    def draw(request: Request) -> Response:
        begun.append(request.url.path)
        go_on.wait(10)
        return PlainTextResponse("drawn")

    async def pan() -> None:
        answer = in_turn(draw, asyncio.Semaphore(1))
        stays, leaves = asyncio.Event(), asyncio.Event()
        asked = [
            asyncio.create_task(ask(answer, name, leaves if name == "old" else stays))
            for name in ("first", "old", "new")
        ]
        while not begun:
            await asyncio.sleep(0.01)
        leaves.set()
        go_on.set()
        await asyncio.gather(*asked)

    asyncio.run(pan())
    assert begun == ["/first", "/new"]
