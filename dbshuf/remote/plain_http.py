"""Requests of uploads that no client library sends as they are needed here."""

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from dbshuf.errors import DbshufError, ExtraMissing, InputMissing, RemoteDenied, RemoteFailed
from dbshuf.remote.retry import TRANSIENT_STATUSES, Fault, attempted, busy

T = TypeVar("T")

_CONNECT_S, _READ_S = 10, 60
_CONNECTIONS = 16


class Refused(Exception):
    """An answer that is no success; `status` says why, and Retry-After when to ask again."""

    def __init__(self, status: int, retry_after: str | None = None) -> None:
        super().__init__(str(status))
        self.status, self.retry_after = status, retry_after


class PlainHttp:
    """Connections to a host; its URLs may hold secrets, so no message has one.

    root   of the bucket, for messages
    hint   where credentials come from, for messages
    """

    def __init__(self, root: str, hint: str) -> None:
        self.root, self._hint = root, hint
        try:
            import urllib3
        except ImportError as error:
            raise missing(error, root) from None
        timeout = urllib3.Timeout(connect=_CONNECT_S, read=_READ_S)
        self.pool = urllib3.PoolManager(maxsize=_CONNECTIONS, timeout=timeout, retries=False)

    def request(
        self, method: str, url: str, data: Any, headers: dict[str, str], also: tuple[int, ...] = ()
    ) -> Any:
        """Send a request; raises Refused for a status that is no success nor one of `also`."""
        answer = self.pool.request(method, url, body=data, headers=headers, redirect=False)
        if answer.status not in (200, 201, 204, *also):
            raise Refused(answer.status, answer.headers.get("Retry-After"))
        return answer

    def call(self, key: str, work: Callable[[], T], stop: threading.Event | None = None) -> T:
        """Return what `work` returns, tried again where a fault may pass.

        Raises  RemoteDenied, RemoteFailed, InputMissing where there is no such bucket
        """
        name = f"{self.root}/{key}"
        return attempted(work, name, lambda error: self._fault(error, name), stop)

    def _fault(self, error: Exception, name: str) -> Fault:
        """Say what a failure is, without the URL that its own text may hold."""
        if isinstance(error, Refused):
            status = error.status
            if status in TRANSIENT_STATUSES:
                reason, wait_s = busy(str(status), error.retry_after)
                return Fault(reason, wait_s=wait_s)
            wrong: DbshufError = RemoteFailed(f"`{name}`: {status}, 1 attempt")
            if status in (401, 403):
                wrong = RemoteDenied(f"`{name}`: {status}", hint=self._hint)
            elif status == 404:
                wrong = InputMissing(f"`{name}`: there is no such bucket")
            return Fault(str(status), wrong)
        from urllib3.exceptions import HTTPError

        if isinstance(error, (HTTPError, OSError)):
            return Fault(f"no answer ({type(error).__name__})")
        raise error


def missing(error: ImportError, root: str) -> ExtraMissing:
    """Return the error for a package that writing needs."""
    return ExtraMissing(
        f"writing to {root.partition(':')[0]}:// needs {error.name}, which is not installed",
        hint="pip install 'dbshuf[remote]'",
    )
