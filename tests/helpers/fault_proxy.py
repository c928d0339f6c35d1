"""An HTTP server that hands requests on to another one, and fails as it is told to."""

import contextlib
import http.client
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

_PIECE_BYTES = 64 << 10
_NOT_HANDED_ON = {"transfer-encoding", "connection", "keep-alive"}


@dataclass(frozen=True)
class Request:
    """A request as it came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Fault:
    """What happens to the next `times` requests that `meets` holds for.

    status     answered instead of the server
    is_reset   the connection is reset instead of an answer
    cut_at     bytes of the body, after which the connection ends
    short_by   bytes that are missing at the end of a body, whose length says so
    delay_s    between pieces of the body, and before the first one
    before     called before the request is handed on
    """

    meets: Callable[[Request], bool] = lambda request: True
    times: int = 1 << 60
    status: int = 0
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    is_reset: bool = False
    cut_at: int = -1
    short_by: int = 0
    delay_s: float = 0.0
    before: Callable[[Request], Any] | None = None
    met: int = 0


class FaultProxy:
    """Where a client is sent in place of a server.

    seen    all requests so far
    faults  tried in their order; the first that meets a request and is not used up happens
    """

    def __init__(self, target: str) -> None:
        self.target = urlsplit(target).netloc
        self.seen: list[Request] = []
        self.faults: list[Fault] = []
        self._lock = threading.Lock()
        proxy = self

        class Handler(_Handler):
            owner = proxy

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def add(self, **fault: Any) -> Fault:
        """Let a fault happen from now on; see `Fault`."""
        one = Fault(**fault)
        with self._lock:
            self.faults.append(one)
        return one

    def take(self, request: Request) -> Fault | None:
        """Note a request, and return what is to go wrong with it."""
        with self._lock:
            self.seen.append(request)
            for one in self.faults:
                if one.met < one.times and one.meets(request):
                    one.met += 1
                    return one
        return None

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


@contextlib.contextmanager
def fault_proxy(target: str) -> Iterator[FaultProxy]:
    """Run a proxy before the server at a URL."""
    proxy = FaultProxy(target)
    try:
        yield proxy
    finally:
        proxy.close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # else the head and the body go apart, and wait for each other
    owner: FaultProxy

    def handle_one(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(size) if size else b""
        request = Request(self.command, self.path, dict(self.headers.items()), body)
        fault = self.owner.take(request) or Fault()
        if fault.before is not None:
            fault.before(request)
        if fault.is_reset:
            # lingering for 0 seconds sends RST instead of FIN
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()
        elif fault.status:
            self._answer(fault.status, fault.headers, fault.body)
        else:
            self._hand_on(request, fault)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_PATCH = do_OPTIONS = handle_one

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _hand_on(self, request: Request, fault: Fault) -> None:
        server = http.client.HTTPConnection(self.owner.target, timeout=60)
        try:
            headers = {k: v for k, v in request.headers.items() if k.lower() not in _NOT_HANDED_ON}
            server.putrequest(
                request.method, request.path, skip_host=True, skip_accept_encoding=True
            )
            for name, value in headers.items():
                server.putheader(name, value)
            server.endheaders(request.body or None)
            answer = server.getresponse()
            body = answer.read()
        finally:
            server.close()
        if fault.short_by:
            body = body[: -fault.short_by]
        self.send_response_only(answer.status)
        length = str(len(body)) if request.method != "HEAD" else answer.getheader("Content-Length")
        for name, value in answer.getheaders():
            if name.lower() not in (*_NOT_HANDED_ON, "content-length"):
                self.send_header(name, value)
        if length is not None and answer.status != 204:
            self.send_header("Content-Length", length)
        self.end_headers()
        if fault.cut_at >= 0:
            self.wfile.write(body[: fault.cut_at])
            self.close_connection = True
            return
        for at in range(0, len(body), _PIECE_BYTES):
            time.sleep(fault.delay_s)
            self.wfile.write(body[at : at + _PIECE_BYTES])

    def log_message(self, *_: object) -> None:
        """Say nothing."""
