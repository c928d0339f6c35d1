"""What a report reads, and as what: each side by one worker, so that rows can be numbered.

Rows of the output are found in the inputs as `dbshuf verify` compares the two: by a hash of what
the format of the output makes of them.
"""

import contextlib
import os
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from dbshuf.base.block_io import aligned_buffer
from dbshuf.base.key import U64
from dbshuf.base.line_batch import LineBatch
from dbshuf.base.process_memory import relieve
from dbshuf.base.progress import Progress
from dbshuf.base.row_batch import RowBatch
from dbshuf.base.row_hash import Hashes, hash_lines, hash_rows, lines_of
from dbshuf.base.temporary import private_folder
from dbshuf.options import Options
from dbshuf.pipeline.scan import open_scan
from dbshuf.pipeline.verify.forms import pieces
from dbshuf.pipeline.verify.sides import BESIDE_ROWS, Side, open_sides
from dbshuf.plan.make_plan import make_plan
from dbshuf.plan.plan import Plan
from dbshuf.reporting.origin import Moved, find_origins
from dbshuf.reporting.sample import WrittenRows, sample_rows
from dbshuf.sink import format_of
from dbshuf.source.inputs import resolve_inputs


@dataclass(frozen=True)
class Sides:
    """What is read.

    inputs  None: nobody says what they are
    """

    inputs: Side | None
    output: Side

    @property
    def file_names(self) -> list[str]:
        """The files of the output, as seen from the folder that all are in."""
        return names_below([one.name for one in self.output.plan.inputs])


def sides_of(options: Options, output: str) -> Sides:
    """Look at an output, and at what it was shuffled from if `options` names that.

    Raises  VerifyFailed if the output cannot be of those inputs; what planning a run raises
    """
    if not options.inputs:
        return Sides(None, Side("output", _plan_of_output(options, output), _hash_alone))
    inputs, written = open_sides(options, output, None)
    return Sides(inputs, written)


def read_output(sides: Sides, most_rows: int, progress: Progress) -> WrittenRows:
    """Read the output and sample it. Raises what reading raises."""
    side = sides.output
    with _rows_of(side, progress) as rows:
        return sample_rows(rows, lambda some: _hashes(side, some), _count(side), most_rows)


def read_inputs(sides: Sides, found: WrittenRows, progress: Progress) -> Moved:
    """Read the inputs and find the sampled rows in them. Raises what reading raises."""
    side = sides.inputs
    assert side is not None
    with _rows_of(side, progress) as rows:
        return find_origins(
            found.sample, found.file_rows, rows, lambda some: _hashes(side, some), _count(side)
        )


def names_below(names: list[str]) -> list[str]:
    """Return names without the folders that all of them are in."""
    if any("://" in name for name in names):
        return names
    folders = {os.path.abspath(os.path.dirname(name)) for name in names}
    common = os.path.commonpath(folders)
    return [os.path.relpath(name, common) for name in names]


def _plan_of_output(options: Options, output: str) -> Plan:
    exclude = BESIDE_ROWS if os.path.isdir(output) else ()
    first = resolve_inputs((output,), (), exclude)[0]
    kind = format_of(Path(first.name), None).partition(".")[0]
    return make_plan(
        Options(
            inputs=(output,),
            exclude=exclude,
            output=os.devnull,
            format="txt" if options.header else "arrow",
            binary=not options.header,
            input_format=kind if kind in ("csv", "tsv") else None,
            zero_terminated=options.zero_terminated,
            header=options.header,
            memory=options.memory,
            threads=options.threads,
            temp_dir=options.temp_dir,
            hive=False,
        ),
        reads_only=True,
    )


def _hash_alone(batch: LineBatch | RowBatch) -> tuple[Hashes, U64]:
    """Hash rows that are looked for nowhere."""
    if isinstance(batch, LineBatch):
        return hash_lines(lines_of(batch)), batch.ids()
    return hash_rows(batch.batch), batch.ids


def _hashes(side: Side, batch: LineBatch | RowBatch) -> U64:
    """Return a number for what is in each row that is kept: 64 bits of its hash."""
    return side.hash_(batch)[0].high


def _count(side: Side) -> int:
    return len(side.plan.inputs)


@contextlib.contextmanager
def _rows_of(side: Side, progress: Progress) -> Generator[Generator[LineBatch | RowBatch]]:
    """Give all rows of a side, those of each file in their order; checked at the end."""
    plan = side.plan

    def advance(count: int) -> None:
        relieve(plan.memory_bytes)
        progress.advance(count)

    def rows() -> Generator[LineBatch | RowBatch]:
        for batch in scan.batches(aligned_buffer(plan.layout.buffer_bytes)):
            yield from pieces(batch)
        scan.check()

    with private_folder(plan.temp_dir) as folder:
        progress.stage(f"read the {side.name}", plan.survey.text_bytes)
        with contextlib.closing(open_scan(plan, folder, advance)) as scan:
            yield rows()
