"""Start the application: Streamlit's server with routes of our own, on one port, in one process."""

from __future__ import annotations

import gc
import os
import signal
import sys
import warnings
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from fnmatch import fnmatchcase
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ..batch.metrics import served_metrics
from ..errors import CleansatError
from ..storage.settings import CACHE, CACHE_VARIABLE
from .measured import Measured
from .routes import make_routes, map_library
from .service import Service, set_service
from .settings import AppSettings

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send
    from streamlit.starlette import App


THIS_MACHINE = ("localhost", "127.0.0.1", "[::1]", "::1")
"""Names under which a browser on this machine reaches the application."""

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "same-origin",
}
"""Sent with every answer. Addresses with keys go to no other site."""


def serve(settings: AppSettings, begins: Callable[[], object] = lambda: None) -> None:
    """Serve the application until it is stopped.

    Parameters
    ----------
    settings
        How it was started.
    begins
        Called once the store is found to be usable, and people can be told the address.

    Raises
    ------
    CleansatError
        If Streamlit or another package of the extra ``app`` is missing, or the store cannot be used.
    """
    try:
        import rio_tiler  # noqa: F401
        import streamlit  # noqa: F401
    except ImportError as error:
        raise CleansatError(
            f"the application needs {error.name}; run: pip install 'odc-cleansat[app]'"
        ) from error
    map_library()
    os.environ.setdefault(CACHE_VARIABLE, CACHE)
    service = Service(settings)
    asked: list[int] = []

    def end(number: int, _: object) -> None:
        asked.append(number)
        sys.exit(0)

    def starts() -> None:
        # What is imported before may have caught the exit, and would serve for ever.
        if asked:
            signal.raise_signal(signal.SIGTERM)

    # Whoever serves hands a SIGTERM on, which would end the process before workers are stopped.
    signal.signal(signal.SIGTERM, end)
    try:
        with served_metrics(settings.metrics_port, settings.metrics_host) as registry:
            service.start()
            load_pages()
            begins()
            make_app(service, registry, starts).run(config=streamlit_config(settings))
    finally:
        service.close()


def load_pages() -> None:
    """Import what pages need, and let Python's collector of garbage pass over that from now on.

    Streamlit calls the collector after each run of a page. It took 0.13 s of a processor, in which no other thread ran.
    Reading the first document of a scene imports two hundred modules, for 0.7 s of a processor between click and progress.
    """
    for name in ("composite", "judge", "queue", "recall", "scenes", "view"):
        import_module(f"{__package__}.{name}_page")
    for name in ("altair", "astral.sun", "eodatasets3", "pandas", "pyarrow", "rio_tiler.io"):
        import_module(name)
    gc.collect()
    gc.freeze()


def make_app(
    service: Service, registry: Any = None, starts: Callable[[], object] = lambda: None
) -> App:
    """Return the ASGI application of a service, for Streamlit's own server or another one.

    Parameters
    ----------
    service
        What it serves.
    registry
        A `prometheus_client.CollectorRegistry` that counts requests; None to count none.
    starts
        Called when whoever serves it begins, and handles signals.
    """
    import streamlit as st
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    set_service(service)
    # Scenes of other makers often have no overviews; a line for each tile tells nobody anything.
    warnings.filterwarnings("ignore", message="The dataset has no Overviews", append=False)
    settings = service.settings

    @asynccontextmanager
    async def lifespan(_: App) -> AsyncIterator[None]:
        starts()
        yield

    return st.App(
        Path(__file__).with_name("page.py"),
        routes=make_routes(service),
        middleware=[
            *([] if registry is None else [Middleware(Measured, registry=registry)]),
            Middleware(
                TrustedHostMiddleware, allowed_hosts=allowed_hosts(settings), www_redirect=False
            ),
            Middleware(OwnPages, names=settings.allowed_hosts),
            Middleware(LetInUploads, is_inside=service.door.is_inside),
            Middleware(
                _WithHeaders,
                headers={**HEADERS, "Content-Security-Policy": content_policy(settings.basemap)},
            ),
        ],
        lifespan=lifespan,
        on_script_error=_on_script_error,
    )


def allowed_hosts(settings: AppSettings) -> list[str]:
    """Return the names of hosts that are answered; others may be a trick with names (DNS rebinding)."""
    named = settings.allowed_hosts or (() if settings.host in THIS_MACHINE else (settings.host,))
    return [*THIS_MACHINE, *(name for name in named if name not in ("0.0.0.0", "::"))]


