"""Everything that can go wrong for a user: one class, one exit code, one sentence.

    DbshufError
    ├── UsageError            2  an option is no value of its kind, or two contradict
    ├── InputMissing          3  a named input does not exist
    ├── InputUnreadable       4  an input cannot be opened or read
    ├── NoInputFiles          5  a directory or glob holds no files
    ├── InputBroken           6  a compressed input is damaged or cut short
    ├── HeaderMismatch        7  the first lines of two inputs differ
    ├── NotUtf8               8  a line is no UTF-8 and the output wants text
    ├── LineTooLong           9  a line does not fit in --memory
    ├── InputBeyondBounds    10  more inputs or bytes than a row id can name
    ├── MemoryTooSmall       11  --memory is under the smallest workable value
    ├── TempSpaceShort       12  --temp-dir has too little room
    ├── OutputSpaceShort     13  the output's file system has too little room
    ├── OutputExists         14  the output directory is not empty
    ├── OutputUnwritable     15  the output cannot be made or written
    ├── StrategyUnfit        16  the strategy that was asked for cannot do this input
    ├── InputChanged         17  an input changed while it was read
    ├── CheckFailed          18  what came out is not what went in
    ├── QueryInvalid         19  an SQL text is wrong, or asks for what is not allowed
    ├── QueryFailed          20  an SQL text is sound, but fails on a row
    ├── SchemaMismatch       21  the rows of two inputs have different columns
    ├── RowUnfit             22  the output's format cannot hold the rows
    ├── StoreInvalid         23  a database is no store, or an input of it has changed
    ├── TempUnusable         24  the temporary directory cannot be written or read
    ├── RemoteDenied         25  a remote host refuses the credentials
    ├── RemoteFailed         26  a remote host fails, after all attempts
    ├── ExtraMissing         27  a package or program is not installed
    ├── EngineFailed         28  the cluster that orders the rows fails
    ├── MemoryRefused        29  the system gives less memory than --memory names
    ├── ManifestInvalid      30  a manifest is none, or was changed since
    ├── VerifyFailed         31  outputs are not what `verify` holds them against
    ├── WorkDirUnfit         32  --work-dir is in use, or no directory to keep a run in
    ├── RunDiffers           33  --work-dir holds a run of other inputs or options
    └── PairsUnequal         34  files that are paired have different numbers of rows

Exit codes: 0 done (also when the reader of a pipe left early), 1 a bug in
dbshuf, 128+n ended by signal n; `dbshuf shuf` has GNU shuf's, 0 and 1. No error leaves a
half-written output.
"""

from collections.abc import Sequence

TYPE_CHECKING = False  # without `typing`: `shuf` loads this, and starts in a third less time
if TYPE_CHECKING:
    from typing import Any


class DbshufError(Exception):
    """Base of all errors that a user can cause; carries a message and a hint.

    usual_hint  of a kind of error, where no other is given
    """

    exit_code = 1
    usual_hint = ""

    def __init__(self, message: str, *, hint: str = "") -> None:
        self.message = _with_short_quotes(message)
        self.hint = _with_short_quotes(hint or self.usual_hint)
        super().__init__(self.message)


_MOST_QUOTED = 500  # characters of a value; a path that people use is shorter


def in_part(text: str) -> str:
    """Return what a message quotes; of what is too long for that its beginning and its end."""
    if len(text) <= _MOST_QUOTED:
        return text
    return f"{text[: _MOST_QUOTED * 2 // 3]} ... {text[-_MOST_QUOTED // 4 :]}"


def _with_short_quotes(text: str) -> str:
    """Return a message in which nothing that stands between backticks is too long."""
    first, *quoted = text.split("`")
    inside, last = quoted[:-1], quoted[-1:]
    return "`".join([first, *map(in_part, inside), *last])


class ShufFailed(Exception):
    """What `dbshuf shuf` cannot do: it says so as GNU shuf does, and ends with 1."""


class UsageError(DbshufError):
    """An option is no value of its kind, or two options contradict each other."""

    exit_code = 2


class InputMissing(DbshufError):
    """A named input does not exist."""

    exit_code = 3
    usual_hint = "check the name"


class InputUnreadable(DbshufError):
    """An input cannot be opened or read."""

    exit_code = 4


class NoInputFiles(DbshufError):
    """A directory or glob holds no files."""

    exit_code = 5


class InputBroken(DbshufError):
    """A compressed input is damaged or cut short."""

    exit_code = 6


