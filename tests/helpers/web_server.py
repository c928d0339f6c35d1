"""An HTTP server of the tests: files with and without ranges, sizes, versions; and a small hub."""

import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
PAGE = 2  # entries of a page of the hub's listings


@dataclass
class WebServer:
    """What a server serves, by path, and how.

    has_ranges, tells_size, tells_version  what its answers have
    token      which requests to the hub must carry; empty: none
    seen       the path of every request and its headers
    """

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    has_ranges: bool = True
    tells_size: bool = True
    tells_version: bool = True
    token: str = ""
    repository: str = "org/name"
    seen: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def put(self, key: str, data: bytes) -> None:
        self.files[key] = data


@contextlib.contextmanager
def web_server() -> Iterator[WebServer]:
    """Run a server on the loopback."""
    web = WebServer()

    class Handler(_Handler):
        owner = web

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    web.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield web
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # else the head and the body go apart, and wait for each other
    owner: WebServer

    def do_GET(self) -> None:
        web, parts = self.owner, urlsplit(self.path)
        web.seen.append((self.path, dict(self.headers.items())))
        path = unquote(parts.path)[1:]
        key = self.path[1:] if self.path[1:] in web.files else path
        if path.startswith(("api/", "datasets/")):
            self._hub(path)
        elif key in web.files:
            self._file(web.files[key])
        else:
            self._answer(404, b"not here", {})

    def _hub(self, path: str) -> None:
        web, parts = self.owner, urlsplit(self.path)
        api = f"api/datasets/{web.repository}"
        page = f"datasets/{web.repository}/resolve/{COMMIT}/"
        if web.token and self.headers.get("Authorization") != f"Bearer {web.token}":
            self._answer(401, b"", {"X-Error-Code": "RepoNotFound"})
        elif path in (api, f"{api}/revision/main"):
            self._json({"id": web.repository, "sha": COMMIT, "siblings": [], "private": False})
        elif path.startswith(f"{api}/tree/{COMMIT}"):
            folder = path.removeprefix(f"{api}/tree/{COMMIT}").strip("/")
            self._tree(folder, parse_qs(parts.query))
        elif path.startswith(page):  # as the hub does: files lie on another host
            where = web.url.replace("127.0.0.1", "localhost")
            self._answer(302, b"", {"Location": f"{where}/{parts.path[1 + len(page) :]}"})
        else:
            code = "EntryNotFound" if path.startswith(api) else "RepoNotFound"
            self._answer(404, b"", {"X-Error-Code": code})

    def do_POST(self) -> None:
        web = self.owner
        web.seen.append((self.path, dict(self.headers.items())))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        if web.token and self.headers.get("Authorization") != f"Bearer {web.token}":
            return self._answer(401, b"", {"X-Error-Code": "RepoNotFound"})
        if f"api/datasets/{web.repository}/paths-info/{COMMIT}" not in self.path:
            return self._answer(404, b"", {"X-Error-Code": "RepoNotFound"})
        is_json = "json" in (self.headers.get("Content-Type") or "")
        paths = json.loads(body)["paths"] if is_json else parse_qs(body)["paths"]
        return self._json([_entry(one, web.files[one]) for one in paths if one in web.files])

    def _tree(self, folder: str, asked: dict[str, list[str]]) -> None:
        web = self.owner
        below = f"{folder}/" if folder else ""
        keys = sorted(key for key in web.files if key.startswith(below))
        if folder and not keys:
            return self._answer(404, b"", {"X-Error-Code": "EntryNotFound"})
        start = int(asked.get("cursor", ["0"])[0])
        headers = {}
        if start + PAGE < len(keys):
            more = f"{web.url}{self.path.partition('?')[0]}?recursive=true&cursor={start + PAGE}"
            headers["Link"] = f'<{more}>; rel="next"'
        entries = [_entry(key, web.files[key]) for key in keys[start : start + PAGE]]
        return self._json(entries, headers)

    def _file(self, data: bytes) -> None:
        web, headers = self.owner, {}
        if web.tells_version:
            headers["ETag"] = _tag(data)
        said = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if not web.has_ranges or said is None:
            return self._answer(200, data, headers)
        first, last = int(said[1]), int(said[2] or len(data) - 1)
        if first >= len(data):
            return self._answer(416, b"", {"Content-Range": f"bytes */{len(data)}"})
        piece = data[first : last + 1]
        headers["Content-Range"] = f"bytes {first}-{first + len(piece) - 1}/{len(data)}"
        return self._answer(206, piece, headers)

    def _json(self, what: Any, headers: dict[str, str] | None = None) -> None:
        body = json.dumps(what).encode()
        self._answer(200, body, {"Content-Type": "application/json", **(headers or {})})

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if self.owner.tells_size or status != 200 or "Content-Type" in headers:
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for at in range(0, len(body), 1 << 20):
            piece = body[at : at + (1 << 20)]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@lru_cache(maxsize=64)
def _tag(data: bytes) -> str:
    return f'"{hashlib.sha256(data).hexdigest()}"'


def _entry(path: str, data: bytes) -> dict[str, Any]:
    digest = hashlib.sha1(data).hexdigest()
    return {"type": "file", "path": path, "size": len(data), "oid": digest}
