"""Who sits before the page."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from odc_cleansat.app.service import Service, set_service

st_testing = pytest.importorskip("streamlit.testing.v1", reason="the extra app is not installed")

SCRIPT = (
    "import streamlit as st\nfrom odc_cleansat.app.person import who\nst.write('it is ' + who())"
)


def run() -> st_testing.AppTest:
    return st_testing.AppTest.from_string(SCRIPT, default_timeout=30).run()


def test_people_of_one_machine_say_their_name(service: Service) -> None:
    app = run()
    app.text_input(key="name").set_value("Ann").run()
    assert app.main.markdown[0].value == "it is Ann"
    app.text_input(key="name").set_value(" ").run()
    assert app.main.markdown[0].value == "it is somebody"


def test_a_proxy_that_names_nobody_lets_nobody_in(service: Service) -> None:
    service.settings = dataclasses.replace(service.settings, user_header="X-User")
    set_service(service)
    app = run()
    assert "names nobody" in app.error[0].value
    assert not app.main.markdown


class SignedIn(dict[str, str]):
    """What Streamlit says of somebody."""

    is_logged_in = True


def test_whoever_signs_out_in_one_window_does_nothing_in_another(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Streamlit asks who is there only when a page is opened."""
    service.settings = dataclasses.replace(service.settings, sign_in=Path("auth.toml"))
    monkeypatch.setattr("streamlit.user", SignedIn(email="ann@example.org"))
    one, other = run(), run()
    assert one.main.markdown[0].value == "it is ann@example.org"
    next(each for each in one.sidebar.button if each.label == "Sign out").click().run()
    other.run()
    assert "signed out in another window" in other.error[0].value
    assert not other.main.markdown
    assert run().main.markdown[0].value == "it is ann@example.org"
