"""Listening at an address: a free port, and what is said of one that is taken."""

from __future__ import annotations

import pytest

from odc_cleansat.cli.listening import listen
from odc_cleansat.errors import CleansatError


def test_a_free_port_is_listened_at() -> None:
    with listen("127.0.0.1", 0) as found:
        assert found.getsockname()[1]


def test_a_port_that_is_taken_is_named_with_what_to_do() -> None:
    with listen("127.0.0.1", 0) as other:
        port = other.getsockname()[1]
        with pytest.raises(CleansatError, match=f"port {port}: Address already in use. Wait."):
            listen("127.0.0.1", port, "Wait.")


def test_a_name_that_is_nowhere() -> None:
    with pytest.raises(CleansatError, match=r"cannot listen at nowhere\.invalid, port 0: .*--port"):
        listen("nowhere.invalid", 0)
