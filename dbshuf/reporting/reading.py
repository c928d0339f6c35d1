"""Which files a report reads and as what, and the reading itself: one worker, in order."""

import contextlib
import os
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dbshuf.base.block_io import aligned_buffer
from dbshuf.base.line_batch import LineBatch
from dbshuf.base.progress import Progress
from dbshuf.base.row_batch import RowBatch
from dbshuf.base.temporary import private_folder
from dbshuf.options import UNION, Options
from dbshuf.pipeline.scan import open_scan
from dbshuf.plan.make_plan import make_plan
from dbshuf.plan.plan import Plan
from dbshuf.query.row_hash import RowHasher
from dbshuf.reporting.origin import Moved, find_origins
from dbshuf.reporting.sample import WrittenRows, sample_rows
from dbshuf.sink import format_of
from dbshuf.sink.shard_names import is_shard_name
from dbshuf.source.inputs import resolve_inputs

_BESIDE_SHARDS = ("SHA256SUMS", "README.md")  # what else may lie in a directory of shards


@dataclass(frozen=True)
class Written:
    """An output to read.

    plan   how
    names  of its files, as seen from its directory
    """

    plan: Plan
    names: tuple[str, ...]


def plan_inputs(options: Options, output: str) -> Plan:
    """Return how the inputs are read, as a shuffle into files of this output's format would.

    options  that name inputs, and what was made of their rows
    """
    kind = _kind_of(_files_of(output)[0])
    form = "jsonl" if kind == "jsonl" else "txt" if options.header else "arrow"
    return make_plan(replace(options, output=os.devnull, format=form, binary=form == "arrow"))


def plan_output(options: Options, output: str, inputs: Plan | None) -> Written:
    """Return how an output is read: lines as lines where its inputs are such, or are unknown.

    options  of how it was written
    """
    include, exclude = _which(output)
    files = _files_of(output)
    kind = _kind_of(files[0])
    as_read = kind
    if kind == "txt":
        as_read = "lines"
    elif kind == "jsonl":
        is_text = inputs is None or inputs.shape.keeps_json
        as_read = "lines" if is_text else "json"
    is_text = as_read == "lines"
    header = options.header if kind == "txt" else 0
    plan = make_plan(
        Options(
            inputs=(output,),
            include=include,
            exclude=exclude,
            output=os.devnull,
            format="txt" if header else "arrow",
            binary=is_text and not header,
            memory=options.memory,
            threads=options.threads,
            temp_dir=options.temp_dir,
            zero_terminated=options.zero_terminated and kind == "txt",
            header=header,
            input_format=as_read,
            schema=UNION if not is_text else options.schema,
            hive=False if not is_text else None,
        )
    )
    folder = output if os.path.isdir(output) else os.path.dirname(output)
    names = tuple(_below(one.name, folder) for one in plan.inputs)
    return Written(plan, names)


def read_output(written: Written, most_rows: int, progress: Progress) -> WrittenRows:
    """Read an output and sample it. Raises what reading raises."""
    plan = written.plan
    with _rows_of(plan, progress) as rows, contextlib.closing(RowHasher(plan.schema)) as hasher:
        return sample_rows(rows, hasher, len(plan.inputs), most_rows)


def read_inputs(plan: Plan, found: WrittenRows, progress: Progress) -> Moved:
    """Read the inputs and find the sampled rows in them. Raises what reading raises."""
    with _rows_of(plan, progress) as rows, contextlib.closing(RowHasher(plan.schema)) as hasher:
        return find_origins(found.sample, found.file_rows, rows, hasher, len(plan.inputs))


@contextlib.contextmanager
def _rows_of(plan: Plan, progress: Progress) -> Generator[Generator[LineBatch | RowBatch]]:
    """Give all rows that a plan reads, those of each input in their order; checked at the end."""

    def rows() -> Generator[LineBatch | RowBatch]:
        yield from scan.batches(aligned_buffer(plan.layout.buffer_bytes))
        scan.check()

    with private_folder(plan.temp_dir) as folder:
        progress.stage("read", plan.survey.text_bytes)
        with contextlib.closing(open_scan(plan, folder, progress.advance)) as scan:
            yield rows()


def _files_of(output: str) -> Sequence[str]:
    """Return the files of an output; raises InputMissing and NoInputFiles."""
    include, exclude = _which(output)
    return [one.name for one in resolve_inputs((output,), include, exclude)]


def _which(output: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return --include and --exclude for the files of an output."""
    if not os.path.isdir(output):
        return (), ()
    for _, _, names in os.walk(output):
        if any(map(is_shard_name, names)):
            return ("part-*-of-*",), ()
    return (), _BESIDE_SHARDS


def _kind_of(name: str) -> str:
    """Return the format of a file by its name, without its compression."""
    return format_of(Path(name), None).partition(".")[0]


def _below(name: str, folder: str) -> str:
    """Return a name as seen from a folder."""
    return os.path.relpath(name, folder or ".") if "://" not in name else name.rpartition("/")[2]
