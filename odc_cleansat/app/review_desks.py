"""The review pages inside the application: one for each choice of masks, behind the door."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from cachetools import LRUCache

from ..review.collection import Collection
from ..review.desk import Desk
from .door import JUDGE, ClosedError, Door

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import Mount
    from starlette.types import ASGIApp, Receive, Scope, Send

    from ..review.other_masks import OtherMask


OPEN_DESKS = 6
"""Choices of masks that are open at a time; each keeps pictures of up to 64 MB."""

MOST = 500
"""Most masks of one choice."""


class _Desks(LRUCache[str, "tuple[Desk, ASGIApp]"]):
    """Closes the desk that was not used for the longest time."""

    def popitem(self) -> tuple[str, tuple[Desk, ASGIApp]]:
        name, found = super().popitem()
        found[0].close()
        return name, found


class ReviewDesks:
    """Opens a review page for some masks, and answers under ``/review/KEY/NAME/``.

    The key in the path says who the person is, so that the page's own addresses, which are relative, have it too.

    Parameters
    ----------
    door
        Knows the keys.
    find
        Returns the masks with some ids.
    others
        Masks by others that stand beside them.
    """

    def __init__(
        self,
        door: Door,
        find: Callable[[tuple[UUID, ...]], Collection],
        others: Sequence[OtherMask] = (),
    ) -> None:
        self._others = others
        self._door = door
        self._find = find
        self._lock = threading.Lock()
        self._open = _Desks(OPEN_DESKS)

    def open(self, masks: Iterable[UUID]) -> str:
        """Return the name of the review page of some masks, which is made if it is new."""
        from starlette.routing import Router

        from ..review.serving import review_routes

        chosen = tuple(dict.fromkeys(masks))[:MOST]
        name = hashlib.sha256(b"".join(each.bytes for each in chosen)).hexdigest()[:16]
        with self._lock:
            if name not in self._open:
                desk = Desk(lambda: self._find(chosen), others=self._others)
                self._open[name] = desk, Router(review_routes(desk, self._person))
        return name

    def _person(self, request: Request) -> str | None:
        try:
            return self._door.person(request.path_params.get("key"), request.headers, JUDGE)
        except ClosedError:
            return None

    def mount(self) -> Mount:
        """Return the route of all review pages."""
        from starlette.responses import PlainTextResponse
        from starlette.routing import Mount

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            with self._lock:
                found = self._open.get(scope["path_params"]["name"])
            gone = PlainTextResponse("This page is closed. Open it again on the page Judge.", 404)
            await (gone if found is None else found[1])(scope, receive, send)

        return Mount("/review/{key}/{name}", app=answer)

    def close(self) -> None:
        """Close all pages."""
        with self._lock:
            for desk, _ in self._open.values():
                desk.close()
            self._open.clear()
