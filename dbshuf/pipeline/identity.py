"""What must be the same for a run to be gone on with; a journal begins with it."""

import contextlib
import os
import zlib
from collections.abc import Sequence
from typing import Any

from dbshuf.base.journal import Record
from dbshuf.base.key import ORDER_VERSION
from dbshuf.base.versions import versions_here
from dbshuf.base.work_dir import WorkDir, cleaning
from dbshuf.errors import RunDiffers
from dbshuf.plan.plan import Plan
from dbshuf.source.formats import DATABASES
from dbshuf.source.input import Input
from dbshuf.source.read_sums import Stretch
from dbshuf.units import KIB, utc_time

_FORMAT = 9  # of the journal and of what it seals
_INPUTS = 1000  # a record
_SUMMED_BYTES = 64 * KIB  # at either end of an input
_LOG_SUFFIXES = ("-wal", ".wal")  # of SQLite, and of DuckDB
_TIME = "time of change"
_LOG = "log [size (bytes), time of change]"


def versions() -> dict[str, str | int]:
    """Return the versions of all that decides what is written."""
    return {"journal": _FORMAT, "order": ORDER_VERSION, **versions_here()}


def write_identity(work: WorkDir, plan: Plan) -> None:
    """Begin a journal."""
    assert plan.work is not None
    work.note(
        "begin",
        made=work.is_made,
        versions=versions(),
        options=plan.work.options,
        seed=plan.seed,
        ranges=plan.layout.ranges,
        inputs=len(plan.inputs),
        store=_store_facts(plan),
    )
    for first in range(0, len(plan.inputs), _INPUTS):
        some = plan.inputs[first : first + _INPUTS]
        facts = [_facts(one, plan.shape.kind) for one in some]
        work.note("inputs", first=first, inputs=facts)


class Identity:
    """Holds a journal to the run that wants to go on with it.

    Raises  RunDiffers, naming what is not the same
    """

    def __init__(self, work: WorkDir, plan: Plan) -> None:
        self._work, self._plan = work, plan

    def check_begin(self, record: Record) -> None:
        """Compare all but the inputs, in the record with which a journal begins."""
        assert self._plan.work is not None
        for name, now in versions().items():
            self._same(f"the version of {name}", record["versions"].get(name), now)
        before = record["options"]
        for name, value in self._plan.work.options.items():
            self._same(f"--{name.replace('_', '-')}", before.get(name), value)
        self._same("--seed", record["seed"], self._plan.seed)
        facts = zip(("size (bytes)", _TIME, _LOG), record["store"], strict=False)
        for (name, was), found in zip(facts, _store_facts(self._plan), strict=True):
            self._same(f"the {name} of the store", was, found)

    def check_count(self, inputs: int) -> None:
        """Compare how many inputs there are."""
        self._same("the number of inputs", inputs, len(self._plan.inputs))

    def check_inputs(self, record: Record) -> None:
        """Compare some of the inputs."""
        first, before = record["first"], record["inputs"]
        self._compare(before, self._plan.inputs[first : first + len(before)])

    def check_sum(self, one: Input, read: Stretch, now: int) -> None:
        """Compare the checksum of some bytes of an input with that of those that were read."""
        field = f"the checksum of bytes {read.begin:,} to {read.end:,} of input `{one.name}`"
        self._same(field, f"{read.crc32:08x}", f"{now:08x}")

    def _compare(self, before: Sequence[Any], now: Sequence[Input]) -> None:
        names = ("name", "size (bytes)", _TIME, "version", "first and last bytes")
        kind = self._plan.shape.kind
        for old, one in zip(before, now, strict=True):
            for name, was, found in zip((*names, _LOG), old, _facts(one, kind), strict=False):
                self._same(f"the {name} of input `{one.name}`", was, found)

    def _same(self, field: str, before: object, now: object) -> None:
        if before != now:
            raise RunDiffers(
                f"--work-dir `{self._work.path}` holds another run: {field} was"
                f" {_as_told(field, before)}, and is {_as_told(field, now)}",
                hint=f"name another directory, or begin anew after `{cleaning(self._work.path)}`",
            )


def _as_told(field: str, value: Any) -> str:
    """Return a value as people read it; times of change are kept in ns."""
    if value is not None and field.startswith(f"the {_TIME} of"):
        return f"`{utc_time(value)}`"
    if value is not None and field.startswith(f"the {_LOG} of"):
        return f"`[{value[0]}, {utc_time(value[1])}]`"
    return _shown(value)


def _shown(value: object) -> str:
    return "not given" if value is None or value == [] else f"`{value}`"


def _store_facts(plan: Plan) -> list[object]:
    """Return what tells a store from what it was before; nothing where files are read."""
    if plan.store is None:
        return []
    status = os.stat(plan.store.path)
    return [status.st_size, status.st_mtime_ns, log_of(plan.store.path)]


def _facts(one: Input, kind: str) -> list[object]:
    """Return what tells an input from another one, or from what it was before."""
    facts = [one.place, one.size_bytes, one.changed_ns, one.version, _ends_sum(one)]
    log = None
    if kind in DATABASES and one.remote is None and one.path is not None:
        log = log_of(one.path)
    return [*facts, log, status_changed_ns(one)]


def log_of(path: str | os.PathLike[str]) -> list[int] | None:
    """Return size and time of change (ns) of what a database was given and has not taken in.

    None if there is no such log beside it, or beside what a link of that name points to; one
    that is empty is as good as none.
    """
    for suffix in _LOG_SUFFIXES:
        with contextlib.suppress(OSError):
            status = os.stat(f"{os.path.realpath(path)}{suffix}")
            if status.st_size:
                return [status.st_size, status.st_mtime_ns]
    return None


def status_changed_ns(one: Input) -> int | None:
    """Return when a file, or what the system notes of it, was changed last (ns).

    Whoever writes to it changes that, even if the time of change is set back; but so do chmod,
    a link and a copy. So what was read of a file is looked at where it is another one, and no more.
    """
    if one.remote is not None or one.path is None:
        return None
    try:
        return os.stat(one.path).st_ctime_ns
    except OSError:  # whoever reads it says why
        return None


def _ends_sum(one: Input) -> int | None:
    """Return the CRC-32 of the first and the last bytes of a file as it lies there."""
    if one.remote is not None or one.path is None:
        return None
    return ends_crc32(one.path, one.size_bytes or 0)


def ends_crc32(path: str | os.PathLike[str], size: int) -> int | None:
    """Return the CRC-32 of the first and the last bytes of a file; None if it cannot be read."""
    crc32 = 0
    try:
        with open(path, "rb", buffering=0) as file:
            crc32 = zlib.crc32(file.read(_SUMMED_BYTES) or b"")
            if size > _SUMMED_BYTES:
                last = os.pread(file.fileno(), _SUMMED_BYTES, size - _SUMMED_BYTES)
                crc32 = zlib.crc32(last, crc32)
    except OSError:  # whoever reads it says why
        return None
    return crc32
