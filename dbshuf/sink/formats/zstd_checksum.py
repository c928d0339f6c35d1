"""The checksum at the end of a zstd frame, which Arrow's compressor cannot be told to write.

It is XXH64 of the text, its low 32 bits, and one bit of the frame's header says that it is there
(RFC 8878, sections 3.1.1 and 3.1.1.1.1). DuckDB's module holds the function; without it the
frame has none, as before. 0.1 s for 1 GB (duckdb 2.0.1).
"""

import ctypes
from functools import lru_cache
from typing import Any

from dbshuf.source.compression.wide_zstd import duckdb_library

CHECKSUM_BYTES = 4
_DESCRIPTOR_AT, _HAS_CHECKSUM = 4, 0x04  # of the header: the byte behind the magic number

# As C++ names them in DuckDB's namespace, and what they take.
_SYMBOLS: dict[str, tuple[str, Any, list[Any]]] = {
    "create": ("_ZN11duckdb_zstd17XXH64_createStateEv", ctypes.c_void_p, []),
    "free": (
        "_ZN11duckdb_zstd15XXH64_freeStateEPNS_13XXH64_state_sE",
        ctypes.c_int,
        [ctypes.c_void_p],
    ),
    "reset": (
        "_ZN11duckdb_zstd11XXH64_resetEPNS_13XXH64_state_sEy",
        ctypes.c_int,
        [ctypes.c_void_p, ctypes.c_ulonglong],
    ),
    "update": (
        "_ZN11duckdb_zstd12XXH64_updateEPNS_13XXH64_state_sEPKvm",
        ctypes.c_int,
        [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t],
    ),
    "digest": (
        "_ZN11duckdb_zstd12XXH64_digestEPKNS_13XXH64_state_sE",
        ctypes.c_ulonglong,
        [ctypes.c_void_p],
    ),
}


@lru_cache(maxsize=1)
def _functions() -> dict[str, Any] | None:
    """Return the functions by their short names, None where they cannot be called."""
    try:
        library = duckdb_library()
        found = {name: library[symbol] for name, (symbol, _, _) in _SYMBOLS.items()}
    except (OSError, AttributeError, ImportError):
        return None
    for name, function in found.items():
        _, function.restype, function.argtypes = _SYMBOLS[name]
    return found


class FrameChecksum:
    """The checksum of one frame, for one thread at a time.

    size_bytes  that it adds to the frame: 4, or 0 where it cannot be made
    """

    def __init__(self) -> None:
        self._functions = _functions()
        self._state: int | None = None
        self._has_begun = False
        if self._functions is not None:
            self._state = self._functions["create"]()
        if self._state is not None:
            self._call("reset", 0)
        self.size_bytes = 0 if self._state is None else CHECKSUM_BYTES

    def add(self, text: bytes) -> None:
        """Count text that goes into the frame."""
        if self._state is not None:
            self._call("update", text, len(text))

    def marked(self, piece: bytes) -> bytes:
        """Return a piece of the frame: the first one says that the checksum will come."""
        if self._state is None or self._has_begun or not piece:
            return piece
        assert len(piece) > _DESCRIPTOR_AT, "a header comes whole"
        self._has_begun = True
        head = bytearray(piece)
        head[_DESCRIPTOR_AT] |= _HAS_CHECKSUM
        return bytes(head)

    def end(self) -> bytes:
        """Return what stands behind the last block."""
        if self._state is None:
            return b""
        value = int(self._call("digest")) & 0xFFFFFFFF
        self.close()
        return value.to_bytes(CHECKSUM_BYTES, "little")

    def close(self) -> None:
        """Free its memory; harmless when repeated."""
        if self._state is not None:
            self._call("free")
            self._state = None

    def _call(self, name: str, *values: Any) -> Any:
        assert self._functions is not None
        return self._functions[name](self._state, *values)
