"""Every run checks itself: what came out is what went in, in the order it should have."""

from collections.abc import Callable, Iterator

import numpy as np

from dbshuf.base.counters import Tally
from dbshuf.base.key import U64
from dbshuf.base.window import Window
from dbshuf.errors import CheckFailed, QueryFailed


def checked(
    windows: Iterator[Window], written: Tally, given_id: Callable[[int], int] | None = None
) -> Iterator[Window]:
    """Pass windows on, counted; where rows have prefixes, (prefix, key) has to ascend.

    given_id  turns a key into its row id, if a query gave the ids
    Raises    CheckFailed if a key does not ascend; QueryFailed if a given id comes twice
    """
    last, last_prefix = -1, -1
    for window in windows:
        keys = window.keys
        if window.prefixes is not None:
            if not _ascends(window.prefixes, keys, last_prefix, last):
                _check_twice(keys, last, given_id)
                raise _disorder(written)
            last_prefix = int(window.prefixes[-1]) if len(keys) else last_prefix
        elif len(keys) and (int(keys[0]) <= last or not bool(np.all(keys[1:] > keys[:-1]))):
            _check_twice(keys, last, given_id)
            raise _disorder(written)
        written.add_window(window)
        last = int(keys[-1]) if len(keys) else last
        yield window
        del window, keys  # a long row is not held while the next is waited for


def _check_twice(keys: U64, last: int, given_id: Callable[[int], int] | None) -> None:
    """Raise QueryFailed where it is by a query that keys do not ascend.

    last  the key before these
    """
    twice = [last] if int(keys[0]) == last else keys[1:][keys[1:] == keys[:-1]].tolist()
    if given_id is not None and twice:
        raise QueryFailed(
            f"the id {given_id(twice[0])} comes twice in the result of --sql",
            hint="ids must differ, as the ids of `lines` do; or leave `id` out",
        )


def _disorder(written: Tally) -> CheckFailed:
    return CheckFailed(f"rows out of order after {written.rows:,} rows; nothing was published")


def _ascends(prefixes: U64, keys: U64, last_prefix: int, last: int) -> bool:
    """Whether (prefix, key) ascends, from that of the row before on."""
    if not len(prefixes):
        return True
    is_after = (prefixes[1:] > prefixes[:-1]) | (
        (prefixes[1:] == prefixes[:-1]) & (keys[1:] > keys[:-1])
    )
    return (int(prefixes[0]), int(keys[0])) > (last_prefix, last) and bool(np.all(is_after))


def check_read(read_bytes: int, expected_bytes: int) -> None:
    """Raise CheckFailed unless the lines that were read make up the inputs."""
    if read_bytes != expected_bytes:
        raise CheckFailed(
            f"the inputs hold {expected_bytes:,} bytes, but their lines {read_bytes:,};"
            " nothing was published",
        )


def check_rows(read_rows: int, expected_rows: int) -> None:
    """Raise CheckFailed unless as many rows were read as the inputs say they have."""
    if read_rows != expected_rows:
        raise CheckFailed(
            f"the inputs hold {expected_rows:,} rows, but {read_rows:,} were read;"
            " nothing was published",
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
        )
