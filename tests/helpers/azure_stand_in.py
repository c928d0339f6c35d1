"""A Blob service of Azure as far as uploads need it: blocks, lists of them, and a listing.

It checks no signature. What it answers was compared with Azurite 3.37.0.
"""

import base64
import contextlib
import re
import secrets
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

ACCOUNT = "devstoreaccount1"
KEY = base64.b64encode(b"s3cr3t-that-nobody-may-see-either").decode()
_ENTRY = (
    "<Blob><Name>{}</Name><Properties><Last-Modified>Thu, 26 Nov 2026 20:00:00 GMT"
    "</Last-Modified><Etag>0x1</Etag><Content-Length>{}</Content-Length>"
    "<Content-Type>text/plain</Content-Type></Properties></Blob>"
)


class AzureStandIn:
    """Blobs by name, and the blocks that no list names yet."""

    def __init__(self, url: str) -> None:
        self.container = f"c{secrets.token_hex(6)}"  # stores are kept by their names
        self.blobs: dict[str, bytes] = {}
        self.blocks: dict[tuple[str, str], bytes] = {}
        self.environment = {
            "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": KEY,
            "AZURE_STORAGE_ENDPOINT": f"{url}/{ACCOUNT}",
        }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    store: AzureStandIn

    def do_GET(self) -> None:
        prefix = parse_qs(urlsplit(self.path).query).get("prefix", [""])[0]
        found = [
            _ENTRY.format(escape(name), len(data))
            for name, data in sorted(self.store.blobs.items())
            if name.startswith(prefix)
        ]
        text = f"<EnumerationResults><Blobs>{''.join(found)}</Blobs><NextMarker/>"
        self._answer(200, f'<?xml version="1.0"?>{text}</EnumerationResults>'.encode())

    def do_HEAD(self) -> None:
        data = self.store.blobs.get(self._name())
        self.send_response(404 if data is None else 200)
        self.send_header("Content-Length", str(len(data or b"")))
        self.send_header("Last-Modified", "Fri, 27 Nov 2026 00:00:00 GMT")
        self.send_header("ETag", '"0x1"')
        self.end_headers()

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urlsplit(self.path)
        query, name = parse_qs(parts.query), self._name()
        what = query.get("comp", [""])[0]
        if "sig" not in query or not parts.path.startswith(f"/{ACCOUNT}/{self.store.container}/"):
            self._answer(403 if "sig" not in query else 404)
        elif what == "block":
            self.store.blocks[name, query["blockid"][0]] = body
            self._answer(201)
        elif what == "blocklist":
            ids = re.findall(r"<Latest>([^<]+)</Latest>", body.decode())
            self.store.blobs[name] = b"".join(self.store.blocks[name, one] for one in ids)
            self._answer(201)
        else:
            self.store.blobs[name] = body
            self._answer(201)

    def do_DELETE(self) -> None:
        self.store.blobs.pop(self._name(), None)
        self._answer(202)

    def _name(self) -> str:
        return unquote(urlsplit(self.path).path.removeprefix(f"/{ACCOUNT}/{self.store.container}/"))

    def _answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def azure_stand_in() -> Iterator[AzureStandIn]:
    """Run one on the loopback."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {}))
    store = AzureStandIn(f"http://127.0.0.1:{server.server_address[1]}")
    server.RequestHandlerClass.store = store  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield store
    finally:
        server.shutdown()
        server.server_close()
