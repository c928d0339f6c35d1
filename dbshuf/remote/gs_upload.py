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
from typing import Any
from urllib.parse import quote

from dbshuf.errors import RemoteDenied, RemoteFailed
from dbshuf.remote.plain_http import PlainHttp, Refused, missing
from dbshuf.units import KIB

_CHUNK_BYTES = 256 * KIB
_SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
_UNFINISHED, _CANCELLED = 308, 499
_HINT = "see GOOGLE_APPLICATION_CREDENTIALS, and who may write to the bucket"


class GsUploads:
    """Uploads to one bucket; all calls may come from several threads.

    Raises  RemoteDenied, RemoteFailed, InputMissing where there is no such bucket
    """

    least_part_bytes = _CHUNK_BYTES
    most_parts = 1 << 30  # a session counts bytes alone, 5 TiB

    def __init__(self, bucket: str) -> None:
        self.http = PlainHttp(f"gs://{bucket}", _HINT)
        self._base = f"{_endpoint()}/upload/storage/v1/b/{quote(bucket, safe='')}/o"
        self._objects = f"{_endpoint()}/{quote(bucket, safe='')}"
        self._tokens = _Tokens(self.http)

    def start_upload(self, key: str, owner: str = "") -> "GsUpload":
        """Begin an object; nobody sees it before it is complete."""
        begun = self._post(key, "resumable", b"")
        session = begun.headers.get("Location")
        if not session:  # what stands before a server may answer with a page of its own
            raise RemoteFailed(f"`{self.http.root}/{key}`: an answer that is not from gs://")
        return GsUpload(self, key, session, 0, b"")

    def resume_upload(self, key: str, token: str) -> "GsUpload":
        """Return an upload that another process began."""
        said = json.loads(token)
        return GsUpload(self, key, said["session"], said["at"], base64.b64decode(said["tail"]))

    def put(self, key: str, data: bytes | memoryview) -> None:
        """Write a small object whole."""
        self.check_shown(key, self._post(key, "media", bytes(data)), len(data))

    def check_shown(self, key: str, answer: Any, size_bytes: int) -> None:
        """Raise RemoteFailed unless an answer tells of an object of that size.

        What stands before a server may answer with a page of its own.
        """
        with contextlib.suppress(ValueError, KeyError, TypeError):
            if int(json.loads(answer.data)["size"]) == size_bytes:
                return
        raise RemoteFailed(f"`{self.http.root}/{key}`: an answer that is not from gs://")

    def delete(self, key: str) -> None:
        """Remove an object, if there is one.

        obstore 0.12.1 sends its batches to Google, whatever endpoint is named.
        """
        url, http, tokens = f"{self._objects}/{quote(key)}", self.http, self._tokens
        gone = (404,)
        http.call(key, lambda: http.request("DELETE", url, None, tokens.headers(), gone))

    def close(self) -> None:
        """Let go of connections."""
        self.http.pool.clear()

    def _post(self, key: str, kind: str, data: bytes) -> Any:
        url = f"{self._base}?uploadType={kind}&name={quote(key, safe='')}"
        what = {"Content-Type": "application/octet-stream"}
        http, tokens = self.http, self._tokens
        return http.call(key, lambda: http.request("POST", url, data, {**what, **tokens.headers()}))


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
                    raise Refused(503)  # nothing of it was kept
                self._at = had

        self._uploads.http.call(self._key, work, self._stop)

    def complete(self) -> None:
        """Send what is left, with the size: that shows the object."""
        size = self._at + len(self._tail)
        span = f"bytes {self._at}-{size - 1}/{size}" if self._tail else f"bytes */{size}"

        def work() -> None:
            answer = self._put(self._tail, span)
            if answer.status == _UNFINISHED:
                raise Refused(503)
            self._uploads.check_shown(self._key, answer, size)

        self._uploads.http.call(self._key, work)
        self._is_over = True

    def abort(self) -> None:
        """End the session; never raises. After `complete` it does nothing."""
        if self._is_over:
            return
        self._is_over = True
        self._stop.set()
        with contextlib.suppress(Exception), self._turn:
            self._turn.notify_all()
            self._uploads.http.request("DELETE", self._session, None, {}, (_CANCELLED,))

    def _persisted(self) -> int:
        return _persisted(self._put(b"", "bytes */*"))

    def _put(self, data: bytes, span: str) -> Any:
        headers = {"Content-Range": span}
        return self._uploads.http.request("PUT", self._session, data, headers, (_UNFINISHED,))


def _persisted(answer: Any) -> int:
    """Return the bytes that a session has; before its end they are whole chunks."""
    last = str(answer.headers.get("Range", "")).rpartition("-")[2]
    had = int(last) + 1 if last.isdecimal() else 0
    return had - had % _CHUNK_BYTES


class _Tokens:
    """The bearer token of the credentials in force, fetched anew before it expires."""

    def __init__(self, http: PlainHttp) -> None:
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
                raise missing(error, self._http.root) from None
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
            self._credentials.refresh(auth.transport.urllib3.Request(self._http.pool))
        return {"Authorization": f"Bearer {self._credentials.token}"}


def _endpoint() -> str:
    emulator = os.environ.get("STORAGE_EMULATOR_HOST")
    if emulator:
        return (emulator if "://" in emulator else f"http://{emulator}").rstrip("/")
    return os.environ.get("GOOGLE_BASE_URL", "https://storage.googleapis.com").rstrip("/")
