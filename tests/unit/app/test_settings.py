"""The settings: safe ones by default."""

from __future__ import annotations

from odc_cleansat.app import AppSettings


def test_by_default_it_is_closed_and_bounded() -> None:
    settings = AppSettings("store")
    assert settings.host == "127.0.0.1"
    assert settings.basemap is None
    assert settings.user_header is None
    limits = settings.limits
    assert 0 < limits.jobs <= 100
    assert 12_000 < limits.area < 1_000_000
    assert limits.upload <= 10
