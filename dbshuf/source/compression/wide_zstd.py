"""zstd frames whose window is above 128 MiB, which pyarrow's reader refuses.

DuckDB's module holds libzstd, and its functions can be called where they are exported; the
system's libzstd is the other one that may be there. Neither is looked for until such a frame
comes. A window may have 2 GiB (`zstd --long=31`), and its memory is in the plan.
"""

import contextlib
import ctypes
import importlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any

MOST_WINDOW_LOG = 31
_WINDOW_LOG_MAX = 100  # ZSTD_d_windowLogMax, in zstd.h
_IN_BYTES = 128 << 10

# The functions as C++ names them in DuckDB's namespace, by their names in zstd.h.
_IN_DUCKDB = {
    "ZSTD_createDStream": "_ZN11duckdb_zstd18ZSTD_createDStreamEv",
    "ZSTD_freeDStream": "_ZN11duckdb_zstd16ZSTD_freeDStreamEPNS_11ZSTD_DCtx_sE",
    "ZSTD_DCtx_setParameter": "_ZN11duckdb_zstd22ZSTD_DCtx_setParameterEPNS_11ZSTD_DCtx_sE"
    "NS_15ZSTD_dParameterEi",
    "ZSTD_decompressStream": "_ZN11duckdb_zstd21ZSTD_decompressStreamEPNS_11ZSTD_DCtx_sE"
    "PNS_16ZSTD_outBuffer_sEPNS_15ZSTD_inBuffer_sE",
    "ZSTD_isError": "_ZN11duckdb_zstd12ZSTD_isErrorEm",
    "ZSTD_getErrorName": "_ZN11duckdb_zstd17ZSTD_getErrorNameEm",
}


class WideFrameFault(Exception):
    """What libzstd says of data that it cannot decompress."""


class _Buffer(ctypes.Structure):
    """ZSTD_inBuffer and ZSTD_outBuffer, which are alike."""

    _fields_ = (("at", ctypes.c_void_p), ("size", ctypes.c_size_t), ("place", ctypes.c_size_t))


@lru_cache(maxsize=1)
def functions() -> dict[str, Any] | None:
    """Return the functions of a libzstd by their names, None where there is none to call."""
    for names, load in ((_IN_DUCKDB, duckdb_library), *((None, load) for load in _SYSTEM)):
        with contextlib.suppress(OSError, AttributeError, ImportError):
            library = load()
            found = {name: library[names[name] if names else name] for name in _IN_DUCKDB}
            for name, function in found.items():
                function.restype = ctypes.c_size_t
                function.argtypes = [ctypes.c_void_p] * 3
                if name in ("ZSTD_isError", "ZSTD_getErrorName"):
                    function.argtypes = [ctypes.c_size_t]
            found["ZSTD_createDStream"].argtypes = []
            found["ZSTD_createDStream"].restype = ctypes.c_void_p
            found["ZSTD_freeDStream"].argtypes = [ctypes.c_void_p]
            found["ZSTD_DCtx_setParameter"].argtypes = [
                *(ctypes.c_void_p, ctypes.c_int, ctypes.c_int)
            ]
            found["ZSTD_isError"].restype = ctypes.c_uint
            found["ZSTD_getErrorName"].restype = ctypes.c_char_p
            return found
    return None


def duckdb_library() -> ctypes.CDLL:
    """Return DuckDB's module as a library of C functions; Raises ImportError, OSError."""
    return ctypes.CDLL(str(importlib.import_module("_duckdb").__file__))


_SYSTEM: tuple[Callable[[], ctypes.CDLL], ...] = (
    lambda: ctypes.CDLL("libzstd.so.1"),
    lambda: ctypes.CDLL("libzstd.1.dylib"),
)


class WideFrames:
    """zstd frames of any window, one after another."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        """Take compressed bytes from `read`, which gives none at the end."""
        found = functions()
        assert found is not None, "asked before"
        self._zstd, self._read = found, read
        self._stream: int | None = found["ZSTD_createDStream"]()
        if not self._stream:
            raise MemoryError
        self._call("ZSTD_DCtx_setParameter", self._stream, _WINDOW_LOG_MAX, MOST_WINDOW_LOG)
        self._block = ctypes.create_string_buffer(_IN_BYTES)
        self._in = _Buffer(ctypes.addressof(self._block), 0, 0)
        self._wanted = 0  # 0 between two frames

    def readinto(self, view: memoryview) -> int:
        """Fill `view`; less at the end of all frames.

        Raises  WideFrameFault, EOFError inside a frame, and what `read` raises
        """
        if not len(view):
            return 0
        out = _Buffer(ctypes.addressof(ctypes.c_char.from_buffer(view)), len(view), 0)
        while out.place < out.size:
            before = out.place
            if self._in.place == self._in.size and not self._refill() and not self._flushes(out):
                break
            if self._in.place < self._in.size:
                self._step(out)
            elif out.place == before:
                break
        return int(out.place)

    def close(self) -> None:
        """Free the window; a second call does nothing."""
        if self._stream:
            self._zstd["ZSTD_freeDStream"](self._stream)
            self._stream = None

    def _refill(self) -> bool:
        data = self._read(_IN_BYTES)
        ctypes.memmove(self._block, data, len(data))
        self._in.size, self._in.place = len(data), 0
        return bool(data)

    def _flushes(self, out: _Buffer) -> bool:
        """Take what the stream still holds after the last input; False when that is all."""
        if not self._wanted:
            return False
        before = out.place
        self._step(out)
        if out.place == before and self._wanted:
            raise EOFError
        return True

    def _step(self, out: _Buffer) -> None:
        self._wanted = self._call(
            "ZSTD_decompressStream", self._stream, ctypes.addressof(out), ctypes.addressof(self._in)
        )

    def _call(self, name: str, *values: Any) -> int:
        code = int(self._zstd[name](*values))
        if self._zstd["ZSTD_isError"](code):
            raise WideFrameFault(self._zstd["ZSTD_getErrorName"](code).decode())
        return code
