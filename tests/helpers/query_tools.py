"""What the tests of the user's SQL share: small relations, and runs of queries over them."""

import re
import threading

import pyarrow as pa
import pytest

from dbshuf.errors import QueryInvalid
from dbshuf.query.row_filter import RowQuery
from dbshuf.query.whole_statement import WholeQuery

LINES = pa.schema(
    [
        ("line", pa.string()),
        ("raw", pa.binary()),
        ("source", pa.string()),
        ("position", pa.uint64()),
        ("bytes", pa.uint64()),
        ("line_number", pa.uint64()),
        ("id", pa.uint64()),
    ]
)


def relation(lines, first=0, sources=("a.txt",)):
    """Rows of `lines`, with ids from `first` on."""
    numbers = range(first, first + len(lines))
    columns = {
        "line": lines,
        "raw": [line.encode() for line in lines],
        "source": [sources[number % len(sources)] for number in numbers],
        "position": numbers,
        "bytes": [len(line.encode()) for line in lines],
        "line_number": [number + 1 for number in numbers],
        "id": numbers,
    }
    return pa.RecordBatch.from_pydict(columns, schema=LINES)


def place(row):
    """The name of a row's place, as a caller gives it."""
    return f"`a.txt` at row {row}"


def decoded(lines, structure, where=None, select=None):
    """The rows of JSON lines, and their schema."""
    query = RowQuery(where, select, LINES, json_structure=structure)
    evaluator = query.evaluator()
    batch = relation(lines).select(sorted(query.columns))
    try:
        kept, found = evaluator.run(batch, place)
    finally:
        evaluator.close()
    assert found.schema.equals(query.schema)
    return kept.tolist(), found


def run_rows(where, select, batch, **options):
    """Keep and select rows of one chunk: the row numbers and the rows."""
    query = RowQuery(where, select, batch.schema, **options)
    evaluator = query.evaluator()
    try:
        chosen = batch.select([n for n in batch.schema.names if n in query.columns] or ["id"])
        kept, found = evaluator.run(chosen, place)
    finally:
        evaluator.close()
    assert (found is None) == (query.schema is None)
    if found is not None:
        assert found.schema.equals(query.schema)
        assert found.num_rows == len(kept)
    return kept.tolist(), None if found is None else found.to_pylist()


def run_whole(text, batches, folder, *, threads=2, memory_bytes=100 << 20, **options):
    """Run one SELECT over all rows: (id, row) of the result, and the query."""
    query = WholeQuery(text, batches[0].schema, **options)

    def feed():
        for batch in batches:
            yield batch.select([name for name in batch.schema.names if name in query.columns])

    folder.mkdir(exist_ok=True)
    before = threading.active_count()
    found = []
    for rows in query.rows(feed, memory_bytes=memory_bytes, threads=threads, folder=folder):
        assert rows.batch.schema.equals(query.schema)
        found += zip(rows.ids.tolist(), rows.batch.to_pylist(), strict=True)
    assert threading.active_count() <= before + threads
    return found, query


def refused(make, *parts):
    """Check that a query is refused with a message of these parts; return the error."""
    with pytest.raises(QueryInvalid) as caught:
        make()
    for part in parts:
        assert re.search(part, caught.value.message), caught.value.message
    assert "Traceback" not in caught.value.message
    return caught.value
