"""Inputs of typed rows for tests, and all that a source gives of them."""

import io
import subprocess
import sys
import threading

from in_threads import in_threads

from dbshuf.base.row_batch import row_bytes
from dbshuf.base.workers import Stopped
from dbshuf.source.input import Input, Pipe
from dbshuf.source.inputs import resolve_inputs
from dbshuf.source.tables.reader import Selection, open_tables

COLUMN_BITS = 44

# A small file comes first, so that the code that reads is loaded.
MEASURE = """
import sys
from dbshuf.base.process_memory import peak_resident_bytes, resident_bytes
from dbshuf.source.inputs import resolve_inputs
from dbshuf.source.survey import survey_inputs
from dbshuf.source.tables.reader import open_tables
small, large, kind, batch_bytes = sys.argv[1:]
for path in (small, large):
    base = resident_bytes()
    inputs = resolve_inputs([path])
    survey_inputs(inputs, kind)
    source = open_tables(inputs, kind, batch_bytes=int(batch_bytes))
    for rows in source.batches():
        del rows
print(source.seen_bytes, peak_resident_bytes() - base)
"""


def piped(data, ordinal=0, codec=None):
    """Return an input that can be read once, front to back."""
    return Input(ordinal, f"pipe-{ordinal}", None, codec, None, pipe=Pipe(io.BytesIO(data), b""))


def rows_of(source, workers=1):
    """Return {id: row as a dict} of all that `workers` threads read; raise the first error."""
    found, lock = {}, threading.Lock()

    def work():
        try:
            for rows in source.batches():
                assert rows.batch.schema.equals(source.schema, check_metadata=True)
                rows.batch.validate(full=True)
                ids, values = rows.ids.tolist(), rows.batch.to_pylist()
                with lock:
                    assert not found.keys() & set(ids), "an id comes twice"
                    found.update(zip(ids, values, strict=True))
        except BaseException:
            source.stop()
            raise

    try:
        in_threads(work, workers)
    finally:
        source.close()
    return found


def read(names, kind, *, workers=1, batch_bytes=1 << 20, columns=None, **options):
    """Return {id: row} of files or inputs, read as `kind`."""
    inputs = resolve_inputs([str(n) for n in names]) if not _are_inputs(names) else names
    source = open_tables(
        inputs, kind, batch_bytes=batch_bytes, selection=Selection(columns), **options
    )
    return rows_of(source, workers)


def read_rows(names, kind, **options):
    """Return the rows of files or inputs in the order of their ids, as dicts."""
    return [row for _, row in sorted(read(names, kind, **options).items())]


def expected(tables):
    """Return {id: row} of tables (lists of dicts), one an input."""
    return {
        (ordinal << COLUMN_BITS) + row: values
        for ordinal, table in enumerate(tables)
        for row, values in enumerate(table)
    }


def measured_read(small, large, kind, batch_bytes):
    """Read two files in a child: return the bytes of the second one's rows and the memory
    (bytes) that it took on top of the first one."""
    command = [sys.executable, "-c", MEASURE, small, large, kind, str(batch_bytes)]
    done = subprocess.run(command, capture_output=True, check=True)
    return tuple(map(int, done.stdout.split()))


def sizes_of(source):
    """Return the rows and bytes of every batch that one worker gets."""
    found = [(len(rows.batch), int(row_bytes(rows.batch).sum())) for rows in source.batches()]
    source.close()
    return found


def _are_inputs(names):
    return all(isinstance(name, Input) for name in names)


def check_stop_ends(source, wait_for):
    """Assert that `stop` ends the query that a worker has just begun."""
    ended = []

    def work():
        try:
            list(source.batches())
        except Stopped:
            ended.append(True)

    threading.Thread(target=work, daemon=True).start()
    wait_for(lambda: source._tables[0]._running._connection, "the query run")
    source.stop()
    wait_for(lambda: ended, "the end of it")