def content_policy(basemap: str | None) -> str:
    """Return what pages may load (CSP): nothing from elsewhere, but the tiles of a basemap.

    Streamlit and its charts make scripts and styles on the way; so those of this server are not narrowed down.
    """
    place = urlsplit(basemap or "")
    ours = "'self'" + (f" {place.scheme}://{place.netloc}" if place.netloc else "")
    return "; ".join(
        (
            "default-src 'self'",
            "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
            "style-src 'self' 'unsafe-inline'",
            f"img-src {ours} data: blob:",
            f"connect-src {ours} data: blob:",
            "font-src 'self' data:",
            "worker-src 'self' blob:",
            "object-src 'none'",
            "base-uri 'self'",
            "frame-ancestors 'self'",
        )
    )


def streamlit_config(settings: AppSettings) -> Mapping[str, Any]:
    """Return Streamlit's options: no statistics to anybody, no tracebacks, small uploads."""
    secrets = (
        {} if settings.sign_in is None else {"secrets.files": [str(settings.sign_in.absolute())]}
    )
    return {
        **secrets,
        "server.address": settings.host,
        "server.port": settings.port,
        "server.headless": True,
        "server.fileWatcherType": "none",
        "runner.magicEnabled": False,
        "server.maxUploadSize": settings.limits.upload,
        "server.enableStaticServing": False,
        "browser.gatherUsageStats": False,
        "client.showErrorDetails": "none",
        "client.toolbarMode": "minimal",
        "global.developmentMode": False,
        # Of both, so that the browser's wish for a light or a dark page is followed.
        "theme.light.primaryColor": "#0072b2",
        "theme.dark.primaryColor": "#0072b2",
    }


def _on_script_error(error: Exception) -> bool:
    """Show an error that a page did not foresee in words."""
    import streamlit as st

    from .words import in_words, plain

    st.error(plain(in_words(error)))
    return True


class OwnPages:
    """Lets only our own pages open a connection; other sites would act with the sign-in of whoever visits them.

    A proxy may call us by another name than browsers do. So the origin may also be one of the names that were allowed. To
    Streamlit it is the host then, or else Streamlit would ask the internet for the address of this machine.

    Streamlit's own figures are not told, because anybody could read them; see ``--metrics-port``.
    """

    def __init__(self, app: ASGIApp, names: Sequence[str]) -> None:
        self.app = app
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].rstrip("/").endswith("/_stcore/metrics"):
            from starlette.responses import PlainTextResponse

            await PlainTextResponse("There are no figures here.", 404)(scope, receive, send)
            return
        if scope["type"] == "websocket":
            headers = dict(scope["headers"])
            origin = urlsplit(headers.get(b"origin", b"").decode("latin-1"))
            host = headers.get(b"host", b"").decode("latin-1")
            if b"origin" in headers and origin.netloc != host:
                if not any(fnmatchcase(origin.hostname or "", name) for name in self._names):
                    await send({"type": "websocket.close", "code": 1008, "reason": "other site"})
                    return
                others = [pair for pair in scope["headers"] if pair[0] != b"host"]
                scope = {**scope, "headers": [*others, (b"host", origin.netloc.encode("latin-1"))]}
        await self.app(scope, receive, send)


class LetInUploads:
    """Takes files only in sessions in which somebody has been let in; to Streamlit an open connection is enough.

    Parameters
    ----------
    app
        What takes them.
    is_inside
        Tells by its id whether a session is such a one.
    """

    def __init__(self, app: ASGIApp, is_inside: Callable[[str], bool]) -> None:
        self.app = app
        self._is_inside = is_inside

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        _, found, rest = scope.get("path", "").partition("/_stcore/upload_file/")
        if found and not self._is_inside(rest.partition("/")[0]):
            from starlette.responses import PlainTextResponse

            await PlainTextResponse("Sign in before you upload a file.", 403)(scope, receive, send)
            return
        await self.app(scope, receive, send)


class _WithHeaders:
    """Adds some headers to every answer that has not got them."""

    def __init__(self, app: ASGIApp, headers: Mapping[str, str]) -> None:
        self.app = app
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *(
                        (name.lower().encode(), value.encode())
                        for name, value in self._headers.items()
                        if name.lower().encode() not in given
                    ),
                ]
            await send(message)

        await self.app(scope, receive, with_headers if scope["type"] == "http" else send)
