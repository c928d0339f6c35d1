"""Whose an upload in parts is, which a bucket does not tell: another upload says so, its mark.

A mark has no part and is never completed, so nobody sees it and it costs nothing. Its key names
the upload and the run:

    KEY.dbshuf-UPLOAD-RUN-PID-TICKS-NAMESPACE-BOOT-TIME-HOST

UPLOAD is the hash of the id that the bucket gave to the upload. So none of another run, or of
another tool, is ever taken for it, be its key the same. It goes with its upload.
"""

import hashlib
import os
import re
import secrets
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dbshuf.base.leftovers import State
from dbshuf.base.owner import boot_id

OVERDUE_S = 7 * 86_400  # so old an upload of another machine is left behind
_KEY_BYTES = 700  # of the key, in that of its mark; there may be 1,024
_HOST_LETTERS = 64
_MARK = re.compile(r"(.*)\.dbshuf-([0-9a-f]{16})-(\w+-\d+-\d+-\d+-\w*-\d+-[\w.-]*)", re.DOTALL)


@dataclass(frozen=True)
class Run:
    """The process that an upload is of; of a run on Spark the driver.

    number     of the run, at random
    ticks      when the process began, as its kernel counts
    namespace  of process ids, to which `pid` belongs; 0: unknown
    boot       the kernel's own number for this start of the machine; empty: unknown
    started    seconds since 1970, when the upload was begun
    """

    number: str
    pid: int
    ticks: int
    namespace: int
    boot: str
    started: int
    host: str

    @classmethod
    def here(cls) -> "Run":
        pid = os.getpid()
        host = re.sub(r"[^\w.-]", "_", socket.gethostname(), flags=re.ASCII)[:_HOST_LETTERS]
        boot = boot_id().replace("-", "")
        number, now = secrets.token_hex(4), int(time.time())
        return cls(number, pid, _begun(pid)[1], _namespace(), boot, now, host)

    @classmethod
    def parse(cls, text: str) -> "Run":
        """Return what `str` made a text of."""
        number, pid, ticks, namespace, boot, started, host = text.split("-", 6)
        return cls(number, int(pid), int(ticks), int(namespace), boot, int(started), host)

    def __str__(self) -> str:
        where = f"{self.namespace}-{self.boot}-{self.started}-{self.host}"
        return f"{self.number}-{self.pid}-{self.ticks}-{where}"

    @property
    def state(self) -> State:
        """Whether it lives: asked of this kernel, if it would know; else it has some days."""
        here = (_namespace(), boot_id().replace("-", ""))
        if all(here) and (self.namespace, self.boot) == here:
            return State.LIVE if _lives(self.pid, self.ticks) else State.DEAD
        return State.DEAD if time.time() - self.started > OVERDUE_S else State.ELSEWHERE


@dataclass(frozen=True)
class MarkedUpload:
    """An upload that is neither complete nor aborted, and its mark.

    mark       its key and its id
    upload_id  None: there is nothing but the mark
    """

    key: str
    owner: Run
    mark: tuple[str, str]
    upload_id: str | None


def mark_key(key: str, upload_id: str, owner: str) -> str:
    """Return the key of the mark of an upload."""
    return f"{mark_prefix(key)}.dbshuf-{_digest(upload_id)}-{owner}"


def owner_in(mark: str) -> Run | None:
    """Return the run that the key of a mark names; None if it is no mark."""
    parts = _MARK.fullmatch(mark)
    return None if parts is None else Run.parse(parts[3])


def mark_prefix(key: str) -> str:
    """Return what the marks of uploads begin with whose keys begin with `key`."""
    return key.encode()[:_KEY_BYTES].decode(errors="ignore")


def marked(listed: Iterable[tuple[str, str]]) -> list[MarkedUpload]:
    """Return the uploads that have marks, by key, of all that there are as (key, id)."""
    by_digest = {_digest(upload_id): (key, upload_id) for key, upload_id in listed}
    found = []
    for key, mark_id in by_digest.values():
        parts = _MARK.fullmatch(key)
        if parts is not None:
            whose = by_digest.get(parts[2], (parts[1], None))
            found.append(MarkedUpload(whose[0], Run.parse(parts[3]), (key, mark_id), whose[1]))
    return sorted(found, key=lambda one: one.key)


def _digest(upload_id: str) -> str:
    return hashlib.sha256(upload_id.encode()).hexdigest()[:16]


def _namespace() -> int:
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return 0


def _begun(pid: int) -> tuple[str, int]:
    """Return a process's state and when it began; of one that this user may not see, nothing."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return fields[0], int(fields[19])
    except (OSError, IndexError, ValueError):
        return "", 0


def _lives(pid: int, ticks: int) -> bool:
    """Whether a process is there and is the one that began then."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        pass  # somebody else's
    state, begun = _begun(pid)
    return state not in ("Z", "X") and begun in (0, ticks)
