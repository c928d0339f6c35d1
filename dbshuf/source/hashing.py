"""Inputs whose bytes are hashed while they are read, and a thread for what readers leave."""

import os
import threading
from collections.abc import Sequence
from dataclasses import replace

from dbshuf.errors import InputChanged
from dbshuf.source.digest import InputDigest
from dbshuf.source.input import Input, check_unchanged, unreadable
from dbshuf.source.read_sums import ReadSums


def with_digests(inputs: Sequence[Input], *, in_columns: str | None) -> tuple[Input, ...]:
    """Return inputs that are hashed while they are read.

    in_columns  of a format that is read from several places: why it is not hashed then, or
                empty: it is read a second time; None for what is read front to back, or lines
    """
    return tuple(replace(one, digest=_digest_of(one, in_columns)) for one in inputs)


def _digest_of(source: Input, in_columns: str | None) -> InputDigest:
    unhashed = in_columns or ""
    if in_columns == "" and not source.is_mappable and source.is_plain_file:
        unhashed = "an object that is read in columns"
    return InputDigest(source.size_bytes if source.is_plain_file else None, unhashed)


def with_sums(inputs: Sequence[Input], sums: ReadSums) -> tuple[Input, ...]:
    """Return inputs of which files are summed while they are read; objects have a version."""
    return tuple(one if one.remote is not None else replace(one, sums=sums) for one in inputs)


class CatchUp:
    """A thread that reads again what readers have not hashed.

    at_once  whether it begins with the reading, since readers will hash nothing
    """

    def __init__(self, inputs: Sequence[Input], *, at_once: bool) -> None:
        self._inputs = inputs
        self._stop, self._is_read = threading.Event(), threading.Event()
        self._error: BaseException | None = None
        if at_once:
            self._is_read.set()
        self._thread = threading.Thread(target=self._run, name="dbshuf-hash", daemon=True)
        self._thread.start()

    def begin(self) -> None:
        """Begin: all inputs have been read."""
        self._is_read.set()

    def join(self) -> None:
        """Wait until all is hashed. Raises what the thread did."""
        self._is_read.set()
        self._thread.join()
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """End it as it is."""
        self._stop.set()
        self._is_read.set()
        self._thread.join()

    def _run(self) -> None:
        self._is_read.wait()
        for one in self._inputs:
            digest = one.digest
            if self._stop.is_set() or self._error is not None:
                return
            if digest is None or digest.sha256 is not None or digest.unhashed:
                continue
            if one.path is None or one.remote is not None or not os.path.isfile(one.path):
                continue
            try:
                digest.catch_up(one.path, self._stop)
                check_unchanged(one)
            except OSError as error:
                self._error = unreadable(one.name, error)
            except InputChanged as error:
                self._error = error
