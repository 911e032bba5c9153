"""The script of the application: all pages, for the person who sits there."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Fresh

import odc_cleansat.app
from odc_cleansat.app.service import Service

st_testing = pytest.importorskip("streamlit.testing.v1", reason="the extra app is not installed")


SCRIPT = Path(odc_cleansat.app.__file__).with_name("page.py")


def test_the_first_page_is_that_of_scenes(service: Service) -> None:
    app = st_testing.AppTest.from_file(str(SCRIPT), default_timeout=60).run()
    assert not app.exception
    assert app.title[0].value == "Scenes"
    assert not [each.value for each in app.main.markdown if "Streamlit" in each.value]
    assert app.text_input(key="name").value
    assert list(app.session_state["pages"]) == ["Scenes", "Look", "Judge", "Recall", "Composite", "Queue"]  # fmt: skip


def test_a_worker_that_takes_its_place_is_not_ended_by_the_script(fresh: Fresh) -> None:
    """A new process imports what is the main module of the process that starts it: for Streamlit, its script."""
    code = f"""
import multiprocessing, sys, types
script = types.ModuleType("__main__")
script.__file__ = {str(SCRIPT)!r}
sys.modules["__main__"] = script
worker = multiprocessing.get_context("spawn").Process(target=print, args=("at work",))
worker.start()
worker.join()
print(worker.exitcode)
"""
    assert fresh(code).split("\n")[:2] == ["at work", "0"]
    imported = f"""
import runpy, sys
runpy.run_path({str(SCRIPT)!r}, run_name="__mp_main__")
print("streamlit" in sys.modules)
"""
    assert fresh(imported).strip() == "False"
