"""Resumable uploads to Google Cloud Storage, begun here and completed anywhere.

Not obstore's, for the same reason as in s3_upload.py. A session takes the bytes of one object
front to back, in chunks of whole 256 KiB, and shows the object with the last byte: so what is
left below 256 KiB waits here until the upload is completed. The session's URI alone permits to
write to it; it is in no message.
"""

import base64
import contextlib
import json
import os
import threading
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import quote

from dbshuf.errors import DbshufError, ExtraMissing, InputMissing, RemoteDenied, RemoteFailed
from dbshuf.remote.attempts import TRANSIENT_STATUSES, Fault, attempted
from dbshuf.units import KIB

T = TypeVar("T")

_CHUNK_BYTES = 256 * KIB
_CONNECT_S, _READ_S = 10, 60
_CONNECTIONS = 16
_SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
_UNFINISHED = 308
_HINT = "see GOOGLE_APPLICATION_CREDENTIALS, and who may write to the bucket"


class _Refused(Exception):
    """An answer that is no success; `status` says why."""

    def __init__(self, status: int) -> None:
        super().__init__(str(status))
        self.status = status


class GsUploads:
    """Uploads to one bucket; all calls may come from several threads.

    Raises  RemoteDenied, RemoteFailed, InputMissing where there is no such bucket
    """

    least_part_bytes = _CHUNK_BYTES
    most_parts = 1 << 30  # a session counts bytes alone, 5 TiB

    def __init__(self, bucket: str) -> None:
        try:
            import urllib3
        except ImportError as error:
            raise _missing(error) from None
        self._root = f"gs://{bucket}"
        self._base = f"{_endpoint()}/upload/storage/v1/b/{quote(bucket, safe='')}/o"
        timeout = urllib3.Timeout(connect=_CONNECT_S, read=_READ_S)
        self._http = urllib3.PoolManager(maxsize=_CONNECTIONS, timeout=timeout, retries=False)
        self._tokens = _Tokens(self._http)

    def start_upload(self, key: str) -> "GsUpload":
        """Begin an object; nobody sees it before it is complete."""
        begun = self._post(key, "resumable", b"")
        return GsUpload(self, key, begun.headers["Location"], 0, b"")

    def resume_upload(self, key: str, token: str) -> "GsUpload":
        """Return an upload that another process began."""
        said = json.loads(token)
        return GsUpload(self, key, said["session"], said["at"], base64.b64decode(said["tail"]))

    def put(self, key: str, data: bytes | memoryview) -> None:
        """Write a small object whole."""
        self._post(key, "media", bytes(data))

    def close(self) -> None:
        """Let go of connections."""
        self._http.clear()

    def _post(self, key: str, kind: str, data: bytes) -> Any:
        url = f"{self._base}?uploadType={kind}&name={quote(key, safe='')}"
        what = {"Content-Type": "application/octet-stream"}
        return self.call(
            key, lambda: self.request("POST", url, data, {**what, **self._tokens.headers()})
        )

    def request(self, method: str, url: str, data: Any, headers: dict[str, str]) -> Any:
        """Send a request and return the answer, one of success or of a session that goes on."""
        answer = self._http.request(method, url, body=data, headers=headers, redirect=False)
        if answer.status not in (200, 201, 204, 499, _UNFINISHED):
            raise _Refused(answer.status)
        return answer

    def call(self, key: str, work: Callable[[], T], stop: threading.Event | None = None) -> T:
        """Return what `work` returns, tried again where a fault may pass."""
        name = f"{self._root}/{key}"
        return attempted(work, name, lambda error: _fault(error, name), stop)


