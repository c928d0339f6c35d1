"""Files of web servers, with and without ranges; read only.

urllib3 and not obstore or fsspec: obstore's HTTP store knows no query, so no signed URL, and
wants a size and a date; fsspec loads an event loop. 1 GiB in ranges of 8 MiB on four threads takes
0.49 s and 0.56 s of CPU time (2 cores, urllib3 2.8.0, 2026-11-26).
"""

import contextlib
import urllib.request
from collections.abc import Iterator
from typing import Any, NoReturn
from urllib.parse import quote, unquote

import urllib3
from urllib3.exceptions import (
    HTTPError,
    LocationValueError,
    MaxRetryError,
    NameResolutionError,
    SSLError,
)
from urllib3.exceptions import TimeoutError as NoAnswer

from dbshuf.base.block_io import U8
from dbshuf.errors import InputChanged, InputMissing, RemoteDenied, RemoteFailed
from dbshuf.remote.names import shown
from dbshuf.remote.object_store import ObjectInfo, ObjectReader, Upload
from dbshuf.remote.retry import TRANSIENT_STATUSES, FleetingFault, busy
from dbshuf.units import MIB

_TIMES = urllib3.Timeout(connect=10, read=60)
_REDIRECTS = urllib3.Retry(total=None, connect=0, read=0, status=0, other=0, redirect=10)
_CONNECTIONS = 16
_SENT_AS_THEY_ARE = "%/:?#[]@!$&'()*+,;=-._~|"  # of a URL; other characters are quoted
_BLOCK_BYTES = MIB


class WebStore:
    """All that one host serves; see `ObjectStore`. Keys are paths with their queries."""

    least_part_bytes = 1
    most_parts = 1

    def __init__(self, root: str) -> None:
        """Read from `https://host`; a user and a password may stand before the host."""
        scheme, _, place = root.partition("://")  # a password may hold what `urlsplit` refuses
        user, at, host = place.rpartition("@")
        self._root = f"{scheme}://{host}"
        self._said = urllib3.make_headers(basic_auth=unquote(user)) if at else {}
        self._pool = _pool(scheme, host)

    def stat(self, key: str) -> ObjectInfo:
        # No HEAD: what is signed for GET denies it, and servers answer it otherwise.
        with self._answer(key, {"Range": "bytes=0-0"}, (200, 206, 416)) as answer:
            version = _version(answer)
            if answer.status == 200:
                return ObjectInfo(key, _length(answer), version, has_ranges=False)
            size = _whole_size(answer)
            if answer.status == 416 and size != 0:
                raise RemoteFailed(f"`{self._shown(key)}`: 416 for its first byte")
            return ObjectInfo(key, size, version, has_ranges=size is not None)

    def read_range(self, info: ObjectInfo, start: int, buffer: U8) -> None:
        if not len(buffer):
            return
        wanted = {"Range": f"bytes={start}-{start + len(buffer) - 1}"}
        with self._answer(info.key, wanted, (200, 206, 416)) as answer:
            if answer.status == 200 and start == 0 and _length(answer) == len(buffer):
                pass  # all was asked for, and comes
            elif answer.status != 206 or _whole_size(answer) != info.size_bytes:
                raise InputChanged.of(self._shown(info.key))
            self._check(info, answer)
            if _first_byte(answer) not in (None, start):
                raise FleetingFault("another range than was asked for")
            done, view = 0, buffer.data
            while done < len(view):
                count = answer.readinto(view[done : done + _BLOCK_BYTES])
                if not count:
                    raise FleetingFault("a short body")
                done += count

    def open(self, info: ObjectInfo) -> ObjectReader:
        stack = contextlib.ExitStack()
        with stack:
            answer = stack.enter_context(self._answer(info.key, {}, (200,)))
            if info.size_bytes is not None and _length(answer) not in (None, info.size_bytes):
                raise InputChanged.of(self._shown(info.key))
            self._check(info, answer)
            return _Body(answer, stack.pop_all())

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        raise RemoteFailed(f"`{self._shown(prefix)}`: a web server does not list its files")

    def put(self, key: str, data: bytes | memoryview) -> None:
        self._read_only(key)

    def prepare_uploads(self) -> None:
        self._read_only("")

    def start_upload(self, key: str, owner: str = "") -> Upload:
        self._read_only(key)

    def resume_upload(self, key: str, token: str) -> Upload:
        self._read_only(key)

    def delete(self, key: str) -> None:
        self._read_only(key)

    def close(self) -> None:
        self._pool.clear()

    def _url(self, key: str) -> str:
        return f"{self._root}/{quote(key, safe=_SENT_AS_THEY_ARE)}"

    def _shown(self, key: str) -> str:
        return shown(f"{self._root}/{key}")

    def _headers(self) -> dict[str, str]:
        return self._said

    def _check(self, info: ObjectInfo, answer: Any) -> None:
        """Raise InputChanged unless an answer is of the version that was listed."""
        if _version(answer) != info.version:
            raise InputChanged.of(self._shown(info.key))

    def _read_only(self, key: str) -> NoReturn:
        raise RemoteFailed(f"`{self._shown(key)}`: nothing can be written there")

    @contextlib.contextmanager
    def _answer(self, key: str, more: dict[str, str], fine: tuple[int, ...]) -> Iterator[Any]:
        """Give the answer to a GET, if its status is one of `fine`; its body is yet to come."""
        with _faults_in_words(self._shown(key)):
            answer = self._requested(
                key, {"Accept-Encoding": "identity", **self._headers(), **more}
            )
            try:
                if answer.status not in fine:
                    raise self._refused(key, answer)
                yield answer
            finally:
                # One that was not read to its end cannot be used again.
                answer.release_conn() if not answer.length_remaining else answer.close()

    def _requested(self, key: str, headers: dict[str, str]) -> Any:
        try:
            return self._pool.request(
                "GET",
                self._url(key),
                headers=headers,
                preload_content=False,
                decode_content=False,
                redirect=True,
                retries=_REDIRECTS,
                timeout=_TIMES,
            )
        except HTTPError:
            raise
        except ValueError:  # of Python's own, for a redirect to what is no URL
            raise LocationValueError from None

    def _refused(self, key: str, answer: Any) -> Exception:
        name, status = self._shown(key), answer.status
        if status in TRANSIENT_STATUSES:
            return FleetingFault(*busy(str(status), answer.headers.get("Retry-After")))
        if status in (404, 410):
            return InputMissing(f"no such file: `{name}`: {status}", hint="check the URL")
        if status in (401, 403, 407):
            return RemoteDenied(f"`{name}`: {status}", hint=self._access_hint())
        return RemoteFailed(f"`{name}`: {status}")

    def _access_hint(self) -> str:
        return "the URL may have to be signed anew, or to name a user: https://user:word@host/"


