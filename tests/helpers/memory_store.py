"""An object store in memory: the plainest one that keeps the contract."""

import io
import threading
from collections.abc import Iterator
from itertools import count

import numpy as np

from dbshuf.base.block_io import U8
from dbshuf.errors import InputChanged, InputMissing
from dbshuf.remote.object_store import ObjectInfo, ObjectReader, Upload


class MemoryStore:
    """Objects by key; see `ObjectStore`."""

    least_part_bytes = 1
    most_parts = 10_000

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._objects: dict[str, tuple[bytes, str]] = {}
        self._versions = count()
        self.uploads: dict[str, MemoryUpload] = {}

    def stat(self, key: str) -> ObjectInfo:
        data, version = self._found(key)
        return ObjectInfo(key, len(data), version)

    def read_range(self, info: ObjectInfo, start: int, buffer: U8) -> None:
        data = self._data(info)[start : start + len(buffer)]
        buffer[:] = np.frombuffer(data, np.uint8)

    def open(self, info: ObjectInfo) -> ObjectReader:
        return io.BytesIO(self._data(info))  # type: ignore[return-value]

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        with self._lock:
            keys = sorted((key for key in self._objects if key.startswith(prefix)), key=str.encode)
        yield from map(self.stat, keys)

    def put(self, key: str, data: bytes | memoryview) -> None:
        with self._lock:
            self._objects[key] = (bytes(data), str(next(self._versions)))

    def prepare_uploads(self) -> None:
        """Do nothing."""

    def start_upload(self, key: str, owner: str = "") -> Upload:
        token = f"upload-{next(self._versions)}"
        self.uploads[token] = MemoryUpload(self, key, token)
        return self.uploads[token]

    def resume_upload(self, key: str, token: str) -> Upload:
        return self.uploads[token]

    def delete(self, key: str) -> None:
        with self._lock:
            self._objects.pop(key, None)

    def close(self) -> None:
        """Do nothing."""

    def _found(self, key: str) -> tuple[bytes, str]:
        with self._lock:
            if key not in self._objects:
                raise InputMissing(f"no such object: `{key}`")
            return self._objects[key]

    def _data(self, info: ObjectInfo) -> bytes:
        data, version = self._found(info.key)
        if version != info.version:
            raise InputChanged(f"`{info.key}` changed while it was read")
        return data


class MemoryUpload:
    """See `Upload`."""

    def __init__(self, store: MemoryStore, key: str, token: str) -> None:
        self.token = token
        self._store, self._key = store, key
        self._parts: dict[int, bytes] = {}

    def put_part(self, number: int, data: bytes | memoryview) -> None:
        self._parts[number] = bytes(data)

    def complete(self) -> None:
        if self._store.uploads.pop(self.token, None) is not None:
            self._store.put(self._key, b"".join(self._parts[n] for n in sorted(self._parts)))

    def abort(self) -> None:
        self._store.uploads.pop(self.token, None)
