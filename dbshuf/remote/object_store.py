"""The one interface to data that lies elsewhere, and what each of its calls promises.

Every scheme keeps it, a wrapper that retries keeps it, and one suite of tests holds them to it.
Keys are text without a leading slash, as a listing gives them: never quoted as in a URL.
All calls may come from several threads at once.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from dbshuf.base.block_io import U8


@dataclass(frozen=True)
class ObjectInfo:
    """An object as it was listed.

    size_bytes  None where a host does not tell
    version     what changes with its bytes: its ETag, else its size and time
    has_ranges  whether any part of it can be read alone
    """

    key: str
    size_bytes: int | None
    version: str
    has_ranges: bool = True


class ObjectReader(Protocol):
    """The bytes of an object from the first one on."""

    def readinto(self, view: memoryview) -> int:
        """Fill `view` from its front; fewer bytes are the end of the object."""

    def close(self) -> None:
        """Let go of it; never raises."""


class Upload(Protocol):
    """An object that nobody sees until it is complete."""

    @property
    def token(self) -> str:
        """Text with which `ObjectStore.resume_upload` in another process has it again.

        It is asked for after the last part, and may be as secret as a password.
        """

    def put_part(self, number: int, data: bytes | bytearray | memoryview) -> None:
        """Send a part, numbered from 0; again under the same number replaces it.

        All parts but the last have `part_bytes`. The caller may reuse `data` afterwards.
        """

    def complete(self) -> None:
        """Show the object, whole, in place of what had its name."""

    def abort(self) -> None:
        """Remove all parts; never raises. After `complete` it does nothing."""


class ObjectStore(Protocol):
    """One bucket, container or host.

    Every call raises InputMissing where nothing has that key, RemoteDenied for credentials,
    InputChanged where an object is of another version than asked for, and RemoteFailed for all
    else; their messages name the object, and no secret.
    """

    least_part_bytes: int  # of all parts but the last
    most_parts: int

    def stat(self, key: str) -> ObjectInfo:
        """Return what is known of one object."""

    def read_range(self, info: ObjectInfo, start: int, buffer: U8) -> None:
        """Fill all of `buffer` from byte `start` of the version in `info`; a short body fails."""

    def open(self, info: ObjectInfo) -> ObjectReader:
        """Read the version in `info` front to back."""

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield all objects whose keys begin with `prefix`, by the bytes of their keys."""

    def put(self, key: str, data: bytes | memoryview) -> None:
        """Write a small object whole, in place of what had its name."""

    def prepare_uploads(self) -> None:
        """Load what writing needs, before the memory that a run has is counted.

        Raises  ExtraMissing too
        """

    def start_upload(self, key: str, owner: str = "") -> Upload:
        """Begin an object that is written in parts.

        owner  the `Run` that it is noted to be of, where uploads stay; empty: this process
        """

    def resume_upload(self, key: str, token: str) -> Upload:
        """Return an upload that another process began, to complete or to abort it."""

    def delete(self, key: str) -> None:
        """Remove an object; it is no error if there is none."""

    def close(self) -> None:
        """Let go of connections."""
