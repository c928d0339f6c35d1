"""Rows for programs: all in order, or the share of one rank, which can stop and go on."""

import atexit
import contextlib
import hashlib
import os
import secrets
import weakref
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import pyarrow as pa

from dbshuf.base.counters import Tally
from dbshuf.base.key import ORDER_VERSION, epoch_seed
from dbshuf.base.messages import too_small
from dbshuf.base.progress import NO_PROGRESS
from dbshuf.base.rest_scan import Given
from dbshuf.base.window import Window
from dbshuf.errors import MemoryTooSmall, RunDiffers, UsageError
from dbshuf.options import Options
from dbshuf.pipeline.dealing import Deal, Dealt, own_batches
from dbshuf.pipeline.ordered import ordered
from dbshuf.pipeline.shuffle import planned_here
from dbshuf.plan.plan import Plan
from dbshuf.sink.formats.record_batches import records_of
from dbshuf.sink.numbered import numbered
from dbshuf.sink.schema_cast import as_written, reader_schema
from dbshuf.source.input import Input, check_same, closed_pipe
from dbshuf.units import MIB, human

DEFAULT_BATCH_ROWS = 1024
_HELD_BATCHES = 3  # pieces, what they are joined to, and one that waits for its round
_COUNTED_BYTES = 4 * MIB  # smaller batches are within the slack of every plan

# Options that say which rows there are, and how each is named.
_ROW_OPTIONS = (
    "where",
    "select",
    "sql",
    "header",
    "zero_terminated",
    "input_format",
    "table",
    "schema",
    "hive",
    "take",
    "skip",
    "sample",
    "with_replacement",
    "per",
    "stratify",
    "number",
    "mix",
    "mix_by",
    "mix_size",
    "weight",
    "group",
    "within",
    "spread",
)
_STATE = ("order_version", "seed", "epoch", "rows", "given", "inputs", "options")

_open: "weakref.WeakSet[Generator[Any, None, Any]]" = weakref.WeakSet()
os.register_at_fork(after_in_child=_open.clear)  # they belong to the parent


def closed_at_exit(rows: Generator[Any, None, Any]) -> None:
    """Let a program leave it half-read, so that no temporary data stay."""
    _open.add(rows)


@atexit.register
def _close_all() -> None:
    for rows in list(_open):
        with contextlib.suppress(ValueError):  # a thread is still reading it
            rows.close()


def records_for(plan: Plan) -> tuple[pa.Schema, Callable[[Window], pa.RecordBatch]]:
    """Return the columns that a program sees, and what makes batches of windows."""
    records = records_of(plan.target)
    written = plan.target.written
    schema = records.schema if written is None else reader_schema(written)
    return schema, lambda window: as_written(records.batch(window), schema)


@dataclass(frozen=True)
class Sharing:
    """What a program says of its part of the rows, see `api.stream`."""

    rank: int = 0
    world_size: int = 1
    epoch: int = 0
    batch_rows: int = DEFAULT_BATCH_ROWS
    drop_last: bool = False

    def check(self) -> None:
        """Raise UsageError for numbers that name no part."""
        least = {"rank": 0, "world_size": 1, "epoch": 0, "batch_rows": 1}
        for name, bound in least.items():
            value = getattr(self, name)
            if value < bound:
                raise UsageError(
                    f"{name} {value} must be at least {bound}", hint=f"as in {name}={bound}"
                )
        if self.rank >= self.world_size:
            raise UsageError(
                f"rank {self.rank} is not below world_size {self.world_size}",
                hint="ranks are numbered from 0",
            )


