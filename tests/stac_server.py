"""A STAC API on a loopback port: real items, whose assets are small scenes of our own, served by ranges."""

from __future__ import annotations

import copy
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import rasterio
from odc.geo.geobox import GeoBox

CONFORMS = [
    "https://api.stacspec.org/v1.0.0/core",
    "https://api.stacspec.org/v1.0.0/collections",
    "https://api.stacspec.org/v1.0.0/item-search",
    "https://api.stacspec.org/v1.0.0/item-search#query",
    "https://api.stacspec.org/v1.0.0/ogcapi-features",
]


class StacServer:
    """The items of an API, the folders that it serves files from, and how it fails."""

    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = []
        self.folders: dict[str, Path] = {}
        self.collections: list[str] = []
        """Collections that it has besides those of its items."""
        self.page = 2
        """Items a page, so that a search has to turn pages."""
        self.broken: dict[str, int] = {}
        """Paths (a part of them) that answer with this status."""
        self.flaky: dict[str, int] = {}
        """Paths (a part of them) that fail so many times more."""
        self.logins: dict[str, str] = {}
        """Paths (a part of them) that want this text in the header `Authorization`; an empty text: that want no login."""
        self.lifetime = 3600.0
        """Seconds for which a signature of Planetary Computer is good."""
        self.signed: tuple[str, ...] = ()
        """How paths of its containers begin."""
        self.tokens: dict[str, float] = {}
        """Its signatures and when they end, seconds since 1970."""
        self.searches: list[dict[str, Any]] = []
        self.requests: list[str] = []
        self.refused: list[str] = []
        self.url = ""

    def add(self, document: Path, folder: str, **changes: Any) -> dict[str, Any]:
        """Add a real item, its bands those of one of the folders.

        JPEG 2000 duplicates are left pointing at nothing.
        """
        item: dict[str, Any] = copy.deepcopy(json.loads(document.read_text(encoding="utf-8")))
        item |= changes
        for key, asset in item["assets"].items():
            if name := band_file(key, asset):
                asset["href"] = f"{self.url}/{folder}/{name}"
            else:
                asset["href"] = f"{self.url}/nothing/{key}"
        item.setdefault("collection", "sentinel-2-l2a")
        item["links"] = [
            {
                "rel": "self",
                "href": f"{self.url}/items/{item['id']}",
                "type": "application/geo+json",
            }
        ]
        self.items.append(item)
        return item

    def refuses(self, path: str, query: str, login: str) -> int | None:
        """The status with which it refuses a path without its signature or login."""
        if path.startswith(self.signed) and self.tokens.get(query, 0) < time.time():
            return 403 if query else 409
        wanted = next((text for part, text in self.logins.items() if part in path), None)
        if wanted is None:
            return None
        return None if (wanted in login if wanted else not login) else 403

    # --- answers

    def answer(self, path: str, query: dict[str, Any]) -> Any:
        """The JSON of a path, or None."""
        if path in ("", "/"):
            return self._landing()
        if path == "/collections":
            names = dict.fromkeys([*self.collections, *(item["collection"] for item in self.items)])
            return {"collections": [_collection(name) for name in names], "links": []}
        if path.startswith("/items/"):
            found = [item for item in self.items if item["id"] == path.rpartition("/")[2]]
            return found[0] if found else None
        if path == "/search":
            return self._search(query)
        if path.startswith("/sas/"):
            end, token = time.time() + self.lifetime, f"st=1&sig=secret{len(self.tokens)}"
            self.tokens[token] = end
            told = datetime.fromtimestamp(end, UTC).isoformat(timespec="seconds")
            return {"token": token, "msft:expiry": told.replace("+00:00", "Z")}
        return None

    def _landing(self) -> dict[str, Any]:
        links = [
            {"rel": "self", "href": self.url, "type": "application/json"},
            {"rel": "root", "href": self.url, "type": "application/json"},
            {"rel": "data", "href": f"{self.url}/collections", "type": "application/json"},
            {
                "rel": "search",
                "href": f"{self.url}/search",
                "type": "application/geo+json",
                "method": "POST",
            },
        ]
        return {
            "type": "Catalog", "id": "loopback", "description": "for tests", "stac_version": "1.0.0",
            "conformsTo": CONFORMS, "links": links,
        }  # fmt: skip

    def _search(self, query: dict[str, Any]) -> dict[str, Any]:
        self.searches.append(query)
        found = [item for item in self.items if _matches(item, query)]
        start = int(query.get("token", 0))
        links = []
        if start + self.page < len(found):
            body = {**query, "token": str(start + self.page)}
            links = [{"rel": "next", "href": f"{self.url}/search", "method": "POST", "body": body}]
        part = found[start : start + self.page]
        return {"type": "FeatureCollection", "features": part, "links": links}

    def file(self, path: str) -> Path | None:
        """The file of a path."""
        _, folder, name = path.split("/", 2)
        found = self.folders.get(folder, Path("/nowhere")) / name
        return found if found.is_file() else None