class GsUpload:
    """An object in parts, sent in their order: a thread that has a later one waits.

    at    bytes that the session was sent
    tail  what was not, for want of 256 KiB
    """

    def __init__(self, uploads: GsUploads, key: str, session: str, at: int, tail: bytes) -> None:
        self._uploads, self._key, self._session = uploads, key, session
        self._at, self._tail = at, tail
        self._turn = threading.Condition()
        self._next = 0
        self._is_over = False
        self._stop = threading.Event()

    @property
    def token(self) -> str:
        """What resumes the upload; it holds the session, so it is as secret as a password."""
        tail = base64.b64encode(self._tail).decode()
        return json.dumps({"session": self._session, "at": self._at, "tail": tail})

    def put_part(self, number: int, data: bytes | bytearray | memoryview) -> None:
        """Send a part, numbered from 0; all but the last are whole chunks of 256 KiB."""
        with self._turn:
            self._turn.wait_for(lambda: self._next == number or self._stop.is_set())
            try:
                if self._stop.is_set():
                    raise RemoteFailed(f"`{self._key}`: the upload was stopped")
                whole = len(data) - len(data) % _CHUNK_BYTES
                view = memoryview(data)
                if whole:
                    self._send(view[:whole])
                self._tail = bytes(view[whole:])
                self._next += 1
            except BaseException:
                self._stop.set()  # the parts after it can never be sent
                raise
            finally:
                self._turn.notify_all()

    def _send(self, data: memoryview) -> None:
        begin, end = self._at, self._at + len(data)
        is_first = True

        def work() -> None:
            nonlocal is_first
            if not is_first:
                self._at = max(self._persisted(), begin)
            is_first = False
            while self._at < end:
                span = f"bytes {self._at}-{end - 1}/*"
                answer = self._put(bytes(data[self._at - begin :]), span)
                had = _persisted(answer)
                if had <= self._at:
                    raise _Refused(503)  # nothing of it was kept
                self._at = had

        self._uploads.call(self._key, work, self._stop)

    def complete(self) -> None:
        """Send what is left, with the size: that shows the object."""
        size = self._at + len(self._tail)
        span = f"bytes {self._at}-{size - 1}/{size}" if self._tail else f"bytes */{size}"

        def work() -> None:
            if self._put(self._tail, span).status == _UNFINISHED:
                raise _Refused(503)

        self._uploads.call(self._key, work)
        self._is_over = True

    def abort(self) -> None:
        """End the session; never raises. After `complete` it does nothing."""
        if self._is_over:
            return
        self._is_over = True
        self._stop.set()
        with contextlib.suppress(Exception), self._turn:
            self._turn.notify_all()
            self._uploads.request("DELETE", self._session, None, {"Content-Length": "0"})

    def _persisted(self) -> int:
        return _persisted(self._put(b"", "bytes */*"))

    def _put(self, data: bytes, span: str) -> Any:
        return self._uploads.request("PUT", self._session, data, {"Content-Range": span})


def _persisted(answer: Any) -> int:
    """Return the bytes that a session has; before its end they are whole chunks."""
    last = str(answer.headers.get("Range", "")).rpartition("-")[2]
    had = int(last) + 1 if last.isdecimal() else 0
    return had - had % _CHUNK_BYTES


class _Tokens:
    """The bearer token of the credentials in force, fetched anew before it expires."""

    def __init__(self, http: Any) -> None:
        self._http = http
        self._lock = threading.Lock()
        self._credentials: Any = None
        self._is_anonymous = "STORAGE_EMULATOR_HOST" in os.environ or os.environ.get(
            "GOOGLE_SKIP_SIGNATURE", ""
        ).lower() in ("1", "true")

    def headers(self) -> dict[str, str]:
        """Return the headers that a request needs. Raises RemoteDenied."""
        if self._is_anonymous:
            return {}
        with self._lock:
            try:
                return self._fresh()
            except ImportError as error:
                raise _missing(error) from None
            except Exception as error:
                raise RemoteDenied(
                    f"gs: the credentials cannot be used: {type(error).__name__}", hint=_HINT
                ) from None

    def _fresh(self) -> dict[str, str]:
        import google.auth
        import google.auth.transport.urllib3

        auth: Any = google.auth  # half of it has types
        if self._credentials is None:
            named = os.environ.get("GOOGLE_SERVICE_ACCOUNT")
            if named:
                self._credentials, _ = auth.load_credentials_from_file(named, [_SCOPE])
            else:
                self._credentials, _ = auth.default([_SCOPE])
        if not self._credentials.valid:
            self._credentials.refresh(auth.transport.urllib3.Request(self._http))
        return {"Authorization": f"Bearer {self._credentials.token}"}


def _endpoint() -> str:
    emulator = os.environ.get("STORAGE_EMULATOR_HOST")
    if emulator:
        return (emulator if "://" in emulator else f"http://{emulator}").rstrip("/")
    return os.environ.get("GOOGLE_BASE_URL", "https://storage.googleapis.com").rstrip("/")


def _missing(error: ImportError) -> ExtraMissing:
    return ExtraMissing(
        f"writing to gs:// needs {error.name}, which is not installed",
        hint="pip install 'dbshuf[remote]'",
    )


def _fault(error: Exception, name: str) -> Fault:
    """Say what a failure is, without the URI of the session that its own text may hold."""
    if isinstance(error, _Refused):
        status = error.status
        if status in TRANSIENT_STATUSES:
            return Fault(str(status))
        wrong: DbshufError = RemoteFailed(f"`{name}`: {status}, 1 attempt")
        if status in (401, 403):
            wrong = RemoteDenied(f"`{name}`: {status}", hint=_HINT)
        elif status == 404:
            wrong = InputMissing(f"`{name}`: there is no such bucket")
        return Fault(str(status), wrong)
    from urllib3.exceptions import HTTPError

    if isinstance(error, (HTTPError, OSError)):
        return Fault(f"no answer ({type(error).__name__})")
    raise error
