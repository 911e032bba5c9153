"""Python code in a process apart, for libraries that may crash, hang or take long to import."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import Any

from ..errors import CleansatError


class ApartError(CleansatError):
    """Code that crashed, failed or took too long."""


def run_apart(code: str, seconds: float, **environment: str) -> Any:
    """Run Python code in a process apart, and return what it prints in its last line as JSON.

    Parameters
    ----------
    code
        Source code that sees the same packages as this process.
    seconds
        Time after which the process is killed.
    environment
        Variables to add to its environment.

    Raises
    ------
    ApartError
        If it crashes, fails, prints no JSON or takes longer.
    """
    # Isolated, with the path of this process, and without the folder where the user happens to be:
    # neither a relative path nor PYTHONPATH may bring a module of that folder in.
    path = [*filter(os.path.isabs, sys.path)]
    whole = f"import sys\nsys.path[:] = {path!r}\n{code}"
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-W", "ignore", "-c", whole],
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            env={**os.environ, **environment},
        )
    except subprocess.TimeoutExpired as error:
        raise ApartError(f"no answer within {seconds:g} s") from error
    if done.returncode < 0:
        raise ApartError(f"it crashed ({_signal_name(-done.returncode)})")
    lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    try:
        return json.loads(lines[-1])
    except (IndexError, ValueError) as error:
        raise ApartError(lines[-1] if lines else f"exit code {done.returncode}") from error


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
