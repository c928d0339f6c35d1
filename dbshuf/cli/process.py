"""What the command sets for its own process before it loads anything, and how it ends it.

A run of 17 lines took 0.43 s, and 0.28 with all of this (best of 25 in random order, 2 cores,
Python 3.11.7, numpy 2.4.6, pyarrow 26.0.1). A program that calls the library decides for
itself.
"""

import atexit
import contextlib
import ctypes
import gc
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import NoReturn

from dbshuf.base.address_space import RESERVE_VARIABLE, SCARCE_RESERVE, check_least, is_limited
from dbshuf.units import MIB

# Objects made before the next collection; 700 as by default are 132 collections in a run of
# 17 lines, mostly of imports, which leave no garbage, and 0.07 s.
_GC_OBJECTS = 100_000

# Of mallopt, in glibc's malloc.h. Either alone would end that the other adapts itself.
_TRIM_THRESHOLD, _TRIM_BYTES = -1, 32 * MIB  # free at the end of a heap before it shrinks
_MMAP_THRESHOLD, _MMAP_BYTES = -3, 16 * MIB  # from here on an array comes from the system
_ARENA_MAX, _SCARCE_ARENAS = -8, 2  # each reserves 64 MiB of addresses, and each thread has one

# pyarrow imports pandas, where it is installed, as soon as it makes an array from numpy's:
# 0.2 s and 30 MB in the midst of a run, which no plan has counted. The others are its clients
# of file systems that no input can be in, 0.02 s.
_NOT_LOADED = {"pandas", "pyarrow._azurefs", "pyarrow._gcsfs", "pyarrow._hdfs", "pyarrow._s3fs"}


def prepare() -> None:
    """Set all of it; before numpy or pyarrow is imported."""
    gc.set_threshold(_GC_OBJECTS)
    # Nothing multiplies matrices here, and threads that wait to took 0.15 s of CPU time.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    sys.meta_path.insert(0, _NotLoaded())
    _keep_freed_memory()
    if is_limited():
        _spare_addresses()


def let_load(module: str) -> None:
    """Let a module be imported after all."""
    _NOT_LOADED.discard(module)


def end(code: int) -> NoReturn:
    """End the process: what is registered for its end is done, but no module is taken apart.

    That takes 0.1 s. A hidden output that a signal found half made is removed here, see scratch.py.
    """
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            if stream is not None:
                stream.flush()
    os._exit(code)


class _NotLoaded:
    """Lets the import of some modules fail, as if they were not installed.

    And of all that are large, with MemoryRefused, where they would not find room.
    """

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name == "numpy":  # the first that is large
            check_least()
        if name in _NOT_LOADED:
            raise ModuleNotFoundError(f"{name} is not loaded here", name=name)
        return None


def _keep_freed_memory() -> None:
    """Let the C library keep the memory that arrays free, for the arrays that come next.

    glibc gives an array of a MB back to the system as soon as it is freed, and every page
    of the next one is fetched and cleared again. Of 1 GB in 147-byte lines at --memory 8GB
    395,000 page faults became 316,000, and the system's share of the time fell from 2.11 to
    1.95 s of 6.3; the wall time did not show it (medians of 9 in random order, glibc 2.36).
    """
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_TRIM_THRESHOLD, _TRIM_BYTES)
        libc.mallopt(_MMAP_THRESHOLD, _MMAP_BYTES)


def _spare_addresses() -> None:
    """Let the allocators reserve few addresses, which `ulimit -v` counts as memory.

    A run of 59 MB at --memory 400MB had 2448 MiB of them at its peak, and 626 with this (two
    threads, partition, pyarrow 26.0.1, glibc 2.36).
    """
    os.environ.setdefault(RESERVE_VARIABLE, SCARCE_RESERVE)
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_ARENA_MAX, _SCARCE_ARENAS)
