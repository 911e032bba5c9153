"""Code in a process apart: its answer, and all the ways in which it gives none."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from odc_cleansat.doctor.apart import ApartError, run_apart


def test_an_answer() -> None:
    code = "import json, os; print('noise'); print(json.dumps([os.environ['HERE'], sys.path]))"
    assert run_apart(code, 30, HERE="yes") == ["yes", [*filter(os.path.isabs, sys.path)]]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", "crashed .SIGILL"),
        ("import os, signal; os.kill(os.getpid(), 40)", "crashed .signal 40|crashed .SIG"),
        ("raise ValueError('because')", "ValueError: because"),
        ("sys.exit(3)", "exit code 3"),
        ("print('no json')", "no json"),
        ("import time; time.sleep(60)", "no answer within"),
    ],
)
def test_no_answer(code: str, said: str) -> None:
    with pytest.raises(ApartError, match=said):
        run_apart(code, 2 if "sleep" in code else 30)


@pytest.mark.parametrize("entry", ["", "."])
def test_modules_of_the_folder_at_hand_are_not_seen(
    entry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit(9)")
    # What Python runs before any other code is looked for in PYTHONPATH too.
    (tmp_path / "sitecustomize.py").write_text("import json")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", entry or os.pathsep)
    monkeypatch.setattr(sys, "path", [entry, *sys.path])
    assert run_apart("import json; print(json.dumps(1))", 30) == 1
