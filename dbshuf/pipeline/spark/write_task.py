"""Stage 2, on the workers: sorted rows of one partition to a shard, or to a file of sorted rows.

A file grows in the job's folder under a name of the attempt, and nobody but the driver gives it
another; an attempt that was lost leaves a file that the driver removes.
"""

import contextlib
import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from dbshuf.base.counters import Tally
from dbshuf.base.row_batch import arrow_numbers, arrow_texts
from dbshuf.base.row_notes import RowSum, window_sum
from dbshuf.base.window import Window
from dbshuf.errors import CheckFailed
from dbshuf.pipeline.run_checks import checked
from dbshuf.pipeline.spark.job import Job, window_of
from dbshuf.pipeline.spark.task import job_of
from dbshuf.pipeline.spark.task_errors import told_to_driver
from dbshuf.sink.hashed_output import written_by
from dbshuf.sink.raw_file import DiskFile, in_words
from dbshuf.sink.remote_path import RemotePath
from dbshuf.sink.remote_place import RemotePart
from dbshuf.sink.seal import WrittenFile
from dbshuf.sink.single_file import FileSink, open_encoder
from dbshuf.sink.target import Target

RESULT = "part INT, told STRING"
_RESULT = pa.schema([("part", pa.int32()), ("told", pa.string())])


def write_task(
    broadcast: Any, sent: Any = None
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Return the function that Spark maps over the rows of partitions.

    sent  accumulator of [name, token] of the uploads that are there, of failed jobs too
    """

    def told(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from dbshuf.pipeline.spark.write_task import written_partition

        yield from written_partition(broadcast, batches, sent)

    return told


def written_partition(
    broadcast: Any, batches: Iterator[pa.RecordBatch], sent: Any = None
) -> Iterator[pa.RecordBatch]:
    """Write the rows of this task's partition, and yield what there is to tell of it."""
    from pyspark import TaskContext

    context = TaskContext.get()
    assert context is not None, "in a task there is one"
    part = context.partitionId()
    with told_to_driver():
        job = job_of(broadcast)
        if part == job.partitions:
            for batch in batches:
                notes = [note.decode() for note in job.carrier.notes(batch)]
                yield _results([part] * len(notes), notes)
            return
        name = f"{part}-{context.taskAttemptId()}-{secrets.token_hex(4)}"
        told = write_partition(job, part, name, map(job.carrier.window, batches))
        if sent is not None:
            sent.add([[job.shard_name(part), told["file"]]])
    yield _results([part], [json.dumps(told)])


def write_partition(job: Job, part: int, name: str, windows: Iterator[Window]) -> dict[str, Any]:
    """Write a partition to the file `name`, and return what was written.

    Raises  OutputUnwritable, OutputSpaceShort, NotUtf8, RowUnfit, CheckFailed
    """
    tally, row_sum = Tally(), RowSum()
    output = _output(job, part, name)
    try:
        for window in checked(windows, tally):
            _check_part(job, part, window)
            if job.target.is_noted and job.in_shards:
                row_sum.add(window.rows, window_sum(window))
            output.write(window)
        output.finish()
    except BaseException:
        output.abort()
        (Path(job.folder) / name).unlink(missing_ok=True)
        raise
    noted = output.written
    if isinstance(output, UploadedShard):
        name = output.token
    return {
        "file": name,
        "rows": tally.rows,
        "bytes": tally.text_bytes,
        "key_sum": tally.key_sum,
        "row_sum": row_sum.sum,
        "noted": None if noted is None else [noted.rows, noted.bytes, noted.sha256],
    }


class _Output(Protocol):
    @property
    def written(self) -> WrittenFile | None: ...
    def write(self, window: Window) -> None: ...
    def finish(self) -> None: ...
    def abort(self) -> None: ...


def _output(job: Job, part: int, name: str) -> _Output:
    path = Path(job.folder) / name
    if not job.in_shards:
        return SortedFile(path, job.shape.schema, is_prefixed=job.prefixes is not None)
    target = replace(job.target, threads=1, memory_bytes=job.memory_bytes)
    if isinstance(target.path, RemotePath):
        return UploadedShard(target, job.shard_name(part), job.owner)
    return _Shard(path, target)


class UploadedShard:
    """A shard in an object store, which nobody sees before the driver completes its upload.

    token  what the driver has it by; after `finish`
    """

    def __init__(self, target: Target, name: str, owner: str) -> None:
        self._place = RemotePart(target, name, owner)
        self._sink = FileSink(target, self._place)

    @property
    def token(self) -> str:
        return self._place.token

    @property
    def written(self) -> WrittenFile | None:
        files = self._sink.files
        return files[0][1] if files else None

    def write(self, window: Window) -> None:
        """Append rows."""
        self._sink.write(window)

    def finish(self) -> None:
        """Send what is left."""
        self._sink.finish()

    def abort(self) -> None:
        """Remove what was sent; never raises."""
        self._sink.abort()


class _Shard:
    """A shard in the job's folder."""

    def __init__(self, path: Path, target: Target) -> None:
        output = DiskFile(path, shown=str(target.path))
        try:
            self._encoder = open_encoder(output, target)
        except BaseException:
            output.abort()
            raise
        self.write, self.finish = self._encoder.write, self._encoder.finish
        self.abort = self._encoder.abort

    @property
    def written(self) -> WrittenFile | None:
        return written_by(self._encoder)


class SortedFile:
    """Sorted rows with the words of their order as an Arrow stream; the driver makes the one
    output of them.
    """

    written = None

    def __init__(self, path: Path, schema: pa.Schema | None, *, is_prefixed: bool = False) -> None:
        """Begin a file of rows of a schema; None: of lines."""
        self._shown = str(path)
        with in_words(self._shown, 0):
            self._file = pa.OSFile(self._shown, "wb")
        self._schema = sorted_schema(schema, is_prefixed=is_prefixed)
        self._writer = pa.ipc.new_stream(self._file, self._schema)

    def write(self, window: Window) -> None:
        """Append rows."""
        words = [window.keys] if window.prefixes is None else [window.keys, window.prefixes]
        columns = [*map(arrow_numbers, words), *window.batch.columns]
        with in_words(self._shown, 0):
            self._writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=self._schema))

    def finish(self) -> None:
        """Write what is left, and close."""
        with in_words(self._shown, 0):
            self._writer.close()
            self._file.close()

    def abort(self) -> None:
        """Close as it is; never raises."""
        with contextlib.suppress(Exception):
            self._file.close()


