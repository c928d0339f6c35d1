"""What an ingest is given, looked at before work: its inputs, and the store that they go into."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dbshuf.base.file_systems import takes_files
from dbshuf.base.remote_names import is_remote
from dbshuf.errors import NoInputFiles, OutputUnwritable, SchemaMismatch, StoreInvalid, UsageError
from dbshuf.options import Options
from dbshuf.remote.names import shown
from dbshuf.source.formats import NAMES, TEXT_KINDS, kind_of_inputs, one_of
from dbshuf.source.head import ENCODED_KINDS, check_encoding
from dbshuf.source.input import Input, closed_pipe
from dbshuf.source.inputs import STDIN, resolve_inputs
from dbshuf.store.engine import StoreEngine
from dbshuf.store.opening import engine_for, engine_of
from dbshuf.store.schema import NAMES as ENGINES
from dbshuf.store.schema import StoreInfo

_TEXT_KINDS = ("csv", "tsv", "json")  # which no look at the first bytes tells from lines


def engine_of_store(path: Path, asked: str | None) -> StoreEngine:
    """Return the engine of the store that is there, or of the new one.

    Raises  StoreInvalid where the one that is there is of another than `asked`
    """
    wanted = engine_for(path, asked)
    if not os.path.lexists(path):
        return wanted
    found = engine_of(path)
    if asked is not None and found.name != asked:
        raise StoreInvalid(
            f"`{path}` is a {ENGINES[found.name]} database, and --engine is {asked}",
            hint="leave out --engine, or name another store",
        )
    return found


def spill_folder(path: Path, asked: str | os.PathLike[str] | None) -> Path:
    """Return where DuckDB may spill: as asked, or beside the store."""
    folder = path.absolute().parent if asked is None else Path(asked)
    if takes_files(folder):
        return folder
    if asked is None:
        raise OutputUnwritable(
            f"cannot write `{path}`: `{folder}` is no directory that can be written",
            hint="make it first, or check its permissions",
        )
    raise UsageError(
        f"--temp-dir `{folder}` is no directory that can be written",
        hint="name an existing directory",
    )


def resolved(
    path: Path,
    engine: StoreEngine,
    names: Sequence[str],
    include: Sequence[str],
    exclude: Sequence[str],
) -> list[Input]:
    """Return the inputs but the store itself, which may lie in a directory of them."""
    if not names or STDIN in names:
        raise UsageError(
            "a store is made of files, since it must know them again",
            hint="name files, globs or directories; write a stream to a file first",
        )
    for name in names:
        if is_remote(name) and shown(name) != name and not os.path.lexists(name):
            raise UsageError(
                f"`{shown(name)}` has a user or a query in its URL, which no store keeps, so it"
                " would not be known again",
                hint="download it first; `dbshuf shuffle` reads it where it is",
            )
    found = resolve_inputs(names, include, exclude)
    pipe = closed_pipe(found)
    if pipe is not None:
        raise UsageError(
            f"`{pipe.name}` is a pipe, and a store must know its inputs again",
            hint="write it to a file first",
        )
    own = {os.path.realpath(path) + end for end in ("", *engine.log_suffixes)}
    left = [one for one in found if one.path is None or os.path.realpath(one.path) not in own]
    if not left:
        raise NoInputFiles(
            f"the only input is the store `{path}` itself", hint="name what is to go into it"
        )
    return [
        replace(one, ordinal=number, changed_ns=_change_of(one)) for number, one in enumerate(left)
    ]


def _change_of(one: Input) -> int:
    """Return the time of an input's last change; of an object a number of its version instead."""
    if one.remote is None:
        return one.changed_ns
    return int.from_bytes(hashlib.sha256(one.version.encode()).digest()[:7])


def kind_of(found: Sequence[Input], asked: Options, info: StoreInfo | None) -> str:
    """Return what the inputs hold: as asked, as they look, or as the store has it."""
    kind = kind_of_inputs(found, asked.input_format, table=asked.table)
    is_open = asked.input_format is None and kind == "lines"
    if is_open and info is not None and info.kind in _TEXT_KINDS:
        kind = info.kind
    is_text, are_lines = kind in TEXT_KINDS, kind == "lines"
    for option, is_unfit in (
        ("--zero-terminated", asked.zero_terminated and not is_text),
        ("--header", bool(asked.header) and not are_lines),
        ("--binary", asked.binary and not are_lines),
    ):
        if is_unfit:
            raise UsageError(
                f"{option} is for lines, and `{found[0].name}` is {one_of(kind)}",
                hint="leave it out",
            )
    if kind in ENCODED_KINDS and not asked.binary:
        check_encoding(found, kind)
    return kind


def check_alike(info: StoreInfo, asked: Options, kind: str) -> None:
    """Raise unless inputs as they are asked for go into a store.

    Raises  SchemaMismatch, StoreInvalid
    """
    if kind != info.kind:
        raise SchemaMismatch(
            f"`{info.path}` holds {NAMES[info.kind]}, and the inputs are {NAMES[kind]}",
            hint="make another store for them",
        )
    for option, is_kept, is_asked in (
        ("--zero-terminated", info.terminator == b"\0", asked.zero_terminated),
        ("--binary", info.is_binary, asked.binary),
    ):
        if is_kept != is_asked:
            raise StoreInvalid(
                f"`{info.path}` was made {'with' if is_kept else 'without'} {option}",
                hint=f"{'pass' if is_kept else 'leave out'} {option}, or make another store",
            )
    if info.header_lines != asked.header:
        raise StoreInvalid(
            f"`{info.path}` was made with --header {info.header_lines}, not {asked.header}",
            hint=f"pass --header {info.header_lines}, or make another store",
        )
