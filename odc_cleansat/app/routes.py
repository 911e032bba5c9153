"""Routes beside Streamlit's pages: tiles, thumbnails, values, shares, the swipe viewer, the map library.

All but the library need a key of the :class:`~odc_cleansat.app.door.Door`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import wraps
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode
from uuid import UUID

from ..errors import CleansatError
from ..review.swipe import swipe_page
from ..review.tiles import COMPOSITIONS, LAYERS, OTHER, Bounds, NoTileError, SceneTiles
from ..review.views import MaskedFiles, compare_view
from .door import ClosedError
from .words import in_words

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from .service import Service


NONE = "-"
"""Stands in an address for a mask that there is not."""

ASSETS = {"maplibre-gl.js": "text/javascript", "maplibre-gl.css": "text/css"}
"""Files of the map library, and what they are."""

PRIVATE = {"Cache-Control": "private, max-age=3600"}
"""A browser may keep pictures, and nobody in between."""

MOST_SWIPED = 8
"""Most scenes of one swipe viewer."""

SWIPES = 2
"""Swipe viewers that are made at a time; each takes some hundred MB meanwhile."""

DRAWN = 4
"""Pictures that are drawn at a time. One of a whole tile without overviews takes some hundred MB meanwhile."""

DEEPEST = 22
"""Zoom of the smallest tiles."""


def tile_address(kind: str, scene: UUID, mask: UUID | None, **query: str) -> str:
    """Return the address of a layer's tiles, with ``{z}``, ``{x}`` and ``{y}`` left in."""
    return f"tiles/{kind}/{scene}/{mask or NONE}/{{z}}/{{x}}/{{y}}.png?{urlencode(query)}"


def picture_address(kind: str, scene: UUID, mask: UUID | None, **query: str) -> str:
    """Return the address of a thumbnail."""
    return f"thumbnails/{kind}/{scene}/{mask or NONE}.png?{urlencode(query)}"


def place_address(what: str, scene: UUID, mask: UUID | None, **query: str) -> str:
    """Return the address of ``values`` at a point, or of ``shares`` of a view."""
    return f"{what}/{scene}/{mask or NONE}?{urlencode(query)}"


def swipe_address(pairs: list[tuple[UUID, UUID | None]], **query: str) -> str:
    """Return the address of the swipe viewer for scenes and their masks."""
    return f"swipe/{','.join(f'{scene}.{mask or NONE}' for scene, mask in pairs)}.html?{urlencode(query)}"


def map_library() -> Path:
    """Return the folder of the map library's files. Its package is not imported, for it wants other programs then.

    Raises
    ------
    CleansatError
        If it is not installed.
    """
    found = find_spec("maplibre")
    if found is None or not found.submodule_search_locations:
        raise CleansatError("the map needs maplibre; run: pip install 'odc-cleansat[app]'")
    return Path(found.submodule_search_locations[0]) / "srcjs"


def make_routes(service: Service) -> list[BaseRoute]:
    """Return the routes of an application."""
    from starlette.routing import Route

    answers = _Answers(service)
    drawing, swiping = asyncio.Semaphore(DRAWN), asyncio.Semaphore(SWIPES)

    def guarded(
        path: str, answer: Callable[[Request], Response], turns: asyncio.Semaphore | None = None
    ) -> Route:
        behind = answers.behind_door(answer)
        return Route(path, behind if turns is None else in_turn(behind, turns))

    return [
        guarded("/tiles/{kind}/{scene:uuid}/{mask}/{z}/{x}/{y}.png", answers.tile, drawing),
        guarded("/thumbnails/{kind}/{scene:uuid}/{mask}.png", answers.thumbnail, drawing),
        guarded("/values/{scene:uuid}/{mask}", answers.values),
        guarded("/shares/{scene:uuid}/{mask}", answers.shares),
        guarded("/swipe/{pairs}.html", answers.swipe, swiping),
        service.desks.mount(),
        Route("/map/{name}", _asset),
        Route("/alive", _alive),
    ]


def in_turn(
    answer: Callable[[Request], Response], turns: asyncio.Semaphore
) -> Callable[[Request], Awaitable[Response]]:
    """Let requests wait for their turn in the order in which they came, and drop those whose browser has gone.

    A request that waits takes no thread. Threads that waited for each other would come by chance, and some tiles after
    many seconds.

    Parameters
    ----------
    answer
        Makes an answer, in a thread.
    turns
        As many as are made at a time.
    """
    from starlette.concurrency import run_in_threadpool

    @wraps(answer)
    async def waiting(request: Request) -> Response:
        await request.body()  # after which a browser can only go
        async with turns:
            if await request.is_disconnected():  # whoever pans on does not want the tile any more
                return _nothing()
            return await run_in_threadpool(answer, request)

    return waiting


