"""A Blob service of Azure: blobs and ranges of them, blocks, lists of these, and a listing.

It checks no signature. What it answers was compared with Azurite 3.37.0.
"""

import base64
import contextlib
import re
import secrets
import threading
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

ACCOUNT = "devstoreaccount1"
KEY = base64.b64encode(b"s3cr3t-that-nobody-may-see-either").decode()
_ENTRY = (
    "<Blob><Name>{}</Name><Properties><Last-Modified>Thu, 26 Nov 2026 20:00:00 GMT"
    "</Last-Modified><Etag>{}</Etag><Content-Length>{}</Content-Length>"
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
    wbufsize = -1  # an answer is one write, which waits for no acknowledgement
    store: AzureStandIn

    def do_GET(self) -> None:
        if "comp=list" not in urlsplit(self.path).query:
            self._send_blob()
            return
        prefix = parse_qs(urlsplit(self.path).query).get("prefix", [""])[0]
        found = [  # here, and only here, an ETag has no quotes
            _ENTRY.format(escape(name), _etag(data), len(data))
            for name, data in sorted(self.store.blobs.items())
            if name.startswith(prefix)
        ]
        text = f"<EnumerationResults><Blobs>{''.join(found)}</Blobs><NextMarker/>"
        self._answer(200, f'<?xml version="1.0"?>{text}</EnumerationResults>'.encode())

    def do_HEAD(self) -> None:
        self._send_blob()

    def _send_blob(self) -> None:
        data = self.store.blobs.get(self._name())
        if data is None:
            self._answer(404)
            return
        if self.headers.get("If-Match") not in (None, f'"{_etag(data)}"'):
            self._answer(412)
            return
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range") or "")
        first, last = (0, len(data) - 1) if asked is None else (int(asked[1]), int(asked[2]))
        self.send_response(200 if asked is None else 206)
        if asked is not None:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
        self.send_header("Content-Length", str(last + 1 - first))
        self.send_header("Last-Modified", "Fri, 27 Nov 2026 00:00:00 GMT")
        self.send_header("ETag", f'"{_etag(data)}"')
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data[first : last + 1])

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

    def do_POST(self) -> None:
        """Delete what a batch names, and answer for each."""
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        said = []
        for number, path in enumerate(re.findall(r"^DELETE (\S+) HTTP", body, re.MULTILINE)):
            blob = self.store.blobs.pop(self._name(path), None)
            status = "404 Not Found" if blob is None else "202 Accepted"
            said.append(
                f"--batch\r\nContent-Type: application/http\r\nContent-ID: {number}\r\n\r\n"
                f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n"
            )
        answer = "".join(said) + "--batch--\r\n"
        self._answer(202, answer.encode(), "multipart/mixed; boundary=batch")

    def _name(self, path: str = "") -> str:
        place = f"/{ACCOUNT}/{self.store.container}/"
        return unquote(urlsplit(path or self.path).path.removeprefix(place))

    def _answer(self, status: int, body: bytes = b"", kind: str = "application/xml") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _etag(data: bytes) -> str:
    return f"0x{zlib.crc32(data):X}"


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