def band_file(key: str, asset: dict[str, Any]) -> str | None:
    """``B02.tif`` for an asset with that band, whatever the provider calls it."""
    if "jp2" in (asset.get("type") or "") or asset["href"].endswith(".jp2"):
        return None
    code = re.search(r"(B\d[\dA]|SCL|band\d[\da])(?:_\d+m)?\.tif$", asset["href"])
    return f"{code.group(1).replace('band', 'B').upper()}.tif" if code else None


def _collection(name: str) -> dict[str, Any]:
    extent = {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [["2015-06-27T00:00:00Z", None]]}}  # fmt: skip
    return {
        "type": "Collection", "stac_version": "1.0.0", "id": name, "description": "for tests", "license": "other",
        "extent": extent, "links": [],
    }  # fmt: skip


def _matches(item: dict[str, Any], query: dict[str, Any]) -> bool:
    west, south, east, north = query["bbox"]
    w, s, e, n = item["bbox"]
    first, _, last = query["datetime"].partition("/")
    moment = item["properties"]["datetime"][:19]
    cloud = query.get("query", {}).get("eo:cloud_cover", {}).get("lte", 100)
    return (
        item["collection"] in query["collections"]
        and w <= east and west <= e and s <= north and south <= n
        and first[:19] <= moment <= (last or first)[:19]
        and item["properties"].get("eo:cloud_cover", 0) <= cloud
    )  # fmt: skip


def write_item(path: Path, bands: Path, **properties: Any) -> Path:
    """A small item of our own for a folder of bands, with their footprint; for `StacServer.add`."""
    with rasterio.open(bands / "B02.tif") as file:
        footprint = GeoBox.from_rio(file).extent.to_crs("EPSG:4326")
    files = sorted(bands.glob("*.tif"))
    item = {
        "type": "Feature", "stac_version": "1.0.0", "id": path.stem, "geometry": footprint.json,
        "bbox": list(footprint.boundingbox), "links": [],
        "properties": {"datetime": "2024-06-15T10:10:31Z", "eo:cloud_cover": 12.5, "grid:code": "MGRS-33UVP", "s2:processing_baseline": "05.00", **properties},
        "assets": {file.stem: {"href": file.name, "type": "image/tiff"} for file in files},
    }  # fmt: skip
    path.write_text(json.dumps(item), encoding="utf-8")
    return path


@contextmanager
def serving(server: StacServer) -> Iterator[StacServer]:
    """Let it answer on a port of its own."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or "{}")
            path = urlparse(self.path).path
            if status := self._fault(path):
                self._send(status, b"no")
            else:
                self._answer(server.answer(path, body))

        def do_GET(self) -> None:
            parts = urlparse(self.path)
            server.requests.append(self.path)
            if status := self._fault(parts.path):
                self._send(status, b"no")
            elif status := server.refuses(
                parts.path, parts.query, self.headers.get("Authorization", "")
            ):
                server.refused.append(self.path)
                self._send(status, b"public access is not permitted")
            elif file := server.file(parts.path) if parts.path.count("/") > 1 else None:
                self._range(file.read_bytes())
            else:
                query = {key: value[0] for key, value in parse_qs(parts.query).items()}
                self._answer(server.answer(parts.path, query))

        def _fault(self, path: str) -> int | None:
            for part in server.flaky:
                if part in path and server.flaky[part] > 0:
                    server.flaky[part] -= 1
                    return 503
            return next((status for part, status in server.broken.items() if part in path), None)

        def _range(self, content: bytes) -> None:
            match = re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            if not match:
                self._send(200, content)
                return
            start, end = int(match.group(1)), int(match.group(2) or len(content) - 1)
            if start >= len(content):
                self._send(416, b"")
                return
            part = content[start : end + 1]
            span = f"bytes {start}-{start + len(part) - 1}/{len(content)}"
            self._send(206, part, {"Content-Range": span})

        def _answer(self, document: Any) -> None:
            if document is None:
                self._send(404, b"not here")
            else:
                self._send(200, json.dumps(document).encode(), {"Content-Type": "application/json"})

        def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in {"Accept-Ranges": "bytes", **(headers or {})}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    server.url = f"http://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