def sorted_windows(
    path: Path, schema: pa.Schema | None, *, is_prefixed: bool = False
) -> Iterator[Window]:
    """Yield the rows of a file that SortedFile wrote; on the driver."""
    count = 2 if is_prefixed else 1
    with in_words(str(path)), pa.OSFile(str(path), "rb") as file:
        for batch in pa.ipc.open_stream(file):
            words = [one.to_numpy() for one in batch.columns[:count]]
            keys, prefixes = words[0], words[1] if is_prefixed else None
            if schema is None:
                yield Window.of_lines(batch.column(count), keys, prefixes)
            else:
                yield window_of(batch.columns[count:], schema, keys, prefixes)


def sorted_schema(schema: pa.Schema | None, *, is_prefixed: bool = False) -> pa.Schema:
    """Return what a file of sorted rows has: keys, any prefixes, and the columns of the rows."""
    columns = [pa.field("line", pa.binary())] if schema is None else list(schema)
    words = ["key", "prefix"] if is_prefixed else ["key"]
    return pa.schema([*(pa.field(name, pa.uint64()) for name in words), *columns])


def _check_part(job: Job, part: int, window: Window) -> None:
    """Raise CheckFailed for rows that belong to another partition."""
    if not window.rows:
        return
    ends = None if window.prefixes is None else window.prefixes[[0, -1]]
    if set(job.starts.partition_of(window.keys[[0, -1]], ends).tolist()) != {part}:
        raise CheckFailed(
            f"partition {part} was given rows of another; nothing was published",
        )


def _results(parts: list[int], told: list[str]) -> pa.RecordBatch:
    numbers = arrow_numbers(np.array(parts, np.int32))
    arrays = [numbers, arrow_texts([one.encode() for one in told], pa.string())]
    return pa.RecordBatch.from_arrays(arrays, schema=_RESULT)
