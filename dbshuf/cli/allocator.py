"""Lets the C library keep the memory that numpy's arrays free, for the arrays that come next.

glibc gives an array of a MB back to the system as soon as it is freed, and every page of the
next one is fetched and cleared again: of 1 GB in 147-byte lines at --memory 8GB, 389,000 page
faults became 316,000, and 3.13 s 2.91; of the same from Parquet to Parquet at 1GB 239,000 and
160,000, 5.73 s and 5.49 (medians of 5, glibc 2.36; the peak stayed as it was). A program that
calls the library decides for itself.
"""

import contextlib
import ctypes

from dbshuf.units import MIB

# Of mallopt, in glibc's malloc.h. Either alone would end that the other adapts itself.
_TRIM_THRESHOLD, _TRIM_BYTES = -1, 32 * MIB  # free at the end of a heap before it shrinks
_MMAP_THRESHOLD, _MMAP_BYTES = -3, 16 * MIB  # from here on an array comes from the system


def keep_freed_memory() -> None:
    """Set the thresholds, where there is glibc."""
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_TRIM_THRESHOLD, _TRIM_BYTES)
        libc.mallopt(_MMAP_THRESHOLD, _MMAP_BYTES)
