"""--work-dir: which runs can be gone on with, and what of them."""

import contextlib
import os
from dataclasses import fields
from pathlib import Path
from typing import Any

from dbshuf.base.database_logs import check_no_log
from dbshuf.base.remote_names import is_remote
from dbshuf.base.work_dir import check_place, first_record, last_record
from dbshuf.errors import UsageError
from dbshuf.options import Options
from dbshuf.plan.plan import WorkPlan
from dbshuf.plan.reading import ReadPlan
from dbshuf.sink import RemotePath, Target, output_path
from dbshuf.sink.begun_uploads import UPLOAD_RECORDS
from dbshuf.sink.output_path import find
from dbshuf.source.formats import DATABASES
from dbshuf.source.input import closed_pipe
from dbshuf.units import MIB

# Options that decide nothing of what is written; inputs are compared as what they lead to.
_FREE = frozenset(
    {"inputs", "include", "exclude", "seed", "memory", "threads", "temp_dir", "work_dir"}
    | {"force", "strategy", "engine", "spark_master", "spark_conf"}
)

# Records behind which the output may be in place.
_PUBLISHING = frozenset({"publishing", "published", "sent", "shown"}) | UPLOAD_RECORDS

_MOST_NAME_BYTES = 200  # of an object that a file is made for


def check_work_options(options: Options) -> None:
    """Raise UsageError for what cannot be gone on with, whatever the inputs are."""
    if options.work_dir is None:
        return
    why = ""
    if options.work_dir == "":
        why = "is empty"
    elif options.engine != "duckdb":
        why = f"keeps what DuckDB orders, and --engine is {options.engine}"
    elif options.strategy not in ("auto", "partition"):
        why = f"keeps partitioned rows, and --strategy is {options.strategy}"
    elif options.temp_dir is not None:
        why = "is where temporary data go, and --temp-dir is given too"
    elif options.output in (None, "-"):
        why = "is for files, and what went to standard output cannot be taken back"
    if why:
        raise UsageError(f"--work-dir {why}", hint="leave out one of the two")


def work_plan(options: Options, read: ReadPlan, target: Target) -> WorkPlan | None:
    """Return where a run is kept; None if it is not. Raises UsageError, WorkDirUnfit."""
    if options.work_dir is None:
        return None
    pipe = closed_pipe(read.inputs)
    if pipe is not None:
        raise UsageError(
            f"--work-dir: `{pipe.name}` is no file, and cannot be read again",
            hint="write it to a file first, or leave out --work-dir",
        )
    outputs = [
        *target.files,
        *([] if options.manifest is None else [output_path(options.manifest)]),
    ]
    for path in outputs:
        if isinstance(path, RemotePath):
            _check_name(path)
        elif find(path).is_special:
            raise UsageError(
                f"--work-dir is for files, and `{path}` is none",
                hint="name a file, or leave out --work-dir",
            )
    folder = Path(os.path.abspath(options.work_dir))
    check_no_log(folder, "--work-dir")
    check_place(folder)
    is_begun = first_record(folder) is not None
    return WorkPlan(folder, _asked(options), is_begun, _stays(read, target))


def _check_name(path: RemotePath) -> None:
    """Raise UsageError for an object that a file in the work directory cannot be named as."""
    if len(os.fsencode(path.name)) > _MOST_NAME_BYTES:
        raise UsageError(
            f"--work-dir: the last part of `{path}` is longer than the name of a file may be",
            hint=f"at most {_MOST_NAME_BYTES} bytes; or leave out --work-dir",
        )


def _asked(options: Options) -> dict[str, Any]:
    """Return the options that decide what is written, as JSON has them."""
    names = [field.name for field in fields(options) if field.name not in _FREE]
    asked = {name: getattr(options, name) for name in names}
    for name in ("output", "store", "manifest"):
        if asked[name] is not None and not is_remote(asked[name]):
            asked[name] = os.path.abspath(asked[name]) + "/" * asked[name].endswith("/")
    return {name: list(one) if isinstance(one, tuple) else one for name, one in asked.items()}


def kept_seed(options: Options) -> str | None:
    """Return the seed that a run in --work-dir has drawn; None if there is none."""
    found = None if options.work_dir is None else first_record(Path(options.work_dir))
    return None if found is None or found["kind"] != "begin" else str(found["seed"])


def is_publishing(options: Options) -> bool:
    """Whether a run in --work-dir may have put the output in place."""
    found = None if options.work_dir is None else last_record(Path(options.work_dir))
    return found is not None and found["kind"] in _PUBLISHING


def _stays(read: ReadPlan, target: Target) -> str:
    """Return what a later run goes on with, for people."""
    shape = read.shape
    columns = shape.row_query.columns if shape.row_query is not None else frozenset()
    is_whole = shape.whole_query is not None or read.store is not None or "line_number" in columns
    if shape.kind in DATABASES and not is_whole:
        with contextlib.closing(shape.open_tables(read.inputs, MIB)) as tables:
            is_whole = not tables.is_steady
    reading = "reading starts over until all is read" if is_whole else "rows are not read again"
    writing = "finished shards stay" if target.in_shards else "what is written stays"
    sending = "; an upload begins again" * isinstance(target.path, RemotePath)
    return f"{reading}; {writing}{sending}"