class _Body:
    """The body of an answer front to back."""

    def __init__(self, answer: Any, stack: contextlib.ExitStack) -> None:
        self._answer, self._stack = answer, stack

    def readinto(self, view: memoryview) -> int:
        done = 0
        with _faults_in_words(""):
            while done < len(view) and (
                count := self._answer.readinto(view[done : done + _BLOCK_BYTES])
            ):
                done += count
        return done

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self._stack.close()


def _pool(scheme: str, host: str) -> Any:
    """Return what keeps connections, through the proxy that the environment names, if any."""
    proxy = urllib.request.getproxies().get(scheme)
    if proxy and not urllib.request.proxy_bypass(host):
        if "://" not in proxy:
            proxy = f"http://{proxy}"
        user = proxy.partition("://")[2].partition("/")[0].rpartition("@")[0]
        said = urllib3.make_headers(proxy_basic_auth=unquote(user)) if user else None
        try:
            return urllib3.ProxyManager(proxy, maxsize=_CONNECTIONS, proxy_headers=said)
        except (HTTPError, ValueError):  # whose texts may quote it, with its password
            raise RemoteFailed(
                f"the proxy for {scheme}:// is none that can be used",
                hint=f"check {scheme}_proxy: it is as in http://host:8080",
            ) from None
    return urllib3.PoolManager(maxsize=_CONNECTIONS)


@contextlib.contextmanager
def _faults_in_words(name: str) -> Iterator[None]:
    """Turn errors of the connection into ours; their texts may hold the URL as it was sent."""
    try:
        yield
    except (HTTPError, OSError) as error:
        cause = error.reason if isinstance(error, MaxRetryError) else error
        if isinstance(cause, NameResolutionError):
            raise RemoteFailed(
                f"`{name}`: no host of that name", hint="check the URL, and the network"
            ) from None
        if isinstance(cause, SSLError):
            raise RemoteFailed(
                f"`{name}`: its certificate, or the encryption, is not accepted",
                hint="SSL_CERT_FILE names further certificates to trust",
            ) from None
        if isinstance(cause, LocationValueError) or "redirect" in str(cause):
            raise RemoteFailed(f"`{name}`: it leads nowhere, or round in circles") from None
        raise FleetingFault(_words(cause)) from None


def _words(error: BaseException | None) -> str:
    kind = type(error).__name__
    if isinstance(error, NoAnswer):
        return "no answer in time"
    return {
        "NewConnectionError": "no connection",
        "ProtocolError": "the connection was reset",
        "IncompleteRead": "a short body",
        "ConnectionResetError": "the connection was reset",
    }.get(kind, kind)


def _version(answer: Any) -> str:
    tag = answer.headers.get("ETag")
    return str(tag or answer.headers.get("Last-Modified") or "")


def _length(answer: Any) -> int | None:
    """Return the size of the body, where it is said and is that of the file."""
    found = answer.headers.get("Content-Length", "")
    return int(found) if found.isdecimal() else None


def _whole_size(answer: Any) -> int | None:
    """Return the size of the file that a range is of."""
    found = answer.headers.get("Content-Range", "").rpartition("/")[2]
    return int(found) if found.isdecimal() else None


def _first_byte(answer: Any) -> int | None:
    found = answer.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    return int(found) if found.isdecimal() else None