class Stream:
    """The record batches of one rank in one epoch, once; work begins with the first.

    It is its own iterator. `state_dict` says at any time where it is, and another one of the same
    inputs and options goes on from there after `load_state_dict`. Closing or dropping it early
    ends the work and removes all temporary data.

    schema      columns of every batch; of lines one, `line`
    seed        the text that was given, or drawn
    epoch       from 0; its order is that of the seed `key.epoch_seed(seed, epoch)`
    rank, world_size, batch_rows   as they were given
    """

    def __init__(self, options: Options, sharing: Sharing) -> None:
        """Plan; Raises what `planned_here` does, UsageError."""
        sharing.check()
        self._sharing, self._options = sharing, options
        if options.seed is None and sharing.world_size > 1:
            raise UsageError(
                "every rank would draw a seed of its own", hint="give all of them one seed"
            )
        self._is_drawn = options.seed is None
        self.seed = str(secrets.randbits(48)) if options.seed is None else options.seed
        self.rank, self.world_size = sharing.rank, sharing.world_size
        self.batch_rows, self.epoch = sharing.batch_rows, sharing.epoch
        self._first_row = self._place = 0  # in the whole order
        self._given: Given | None = None
        self._rows: Generator[Dealt, None, int] | None = None
        self._is_ended = False
        self._plan_epoch()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> pa.RecordBatch:
        """Return the next batch. Raises DbshufError."""
        if self._is_ended:
            raise StopIteration
        if self._rows is None:
            self._rows = self._begin()
            closed_at_exit(self._rows)
        try:
            dealt = next(self._rows)
        except StopIteration as end:
            self._is_ended = True
            if end.value is not None:  # not closed: all was read
                self._place = max(end.value, self._first_row)
            raise StopIteration from None
        self._place += self.world_size * self.batch_rows
        self._given = dealt.given
        return dealt.batch

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the work and remove all temporary data; there are no more batches then."""
        self._is_ended = True
        if self._rows is not None:
            self._rows.close()

    def state_dict(self) -> dict[str, Any]:
        """Return where the stream is: numbers and text, which JSON can hold.

        Of ranks that have taken equally many batches each one's will do for all.
        """
        given = self._given
        return {
            "order_version": ORDER_VERSION,
            "seed": self.seed,
            "epoch": self.epoch,
            "rows": self._place,
            "given": None if given is None else {"key": given.key, "rows": given.rows},
            "inputs": _digest(self._plan.inputs),
            "options": _row_options(self._options),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where the stream was that the state is of, in the state's epoch.

        It may have had another rank, world_size and batch_rows. With the same world_size every
        rank can load its own state; with another one all must load the same, taken when all ranks
        had got equally many batches.
        Raises  UsageError if it is no state; RunDiffers if it is one of other rows; InputChanged
        """
        _check_form(state)
        self._check_same(state)
        self.close()
        self.seed, self.epoch = state["seed"], state["epoch"]
        self._first_row = self._place = state["rows"]
        given = state["given"]
        self._given = None if given is None else Given(given["key"], given["rows"])
        self._rows, self._is_ended = None, False
        listed = self._plan.inputs
        self._plan_epoch()
        check_same(listed, self._plan.inputs)

    def _plan_epoch(self) -> None:
        """Plan the order of the epoch, with room for batches beside it."""
        seed = epoch_seed(self.seed, self.epoch)
        options = replace(self._options, seed=seed)
        plan = first = planned_here(options)
        row_bytes = plan.survey.mean_line_bytes
        held = int(_HELD_BATCHES * self.batch_rows * row_bytes)
        if held > _COUNTED_BYTES:
            plan = self._plan_beside(options, plan.memory_bytes, held)
        check_same(first.inputs, plan.inputs)
        if closed_pipe(plan.inputs) is not None:
            raise UsageError(
                "a pipe can be read once, but every rank and every epoch reads its inputs",
                hint="write it into a file, or leave out rank, world_size, epoch and batch_rows",
            )
        if not plan.has_fixed_ids:
            raise UsageError(
                "the rows of this --sql may be numbered otherwise in every run",
                hint="carry `id` through it: select id, ...",
            )
        self._plan = plan
        self.schema, self._records = records_for(plan)

    def _plan_beside(self, options: Options, cap: int, held: int) -> Plan:
        """Plan with what `held` bytes of batches leave of the memory."""
        try:
            return planned_here(replace(options, memory=max(cap - held, 1)))
        except MemoryTooSmall as error:
            if error.least_bytes is None:
                raise
            needs = f"beside {human(held)} for batches of {self.batch_rows:,} rows this run needs"
            least = error.least_bytes + held
            raise too_small(cap, least, needs, ", or a smaller batch_rows") from error

    def _begin(self) -> Generator[Dealt, None, int]:
        """Order the rows that are left, and deal them out."""
        deal = Deal(
            rank=self.rank,
            world_size=self.world_size,
            batch_rows=self.batch_rows,
            first_row=self._first_row,
            drop_last=self._sharing.drop_last,
        )
        plan, place, records = self._plan, 0, self._records
        # all rows are counted from the first: rows by prefix are not told apart by their keys
        is_counted = plan.sample is not None or self._options.number is not None
        is_counted = is_counted or plan.order_by is not None
        if self._given is not None and plan.shape.whole_query is None and not is_counted:
            plan, place = replace(plan, given=self._given), self._given.rows
        return _dealt(plan, place, deal, records)

    def _check_same(self, state: Mapping[str, Any]) -> None:
        if state["order_version"] != ORDER_VERSION:
            raise _differs("order version", state["order_version"], ORDER_VERSION)
        if state["seed"] != self.seed and not self._is_drawn:
            raise _differs("seed", state["seed"], self.seed)
        before, now = state["options"], _row_options(self._options)
        for name in sorted({*before, *now}):
            if before.get(name) != now.get(name):
                raise _differs(name, before.get(name), now.get(name))
        if state["inputs"] != _digest(self._plan.inputs):
            raise RunDiffers(
                "the state is of other inputs: their number, names or sizes were different",
                hint="name the same files in the same order; folders may be others",
            )


