"""The script of the application: all pages, for the person who sits there."""

from __future__ import annotations

from pathlib import Path

import pytest

import odc_cleansat.app
from odc_cleansat.app.service import Service

st_testing = pytest.importorskip("streamlit.testing.v1", reason="the extra app is not installed")


def test_the_first_page_is_that_of_scenes(service: Service) -> None:
    script = Path(odc_cleansat.app.__file__).with_name("page.py")
    app = st_testing.AppTest.from_file(str(script), default_timeout=60).run()
    assert not app.exception
    assert app.title[0].value == "Scenes"
    assert app.text_input(key="name").value
    assert list(app.session_state["pages"]) == ["Scenes", "Look", "Judge", "Recall", "Composite", "Queue"]  # fmt: skip
