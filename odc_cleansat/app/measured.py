"""How long requests take, for Prometheus: a layer around the application."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

KINDS = ("alive", "map", "shares", "swipe", "thumbnails", "tiles", "values")
"""First parts of addresses that are told apart; all others are pages."""

SECONDS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""Bounds of the counts by duration."""


class Measured:
    """Counts requests by kind, status and duration.

    Parameters
    ----------
    app
        What answers them.
    registry
        A `prometheus_client.CollectorRegistry`.
    """

    def __init__(self, app: ASGIApp, registry: Any) -> None:
        from prometheus_client import Histogram

        self.app = app
        self._seconds = Histogram(
            "cleansat_app_request_seconds",
            "Duration of requests, by kind and status",
            ["kind", "status"],
            buckets=SECONDS,
            registry=registry,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status = 500  # where nothing is answered

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        first = scope["path"].strip("/").partition("/")[0]
        begun = time.monotonic()
        try:
            await self.app(scope, receive, noted)
        finally:
            kind = first if first in KINDS else "pages"
            self._seconds.labels(kind, str(status)).observe(time.monotonic() - begun)
