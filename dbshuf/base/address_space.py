"""Whether the addresses that the system gives this process (`ulimit -v`) suffice for a run.

They are looked at before threads and engines begin, since it is too late then: where the
variables that a library has in each thread find no room, glibc's loader ends the process
with a word of its own and code 127, and C++ ends it by a signal.

A run needs addresses for what it may hold (--memory), and beside that for code, stacks and
what the allocators reserve. Measured over 48 runs (text, JSON lines, Parquet, --where, --sql;
every strategy and SQLite; 1, 2 and 8 threads; --memory 400MB and 1GB; glibc 2.36, pyarrow 26.0.1,
duckdb 2.0.1): between the start of a run and its peak they grew by at most 250 MiB with one
thread and 474 with eight, beyond what resident memory grew by.
"""

import os
import resource
import threading
from pathlib import Path

from dbshuf.errors import MemoryRefused
from dbshuf.units import GIB, KIB, MIB

# What Arrow's allocator (mimalloc) reserves at a time: where addresses are scarce the command
# asks for 64 MiB, see cli/process.py, and a program that calls the library has its default.
RESERVE_VARIABLE, SCARCE_RESERVE = "MIMALLOC_ARENA_RESERVE", "64MiB"
_DEFAULT_RESERVE_BYTES = GIB
_ARENA_BYTES = 64 * MIB  # what glibc reserves for the small allocations of each thread

_BESIDE_BYTES = 256 * MIB  # code that is loaded yet, heaps that grow in steps
_STACKS = 4  # of a thread asked for: its worker, DuckDB's, Arrow's, an encoder
_UNLIMITED_STACK_BYTES = 2 * MIB  # what glibc gives a thread then
_LEAST_BYTES = 640 * MIB  # no run is smaller
_LEAST_MEMORY_BYTES = 128 * MIB  # nor has any a smaller --memory
_VARIES_BYTES = 8 * MIB  # by which one run's start differs from another's, and more
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

# The limits, and which column of the kernel's counts of pages each is held against.
_COUNTS = "/proc/self/statm"
_LIMITS = ((resource.RLIMIT_AS, "-v", 0), (resource.RLIMIT_DATA, "-d", 5))
_NAMES = {"-v": "address space", "-d": "data segment"}


def is_limited() -> bool:
    return any(_limits())


def check_least() -> None:
    """Raise MemoryRefused where no run can be; before anything large is imported."""
    for limit, option, _ in _limits():
        if limit < _LEAST_BYTES:
            raise MemoryRefused(
                f"the {_NAMES[option]} of this process is limited to {_mib(limit)}, and every run"
                f" needs {_mib(_LEAST_BYTES)} or more",
                hint=f"raise the limit (ulimit {option} {_LEAST_BYTES // KIB})",
            )


def check_room(memory_bytes: int, threads: int) -> None:
    """Raise MemoryRefused where a run with that --memory and so many threads might have too little.

    To be called before its threads begin.
    """
    for limit, option, column in _limits():
        beside = _beside_bytes(threads, column)
        if limit >= beside + memory_bytes:
            continue
        needed = (-(-(beside + memory_bytes) // _VARIES_BYTES) + 1) * _VARIES_BYTES
        fitting = limit - beside - _VARIES_BYTES
        smaller = f", or pass --memory {_mib(fitting)} or less" * (fitting >= _LEAST_MEMORY_BYTES)
        fewer = ", or fewer --threads" * (threads > 1)
        raise MemoryRefused(
            f"the {_NAMES[option]} of this process is limited to {_mib(limit)}, and a run with"
            f" --memory {_mib(memory_bytes)} and --threads {threads} needs {_mib(needed)}",
            hint=f"raise the limit (ulimit {option} {needed // KIB}){smaller}{fewer}",
        )


def room_bytes(threads: int) -> int | None:
    """Return the largest --memory for which `check_room` has room; None without a limit."""
    rooms = [
        max(limit - _beside_bytes(threads, column), _LEAST_MEMORY_BYTES)
        for limit, _, column in _limits()
    ]
    return min(rooms, default=None)


def left_bytes() -> int | None:
    """Return how much more this process may reserve; None without a limit."""
    limits = _limits()
    if not limits:
        return None
    pages = [int(text) for text in Path(_COUNTS).read_text().split()]
    return min(limit - pages[column] * _PAGE_BYTES for limit, _, column in limits)


def _limits() -> list[tuple[int, str, int]]:
    """Return each limit (bytes) that is set, its option of `ulimit`, and its column."""
    if not os.path.exists(_COUNTS):
        return []
    return [
        (limit, option, column)
        for number, option, column in _LIMITS
        if (limit := _limit(number)) is not None
    ]


def _beside_bytes(threads: int, column: int) -> int:
    """Return what a run takes of a limit beside the memory that it holds."""
    pages = [int(text) for text in Path(_COUNTS).read_text().split()]
    held = (pages[column] - pages[1]) * _PAGE_BYTES  # of what is resident, --memory is the measure
    reserved = 0
    if RESERVE_VARIABLE not in os.environ:
        reserved = _DEFAULT_RESERVE_BYTES + threads * _ARENA_BYTES
    return max(held, 0) + _BESIDE_BYTES + threads * _STACKS * _stack_bytes() + reserved


def _stack_bytes() -> int:
    """Return what the stack of a thread takes."""
    limit = _limit(resource.RLIMIT_STACK)
    return max(threading.stack_size(), _UNLIMITED_STACK_BYTES if limit is None else limit)


def _limit(number: int) -> int | None:
    limit = resource.getrlimit(number)[0]
    return None if limit == resource.RLIM_INFINITY else limit


def _mib(size: int) -> str:
    return f"{size // MIB}MiB"