class _Answers:
    """What is answered to those who have a key."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def behind_door(self, answer: Callable[[Request], Response]) -> Callable[[Request], Response]:
        """Answer only who has a key, and tell what goes wrong in words."""
        from starlette.responses import JSONResponse

        @wraps(answer)
        def guarded(request: Request) -> Response:
            try:
                self._service.door.person(request.query_params.get("key"), request.headers)
                return answer(request)
            except ClosedError as error:
                return JSONResponse({"error": str(error)}, 403)
            except NoTileError as error:
                return JSONResponse({"error": str(error)}, 404)
            except CleansatError as error:
                return JSONResponse({"error": in_words(error)}, 502)
            except Exception as error:
                return JSONResponse({"error": in_words(error)}, 500)

        return guarded

    def _tiles(self, request: Request) -> SceneTiles:
        given = request.path_params
        return self._service.tiles(given["scene"], _mask(given["mask"]))

    def tile(self, request: Request) -> Response:
        given = request.path_params
        kind, (zoom, column, row) = _layer(given["kind"]), (_whole(given[name]) for name in "zxy")
        if not (0 <= zoom <= DEEPEST and 0 <= column < 2**zoom and 0 <= row < 2**zoom):
            raise NoTileError("there is no such tile.")
        limits = _limits(request.query_params.get("stretch"))
        tiles = self._tiles(request)
        try:
            return _png(tiles.tile(kind, zoom, column, row, limits))
        except NoTileError:
            return _nothing()

    def thumbnail(self, request: Request) -> Response:
        kind = _layer(request.path_params["kind"])
        return _png(self._tiles(request).thumbnail(kind))

    def values(self, request: Request) -> Response:
        from starlette.responses import JSONResponse

        lon, lat = (_number(request.query_params.get(name)) for name in ("lon", "lat"))
        if not (-180 <= lon <= 180 and -90 <= lat <= 90):
            raise NoTileError("the place is not on the Earth.")
        return JSONResponse(self._tiles(request).values_at(lon, lat))

    def shares(self, request: Request) -> Response:
        from starlette.responses import JSONResponse

        found = self._tiles(request).shares(_bounds(request.query_params.get("bounds")))
        known = {"SCL": found.agreement, **found.agreements}
        agreed = {n: {q: v for q, v in each.items() if v == v} for n, each in known.items()}
        masks = {"UCL": found.ucl, "SCL": found.scl, **found.others}
        return JSONResponse({"masks": masks, "agreements": agreed})

    def swipe(self, request: Request) -> Response:
        from starlette.responses import HTMLResponse

        pairs = request.path_params["pairs"].split(",")[:MOST_SWIPED]
        text = request.query_params.get("bounds")
        bounds = None if text is None else _bounds(text)
        page = swipe_page(compare_view([_pair(self._service, each) for each in pairs], bounds))
        return HTMLResponse(page, headers={"Cache-Control": "no-store"})


def _png(content: bytes) -> Response:
    from starlette.responses import Response

    return Response(content, media_type="image/png", headers=PRIVATE)


def _nothing() -> Response:
    from starlette.responses import Response

    return Response(status_code=204, headers=PRIVATE)


def _asset(request: Request) -> Response:
    from starlette.responses import PlainTextResponse, Response

    name = request.path_params["name"]
    if name not in ASSETS:
        return PlainTextResponse("There is no such file.", 404)
    content = (map_library() / name).read_bytes()
    return Response(content, media_type=ASSETS[name], headers={"Cache-Control": "max-age=86400"})


def _alive(request: Request) -> Response:
    from starlette.responses import PlainTextResponse

    return PlainTextResponse("ok")


def _pair(service: Service, pair: str) -> MaskedFiles:
    scene, _, mask = pair.partition(".")
    known = _mask(mask)
    product = None if known is None else service.mask(known)
    beside = service.tiles(_uuid(scene), known).beside.values()
    return MaskedFiles(service.scene_files(_uuid(scene)), product, dict(beside))


def _layer(kind: str) -> str:
    if kind not in (*COMPOSITIONS, *LAYERS) and not kind.startswith(OTHER):
        raise NoTileError("there is no such layer.")
    return kind


def _mask(text: str) -> UUID | None:
    return None if text in (NONE, "") else _uuid(text)


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise NoTileError("the address names no scene; open it from the application.") from None


def _number(text: str | None) -> float:
    try:
        return float(text or "")
    except ValueError:
        raise NoTileError("the address has no number where one is needed.") from None


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise NoTileError("there is no such tile.")
    return int(text)


def _numbers(text: str, count: int) -> tuple[float, ...]:
    parts = text.split(",")
    if len(parts) != count:
        raise NoTileError(f"the address needs {count} numbers with commas between.")
    return tuple(_number(part) for part in parts)


def _bounds(text: str | None) -> Bounds:
    west, south, east, north = _numbers(text or "", 4)
    if not (west < east and south < north):
        raise NoTileError("these are no bounds: west, south, east and north in degrees are needed.")
    return max(west, -180.0), max(south, -85.0), min(east, 180.0), min(north, 85.0)


def _limits(text: str | None) -> tuple[float, float] | None:
    if not text:
        return None
    low, high = _numbers(text, 2)
    if not 0 <= low < high <= 2:
        raise NoTileError("the stretch needs two reflectances, the lower one first.")
    return low, high
