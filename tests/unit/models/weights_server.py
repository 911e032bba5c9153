"""A server of weights that fails as it is told to, and models whose weights it has."""

from __future__ import annotations

import hashlib
import http.server
import os
import re
import time
from collections import defaultdict
from dataclasses import replace

from odc_cleansat import get_model
from odc_cleansat.models.model import Model

CONTENT = os.urandom(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Serves `files` by ranges, as servers of weights do, and fails as `faults` says."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.redirects: dict[str, str] = {}
        self.faults: defaultdict[str, list[object]] = defaultdict(list)
        """Of a path, what goes wrong with the next requests: a status, or a word that `Handler` knows."""
        self.headers: dict[str, dict[str, str]] = {}
        """Further headers by path."""
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.ranges = True
        self.url = f"http://127.0.0.1:{self.server_port}"

    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients hang up; that is theirs to say."""


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.server.asked.append((self.path, dict(self.headers)))
        faults = self.server.faults[self.path]
        fault = faults.pop(0) if faults else None
        if isinstance(fault, int):
            return self.reply(fault)
        if fault == "page":
            return self.reply(200, b"<html>log in</html>", {"Content-Type": "text/html"})
        if target := self.server.redirects.get(self.path):
            return self.reply(302, b"", {"Location": target, **self.extra()})
        if self.path not in self.server.files:
            return self.reply(404)
        content = self.server.files[self.path]
        headers = {"ETag": f'"{hashlib.md5(content).hexdigest()}"', **self.extra()}
        if fault == "corrupt":
            content = bytes(len(content))
        status = 200
        if self.server.ranges and (asked := self.headers.get("Range")):
            start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1])
            if start >= len(content):
                return self.reply(416)
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            status, content = 206, content[start:]
        return self.reply(status, content, headers, fault)

    def extra(self) -> dict[str, str]:
        return self.server.headers.get(self.path, {})

    def reply(
        self,
        status: int,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        fault: object = None,
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if fault in ("cut", "stall"):
            self.wfile.write(body[: len(body) // 2])
            if fault == "stall":
                time.sleep(1.5)
            return
        for at in range(0, len(body), 2**16):
            self.wfile.write(body[at : at + 2**16])
            if fault == "slow":
                time.sleep(0.1)


def remote(server: Server, sha256: str = SHA256, **changes: object) -> Model:
    changes = {"name": "net", "version": "1", "weights": f"{server.url}/some/net.pt"} | changes
    return replace(get_model(), sha256=sha256, **changes)
