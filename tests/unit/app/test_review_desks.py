"""Review pages inside the application: behind the door, and only with the masks that were chosen."""

from __future__ import annotations

import time

import pytest
from conftest import Cube

from odc_cleansat.app.door import JUDGE
from odc_cleansat.app.routes import make_routes
from odc_cleansat.app.service import Service

starlette = pytest.importorskip("starlette.testclient", reason="the extra app is not installed")


@pytest.fixture
def client(service: Service) -> starlette.TestClient:
    from starlette.applications import Starlette

    return starlette.TestClient(Starlette(routes=make_routes(service)))


def test_the_page_of_a_choice(client: starlette.TestClient, service: Service, cube: Cube) -> None:
    june, july = cube.masks["june"].id, cube.masks["july"].id
    name, key = service.desks.open([june]), service.door.key("Ann", JUDGE)
    page = client.get(f"/review/{key}/{name}/")
    assert page.status_code == 200
    assert str(june) in page.text
    assert str(july) not in page.text
    assert '"by": "Ann"' in page.text
    assert str(cube.folder) not in page.text
    picture = f"/review/{key}/{name}/masks/{june}/ucl"
    end = time.monotonic() + 30
    while client.get(picture).status_code != 200:
        assert time.monotonic() < end
        time.sleep(0.1)
    assert client.get(f"/review/{key}/{name}/masks/{july}/ucl").status_code == 404


def test_one_page_for_one_choice(service: Service, cube: Cube) -> None:
    june, july = cube.masks["june"].id, cube.masks["july"].id
    assert service.desks.open([june, july]) == service.desks.open([june, july, june])
    assert service.desks.open([june]) != service.desks.open([july])


def test_without_a_key_or_a_choice(
    client: starlette.TestClient, service: Service, cube: Cube
) -> None:
    name = service.desks.open([cube.masks["june"].id])
    refused = client.get(f"/review/none/{name}/")
    assert refused.status_code == 401
    assert "signed in" in refused.text
    passed_on = client.get(f"/review/{service.door.key('Ann')}/{name}/")
    assert passed_on.status_code == 401
    closed = client.get(f"/review/{service.door.key('Ann', JUDGE)}/0000/")
    assert closed.status_code == 404
    assert "Open it again" in closed.text
