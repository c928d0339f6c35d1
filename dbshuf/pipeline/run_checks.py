"""Every run checks itself: what came out is what went in, in the order it should have."""

from collections.abc import Callable, Iterator

import numpy as np

from dbshuf.base.counters import Tally
from dbshuf.base.window import Window
from dbshuf.errors import CheckFailed, QueryFailed

_BUG = "this is a bug in dbshuf or a fault of the machine"


def checked(
    windows: Iterator[Window], written: Tally, given_id: Callable[[int], int] | None = None
) -> Iterator[Window]:
    """Pass windows on, counted.

    given_id  turns a key into its row id, if a query gave the ids
    Raises    CheckFailed if a key does not ascend; QueryFailed if a given id comes twice
    """
    last = -1
    for window in windows:
        keys = window.keys
        if len(keys) and (int(keys[0]) <= last or not bool(np.all(keys[1:] > keys[:-1]))):
            twice = [last] if int(keys[0]) == last else keys[1:][keys[1:] == keys[:-1]].tolist()
            if given_id is not None and twice:
                raise QueryFailed(
                    f"the id {given_id(twice[0])} comes twice in the result of --sql",
                    hint="ids must differ, as the ids of `lines` do; or leave `id` out",
                )
            raise CheckFailed(
                f"rows out of order after {written.rows:,} rows; nothing was published", hint=_BUG
            )
        written.add_window(window)
        last = int(keys[-1]) if len(keys) else last
        yield window
        del window, keys  # a long row is not held while the next is waited for


def check_read(read_bytes: int, expected_bytes: int) -> None:
    """Raise CheckFailed unless the lines that were read make up the inputs."""
    if read_bytes != expected_bytes:
        raise CheckFailed(
            f"the inputs hold {expected_bytes:,} bytes, but their lines {read_bytes:,};"
            " nothing was published",
            hint=_BUG,
        )


def check_rows(read_rows: int, expected_rows: int) -> None:
    """Raise CheckFailed unless as many rows were read as the inputs say they have."""
    if read_rows != expected_rows:
        raise CheckFailed(
            f"the inputs hold {expected_rows:,} rows, but {read_rows:,} were read;"
            " nothing was published",
            hint=_BUG,
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
            hint=_BUG,
        )