class HeaderMismatch(DbshufError):
    """The first lines of two inputs differ."""

    exit_code = 7


class NotUtf8(DbshufError):
    """A line is no UTF-8 and the output wants text."""

    exit_code = 8


class LineTooLong(DbshufError):
    """A line does not fit in --memory."""

    exit_code = 9


class InputBeyondBounds(DbshufError):
    """There are more inputs, or bytes in one input, than a row id can name."""

    exit_code = 10


class MemoryTooSmall(DbshufError):
    """--memory is under the smallest workable value.

    least_bytes  a --memory that would do, as far as it is known; see `base/messages.py: too_small`
    needs, otherwise  what needs it, and what else there is to do
    """

    exit_code = 11
    least_bytes: int | None = None
    needs = otherwise = ""


class TempSpaceShort(DbshufError):
    """--temp-dir has too little room for what the plan needs there."""

    exit_code = 12


class OutputSpaceShort(DbshufError):
    """The output's file system has too little room."""

    exit_code = 13


class OutputExists(DbshufError):
    """The output directory is not empty and --force was not given."""

    exit_code = 14


class OutputUnwritable(DbshufError):
    """The output cannot be made, written or put in place."""

    exit_code = 15


class StrategyUnfit(DbshufError):
    """The strategy that was asked for cannot order this input within --memory."""

    exit_code = 16


class InputChanged(DbshufError):
    """An input changed while it was read."""

    exit_code = 17
    usual_hint = "run it again while nothing writes to the inputs"

    @classmethod
    def of(cls, name: str, what: str = "") -> "InputChanged":
        """Return the error for an input of which there are other bytes than were listed.

        what  it is, where the name is none of an input, between commas
        """
        hint = "shuffle a copy that no one writes to"
        return cls(f"`{name}`{what} changed while it was read", hint=hint)


class CheckFailed(DbshufError):
    """What came out is not what went in; nothing was published."""

    exit_code = 18
    usual_hint = "this is a bug in dbshuf or a fault of the machine"


class QueryInvalid(DbshufError):
    """An SQL text is wrong, or asks for what is not allowed there."""

    exit_code = 19


class QueryFailed(DbshufError):
    """An SQL text is sound, but fails on a row of the input."""

    exit_code = 20


class SchemaMismatch(DbshufError):
    """The rows of two inputs have different columns, or not those that were asked for."""

    exit_code = 21


class RowUnfit(DbshufError):
    """The output's format cannot hold the columns, or a value, of the rows."""

    exit_code = 22


class StoreInvalid(DbshufError):
    """A database is no store of dbshuf, or an input in it has changed."""

    exit_code = 23


class TempUnusable(DbshufError):
    """The temporary directory cannot be written, or read back."""

    exit_code = 24


class RemoteDenied(DbshufError):
    """A remote host refuses the credentials, or wants some."""

    exit_code = 25


class RemoteFailed(DbshufError):
    """A remote host does not do what is asked, after all attempts."""

    exit_code = 26
    usual_hint = "check the name, and try it again later"


class ExtraMissing(DbshufError):
    """A package or program is not installed that only this kind of run needs."""

    exit_code = 27


class EngineFailed(DbshufError):
    """The cluster that orders the rows fails, or loses what it needs."""

    exit_code = 28
    usual_hint = "look at the logs of Spark, and run it again"


class MemoryRefused(DbshufError):
    """The system gives the process less memory than --memory names."""

    exit_code = 29


class ManifestInvalid(DbshufError):
    """A manifest is none, or was changed since it was written."""

    exit_code = 30
    usual_hint = "compare rows instead: dbshuf verify INPUTS... OUTPUT"


class VerifyFailed(DbshufError):
    """Outputs are not what the inputs, or the manifest, say that they should be.

    details  what differs, a line each
    result   what was found, for programs; None: nothing could be compared
    """

    exit_code = 31

    def __init__(
        self, message: str, *, hint: str = "", details: Sequence[str] = (), result: "Any" = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.details = tuple(details)
        self.result = result


class WorkDirUnfit(DbshufError):
    """--work-dir is in use, or is no directory to keep a run in."""

    exit_code = 32


class RunDiffers(DbshufError):
    """--work-dir, or the state of a stream, is of other inputs, options or versions."""

    exit_code = 33


class PairsUnequal(DbshufError):
    """Files that are paired have different numbers of rows."""

    exit_code = 34
