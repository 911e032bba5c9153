"""Serve the review page, with buttons that write verdicts: routes for Starlette, by themselves or in another application."""

from __future__ import annotations

import functools
import hmac
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from .._version import __version__
from ..errors import LOG, CleansatError
from ..storage.reader import DocumentError, parse_json
from .desk import LONGEST_NAME, LONGEST_NOTE, Desk, UnknownMaskError
from .review_page import LEGEND
from .templates import content_policy, fill_template

Who = Callable[[Request], str | None]
"""Tells who sends a request; None if that person may not look at the masks."""

LARGEST = 1_000_000
"""Most bytes of a request. The ids of 20,000 masks have fewer."""

EVERY = 5
"""Seconds after which a page asks for what others said."""

TOKEN = "x-cleansat-token"
"""Header in which a page proves that it was served here."""

_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class _Refusal(Exception):
    """A request that is not answered, and why, in words for people."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


@dataclass(frozen=True)
class _Served:
    """What the routes share."""

    desk: Desk
    who: Who | None
    suggested: str
    title: str
    secret: bytes

    def person(self, request: Request) -> str | None:
        """Who sends the request; None if the page asks for the name.

        Raises
        ------
        _Refusal
            If that person may not look at the masks.
        """
        if self.who is None:
            return None
        name = self.who(request)
        if not name:
            raise _Refusal(401, "nobody is signed in. Sign in, and open this page again.")
        return name

    def token(self, person: str | None) -> str:
        """What a page of this person sends along with verdicts."""
        return hmac.new(self.secret, (person or "").encode(), "sha256").hexdigest()


def review_routes(
    desk: Desk, who: Who | None = None, *, suggested: str = "", title: str = "Masks to review"
) -> list[BaseRoute]:
    """Return the routes of the review page, which an application may have under any prefix.

    Addresses in the page are relative, so its own ends in a slash; see :func:`mounted`. Everything needs
    what `who` allows. Verdicts also need the token of a page of the same person and the same origin.

    Parameters
    ----------
    desk
        The masks.
    who
        Tells who sends a request. A person without a name gets nothing. By default the page asks for a name.
    suggested
        The name that the page suggests, if it asks for one.
    title
        Title of the page.
    """
    served = _Served(desk, who, suggested, title, secrets.token_bytes(32))

    def route(path: str, function: Callable[[_Served, Request], Any], method: str = "GET") -> Route:
        answer = _answered(functools.partial(function, served), desk)
        return Route(path, answer, methods=[method])

    return [
        route("/", _page),
        route("/states", _states),
        route("/verdicts", _verdicts, "POST"),
        route("/masks/{mask:uuid}/swipe", _swipe),
        route("/masks/{mask:uuid}/{picture}", _picture),
    ]


def mounted(prefix: str, routes: Sequence[BaseRoute]) -> list[BaseRoute]:
    """Return routes under a prefix, and one that adds the slash where somebody leaves it out.

    Parameters
    ----------
    prefix
        Such as ``/review``.
    routes
        See :func:`review_routes`.
    """

    async def add_slash(request: Request) -> Response:
        return RedirectResponse(f"{prefix.rpartition('/')[2]}/")

    return [Route(prefix, add_slash, methods=["GET"]), Mount(prefix, routes=list(routes))]


def review_app(hosts: Sequence[str], routes: Sequence[BaseRoute]) -> Starlette:
    """Return an application of its own with the routes of a review.

    Parameters
    ----------
    hosts
        Names under which people may call the server. Other names are refused, so that no page of
        elsewhere can reach it under a name of its own.
    routes
        See :func:`review_routes`.
    """
    # Of an address of version 6, releases of Starlette compare other parts. It is no name that could be made to point here.
    allowed = [
        part for host in hosts for part in ((host, f"[{host}]", "[") if ":" in host else (host,))
    ]
    guard = Middleware(TrustedHostMiddleware, allowed_hosts=allowed, www_redirect=False)
    return Starlette(routes=list(routes), middleware=[guard])


def _answered(
    function: Callable[[Request], Awaitable[Response]], desk: Desk
) -> Callable[[Request], Awaitable[Response]]:
    """Turn what goes wrong into words, which name no place of this machine."""

    async def answer(request: Request) -> Response:
        try:
            response = await function(request)
        except _Refusal as error:
            response = _trouble(request, error.status, str(error))
        except UnknownMaskError as error:
            response = _trouble(request, 404, desk.reason(error))
        except (CleansatError, OSError) as error:
            response = _trouble(request, 400, desk.reason(error))
        except Exception:
            LOG.exception("the review page cannot answer %s", request.url.path)
            words = "something went wrong that nobody expected; the log of the server says what."
            response = _trouble(request, 500, words)
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    return answer


def _trouble(request: Request, status: int, words: str) -> Response:
    words = words[:1].upper() + words[1:]
    if "text/html" in request.headers.get("accept", ""):
        page = fill_template("trouble.html", words, {})
        return HTMLResponse(page, status, _policy(page))
    return JSONResponse({"error": words}, status)


def _policy(page: str) -> dict[str, str]:
    """Headers that let a page run only what was written into it, and ask only this server."""
    more = ("connect-src 'self'", "frame-ancestors 'self'", "base-uri 'none'", "form-action 'none'")
    policy = content_policy(page, "img-src 'self' data:", *more)
    return {"Content-Security-Policy": policy}


# The routes


async def _page(served: _Served, request: Request) -> Response:
    person = served.person(request)

    def make() -> str:
        served.desk.refresh()
        found = served.desk.since(0)
        data = {
            "classes": LEGEND,
            "version": __version__,
            "rows": found["rows"],
            "served": {
                "by": person,
                "suggested": served.suggested,
                "token": served.token(person),
                "version": found["version"],
                "waiting": found["waiting"],
                "every": EVERY,
                "longest": {"note": LONGEST_NOTE, "name": LONGEST_NAME},
            },
        }
        return fill_template("page.html", served.title, data, served=True)

    page = await run_in_threadpool(make)
    return HTMLResponse(page, headers=_policy(page))


async def _states(served: _Served, request: Request) -> Response:
    served.person(request)
    try:
        version = int(request.query_params.get("since", "0"))
    except ValueError:
        raise _Refusal(400, "since is no number; reload the page.") from None

    def find() -> dict[str, Any]:
        served.desk.refresh()
        return served.desk.since(version)

    return JSONResponse(await run_in_threadpool(find))


async def _picture(served: _Served, request: Request) -> Response:
    served.person(request)
    mask, name = request.path_params["mask"], request.path_params["picture"]
    content, kind = await run_in_threadpool(served.desk.picture, mask, name)
    return Response(content, media_type=kind, headers={"Cache-Control": "private, max-age=600"})


async def _swipe(served: _Served, request: Request) -> Response:
    served.person(request)
    page = await run_in_threadpool(served.desk.swipe, request.path_params["mask"])
    return HTMLResponse(page, headers=_policy(page))


async def _verdicts(served: _Served, request: Request) -> Response:
    person = served.person(request)
    _check_origin(request)
    if not hmac.compare_digest(
        request.headers.get(TOKEN, "").encode(), served.token(person).encode()
    ):
        raise _Refusal(
            403, "this page is from before the server was started, or from elsewhere. Reload it."
        )
    document = await _document(request)
    kind, note, by = (_text(document, key) for key in ("verdict", "note", "by"))
    masks = _ids(document.get("masks"))
    given = await run_in_threadpool(
        served.desk.give, kind, masks, note, by if person is None else person
    )
    return JSONResponse(given)


# What a request says


def _check_origin(request: Request) -> None:
    """Refuse what a page of another origin sends."""
    site, origin = (request.headers.get(name) for name in ("sec-fetch-site", "origin"))
    same = (
        site == "same-origin"
        if site is not None
        else origin is not None and urlsplit(origin).netloc == request.headers.get("host")
    )
    if not same:
        raise _Refusal(403, "verdicts are taken only from the page that this server serves.")


async def _document(request: Request) -> dict[str, Any]:
    """The JSON document of a request of bounded size."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if kind != "application/json":
        raise _Refusal(415, "verdicts are sent as JSON.")
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > LARGEST:
            raise _Refusal(413, f"the request has more than {LARGEST} bytes; choose fewer masks.")
    try:
        document = parse_json(bytes(content), "the request")
    except DocumentError:
        raise _Refusal(400, "the request is no JSON; reload the page.") from None
    if not isinstance(document, dict):
        raise _Refusal(400, "the request is no JSON object; reload the page.")
    return document


def _text(document: dict[str, Any], key: str) -> str:
    value = document.get(key, "")
    if not isinstance(value, str):
        raise _Refusal(400, f"{key} is no text; reload the page.")
    return value


def _ids(masks: object) -> list[UUID]:
    if not isinstance(masks, list) or not masks:
        raise _Refusal(400, "no mask was named; choose one.")
    try:
        return [UUID(each) for each in masks]
    except (ValueError, AttributeError, TypeError):
        raise _Refusal(400, "masks are named by their ids; reload the page.") from None
