"""Listening at an address, for the commands that serve pages."""

from __future__ import annotations

import os
import socket

from ..errors import CleansatError


def listen(host: str, port: int, hint: str = "Give another --port.") -> socket.socket:
    """Listen at an address.

    Parameters
    ----------
    host
        Name or address of this machine.
    port
        Its port; 0 for one that is free.
    hint
        What to do if that cannot be.

    Raises
    ------
    CleansatError
        If that cannot be.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise CleansatError(
            f"cannot listen at {host}, port {port}: {_reason(error)}. {hint}"
        ) from error


def _reason(error: OSError) -> str:
    """What is wrong, without the address that Python adds to it."""
    number = error.errno or 0
    return os.strerror(number) if number > 0 else str(error.strerror or error)
