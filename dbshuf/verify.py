"""Every run checks itself: what came out is what went in, in the order it should have."""

from collections.abc import Iterator

import numpy as np

from dbshuf.errors import CheckFailed
from dbshuf.order.tally import Tally
from dbshuf.order.window import Window


def checked(windows: Iterator[Window], written: Tally) -> Iterator[Window]:
    """Pass windows on, counted; Raises CheckFailed if a key does not ascend."""
    last = -1
    for window in windows:
        keys = window.keys
        if len(keys) and (int(keys[0]) <= last or not bool(np.all(keys[1:] > keys[:-1]))):
            raise CheckFailed(
                f"rows out of order after {written.rows:,} rows; nothing was published",
                hint="this is a bug in dbshuf or a fault of the machine",
            )
        written.add(keys, window.text_bytes)
        last = int(keys[-1]) if len(keys) else last
        yield window


def check_read(read: Tally, expected_bytes: int) -> None:
    """Raise CheckFailed unless the lines that were read make up the inputs."""
    if read.text_bytes != expected_bytes:
        raise CheckFailed(
            f"the inputs hold {expected_bytes:,} bytes, but their lines {read.text_bytes:,};"
            " nothing was published",
            hint="this is a bug in dbshuf or a fault of the machine",
        )


def check_totals(read: Tally, written: Tally) -> None:
    """Raise CheckFailed unless rows, bytes and the sum of keys agree."""
    before = (read.rows, read.text_bytes, read.key_sum)
    after = (written.rows, written.text_bytes, written.key_sum)
    if before != after:
        raise CheckFailed(
            f"read {read.rows:,} rows of {read.text_bytes:,} bytes, key sum {read.key_sum:016x},"
            f" but ordered {written.rows:,} rows of {written.text_bytes:,} bytes,"
            f" key sum {written.key_sum:016x}; nothing was published",
            hint="this is a bug in dbshuf or a fault of the machine",
        )
