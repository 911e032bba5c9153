"""A proxy on loopback that adds a header to each request, as one that signs people in does."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def header_proxy(port: int, header: str) -> Iterator[str]:
    """Hand on connections to a port; each has one request, or is a web socket."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_accept, args=(server, port, header), daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def _accept(server: socket.socket, port: int, header: str) -> None:
    with contextlib.suppress(OSError):  # closed
        while True:
            client, _ = server.accept()
            threading.Thread(target=_serve, args=(client, port, header), daemon=True).start()


def _serve(client: socket.socket, port: int, header: str) -> None:
    with (
        contextlib.suppress(OSError),
        client,
        socket.create_connection(("127.0.0.1", port)) as there,
    ):
        head = b""
        while b"\r\n\r\n" not in head:
            part = client.recv(65536)
            if not part:
                return
            head += part
        lines, _, body = head.partition(b"\r\n\r\n")
        kept = lines.split(b"\r\n")
        if b"upgrade: websocket" not in lines.lower():
            kept = [line for line in kept if not line.lower().startswith(b"connection:")]
            kept.append(b"Connection: close")
        there.sendall(b"\r\n".join([*kept, header.encode()]) + b"\r\n\r\n" + body)
        back = threading.Thread(target=_pump, args=(there, client), daemon=True)
        back.start()
        _pump(client, there)
        back.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while part := source.recv(65536):
            target.sendall(part)
        target.shutdown(socket.SHUT_WR)
