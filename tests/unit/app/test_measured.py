"""Requests are counted by kind, status and duration."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from odc_cleansat.app.measured import Measured


def test_requests_are_counted_by_kind_and_status() -> None:
    registry = CollectorRegistry()

    def answer(request: Request) -> PlainTextResponse:
        if "fail" in request.url.path:
            raise RuntimeError("no")
        return PlainTextResponse("ok")

    app = Starlette(routes=[Route("/{path:path}", answer)])
    visitor = TestClient(Measured(app, registry), raise_server_exceptions=False)
    for path in ("/tiles/ucl/1", "/tiles/ucl/2", "/values/fail", "/", "/healthz/x", "/alive"):
        visitor.get(path)
    counted = {
        (kind, status): registry.get_sample_value(
            "cleansat_app_request_seconds_count", {"kind": kind, "status": status}
        )
        for kind, status in (
            ("tiles", "200"),
            ("values", "500"),
            ("pages", "200"),
            ("alive", "200"),
        )
    }
    assert counted == {
        ("tiles", "200"): 2, ("values", "500"): 1, ("pages", "200"): 2, ("alive", "200"): 1
    }  # fmt: skip
    for status in ("200", "500"):
        seconds = registry.get_sample_value(
            "cleansat_app_request_seconds_sum",
            {"kind": "tiles" if status == "200" else "values", "status": status},
        )
        assert seconds == pytest.approx(0, abs=5)
