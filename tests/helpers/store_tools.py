"""Stores for tests: made of small inputs, asked with DuckDB alone, read with dbshuf's readers."""

from types import SimpleNamespace

import duckdb
from in_threads import in_threads
from line_sources import rows_of as lines_of

from dbshuf.source.lines.long_lines import LineLimit
from dbshuf.store.opening import open_store
from dbshuf.store.read import StoreLines, StoreRows

READING_BYTES = 64 << 20


def written(folder, **texts):
    """Write files `a`, `b`, ... and return their paths in this order."""
    for name, text in texts.items():
        (folder / name).write_bytes(text)
    return [str(folder / name) for name in texts]


def ask(store, sql):
    """Ask the database as any client would."""
    with duckdb.connect(str(store), read_only=True) as connection:
        return connection.sql(sql).fetchall()


def counts(store):
    """Return the rows of each source, by DuckDB's own count."""
    return dict(ask(store, "select source, count(*) from lines group by all"))


def added(result):
    """Return of each input of an ingest whether its rows were added."""
    return [one.is_added for one in result.inputs]


def open_lines(store, *, buffer_bytes=1 << 14, rows=1000, longest_bytes=1 << 20):
    """Return a reader of lines; of the layout it uses nothing but these two."""
    return StoreLines(
        open_store(store),
        layout=SimpleNamespace(buffer_bytes=buffer_bytes, piece_rows=rows),
        limit=LineLimit(longest_bytes, lambda length: 4 * length),
        memory_bytes=READING_BYTES,
    )


def read_lines(store, workers=1, **options):
    """Return (id, line with its terminator) of all lines, sorted, as batches have them."""
    source, found = open_lines(store, **options), []

    def work():
        for batch in source.batches(source.new_arena()):
            assert batch.text_bytes <= options.get("buffer_bytes", 1 << 14) or batch.rows == 1
            found.extend(lines_of(batch))

    try:
        in_threads(work, workers)
        source.check_unchanged()
        assert sum(len(line) for _, line in found) == source.text_bytes
    finally:
        source.close()
    return sorted(found)


def read_rows(store, workers=1, batch_bytes=1 << 14):
    """Return {id: row as a dict} and the schema."""
    source = StoreRows(open_store(store), batch_bytes=batch_bytes, memory_bytes=READING_BYTES)
    found = {}

    def work():
        for rows in source.batches():
            assert rows.batch.schema == source.schema
            assert not found.keys() & set(rows.ids.tolist())
            found.update(zip(rows.ids.tolist(), rows.batch.to_pylist(), strict=True))

    try:
        in_threads(work, workers)
        source.check_unchanged()
        assert len(found) == source.rows == source.seen_rows
    finally:
        source.close()
    return found, source.schema