def _dealt(
    plan: Plan, place: int, deal: Deal, records: Callable[[Window], pa.RecordBatch]
) -> Generator[Dealt, None, int]:
    with contextlib.closing(ordered(plan, NO_PROGRESS, Tally())) as windows:
        rows = numbered(windows, plan.target)
        return (yield from own_batches(rows, place, deal, records))


def all_batches(plan: Plan) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """Return the columns and the batches of all rows, of sizes as they come."""
    schema, records = records_for(plan)

    def batches() -> Generator[pa.RecordBatch]:
        with contextlib.closing(ordered(plan, NO_PROGRESS, Tally())) as windows:
            for window in numbered(windows, plan.target):
                yield records(window)

    rows = batches()
    closed_at_exit(rows)
    return schema, rows


def _differs(name: str, before: object, now: object) -> RunDiffers:
    was, found = ("not given" if one is None else f"`{one}`" for one in (before, now))
    return RunDiffers(
        f"the state is of other rows: {name} was {was}, and is {found}",
        hint="give what was given then, or begin anew without the state",
    )


def _check_form(state: Mapping[str, Any]) -> None:
    """Raise UsageError unless it has all that `state_dict` gives."""
    hint = "pass what state_dict() gave"
    if not isinstance(state, Mapping):
        raise UsageError("this is no state of a stream: it has no names", hint=hint)
    missing = [name for name in _STATE if name not in state]
    given = None if missing else state["given"]
    for name in () if missing else ("given", "options"):
        is_absent = name == "given" and given is None
        if not is_absent and not isinstance(state[name], Mapping):
            raise UsageError(f"this is no state of a stream: `{name}` has no names", hint=hint)
    numbers = [] if missing else [state["epoch"], state["rows"]]
    numbers += [] if given is None else [given.get("key"), given.get("rows")]
    if missing or not all(type(number) is int and 0 <= number < 1 << 64 for number in numbers):
        what = f"it lacks `{missing[0]}`" if missing else "it has no whole numbers from 0 on"
        raise UsageError(f"this is no state of a stream: {what}", hint=hint)


def _row_options(options: Options) -> dict[str, Any]:
    """Return the options on which rows depend, as far as they were given."""
    default = Options()
    given = {name: getattr(options, name) for name in _ROW_OPTIONS}
    given = {name: value for name, value in given.items() if value != getattr(default, name)}
    return {name: list(one) if isinstance(one, tuple) else one for name, one in given.items()}


def _digest(inputs: tuple[Input, ...]) -> str:
    """Return a hash of the names and sizes of inputs, and of their logs, without their folders."""
    digest = hashlib.sha256()
    for one in inputs:
        name = os.path.basename(one.name)
        logs = "".join(f" {log.size_bytes}" for log in one.logs)
        digest.update(f"{one.size_bytes}{logs} {name}\0".encode(errors="surrogateescape"))
    return digest.hexdigest()
