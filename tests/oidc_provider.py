"""A provider of OpenID Connect on loopback, at which one person is signed in already."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT, SECRET = "cleansat", "a secret of the client"
CODE = "one-time-code"


@contextlib.contextmanager
def oidc_provider(email: str) -> Iterator[str]:
    """Serve a provider; the value is the address of its metadata."""
    key = RSAKey.generate_key(2048, {"kid": "k", "alg": "RS256", "use": "sig"})
    asked: dict[str, str] = {}

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            address = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(address.query).items()}
            if address.path == "/authorize":
                assert query["client_id"] == CLIENT
                asked.update(query)
                answer = urlencode({"code": CODE, "state": query["state"]})
                self.send_response(302)
                self.send_header("Location", f"{query['redirect_uri']}?{answer}")
                self.end_headers()
            elif address.path == "/jwks":
                self._send({"keys": [key.as_dict(private=False)]})
            else:
                self._send(metadata)

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"])).decode()
            assert parse_qs(content)["code"] == [CODE]
            now = int(time.time())
            claims = {"iss": base, "aud": CLIENT, "sub": "1", "iat": now, "exp": now + 600,
                      "email": email, "nonce": asked.get("nonce")}  # fmt: skip
            token = jwt.encode({"alg": "RS256", "kid": "k"}, claims, key)
            self._send(
                {"access_token": "a", "token_type": "Bearer", "expires_in": 600, "id_token": token}
            )

        def _send(self, document: dict[str, Any]) -> None:
            content = json.dumps(document).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        base = f"http://127.0.0.1:{server.server_port}"
        metadata = {
            "issuer": base,
            "authorization_endpoint": f"{base}/authorize",
            "token_endpoint": f"{base}/token",
            "jwks_uri": f"{base}/jwks",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"{base}/.well-known/openid-configuration"
        server.shutdown()
