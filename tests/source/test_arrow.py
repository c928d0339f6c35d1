"""Arrow IPC: files and streams, plain, compressed and piped, whatever their batches."""

import contextlib
import gzip
import io
import os
from dataclasses import replace

import pyarrow as pa
import pytest
from typed_sources import expected, measured_read, piped, read, read_rows

import dbshuf
from dbshuf.errors import (
    InputBroken,
    InputChanged,
    InputUnreadable,
    LineTooLong,
    NotUtf8,
    SchemaMismatch,
)
from dbshuf.source.input import Key
from dbshuf.source.inputs import resolve_inputs
from dbshuf.source.tables import arrow as ipc
from dbshuf.source.tables.reader import open_tables

ROWS = [
    {
        "n": i,
        "s": None if i % 7 == 0 else "vé" * (i % 9),
        "l": [str(i)] * (i % 3) if i % 5 else None,
        "d": f"word {i % 11}",
        "m": [("k", i)],
    }
    for i in range(1200)
]
SCHEMA = pa.schema(
    [
        ("n", pa.int64()),
        ("s", pa.large_string()),
        ("l", pa.list_(pa.string())),
        ("d", pa.dictionary(pa.int16(), pa.string())),
        ("m", pa.map_(pa.string(), pa.int32())),
    ]
)
NEW = {"file": pa.ipc.new_file, "stream": pa.ipc.new_stream}


def packed(form, *, compression=None, batch_rows=500, rows=ROWS, schema=SCHEMA):
    """Return rows as the bytes of a file or a stream."""
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with NEW[form](sink, schema, options=options) as writer:
        writer.write_table(pa.Table.from_pylist(rows, schema), max_chunksize=batch_rows)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize("form", NEW)
@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
@pytest.mark.parametrize("batch_rows", [7, 100_000])
def test_all_rows_come_from_files_and_pipes(form, compression, batch_rows, tmp_path):
    """Two files at once, and the same bytes through gzip and a pipe."""
    data = packed(form, compression=compression, batch_rows=batch_rows)
    (tmp_path / "a").write_bytes(data)
    (tmp_path / "a.gz").write_bytes(gzip.compress(data, 1))
    found = read([tmp_path / "a", tmp_path / "a.gz"], "arrow", workers=3, batch_bytes=5000)
    assert found == expected([ROWS, ROWS])
    assert read([piped(data)], "arrow", batch_bytes=1 << 20) == expected([ROWS])
    assert open_tables(resolve_inputs([str(tmp_path / "a")]), "arrow", batch_bytes=1).rows == len(
        ROWS
    )


@pytest.mark.parametrize("form", NEW)
@pytest.mark.parametrize("compression", [None, "lz4"])
def test_columns_are_read_by_name(form, compression, tmp_path):
    """Out of plain and compressed batches."""
    (tmp_path / "a").write_bytes(packed(form, compression=compression))
    for source in ([tmp_path / "a"], [piped(packed(form, compression=compression))]):
        found = read_rows(source, "arrow", columns=frozenset(["d", "n"]))
        assert found == [{"n": row["n"], "d": row["d"]} for row in ROWS]


@pytest.mark.parametrize("form", NEW)
def test_no_rows_are_no_rows(form, tmp_path):
    """With a schema all the same."""
    (tmp_path / "a").write_bytes(packed(form, rows=[]))
    source = open_tables(resolve_inputs([str(tmp_path / "a")]), "arrow", batch_bytes=1)
    assert (source.rows, source.schema.names) == (0, SCHEMA.names)
    assert list(source.batches()) == []


def test_dictionaries_may_change_on_the_way(tmp_path):
    """A stream replaces them; rows keep their words."""
    kind = pa.dictionary(pa.int8(), pa.string())
    batches = [
        pa.record_batch({"d": pa.array([f"{i}-{j % 3}" for j in range(50)], kind)})
        for i in range(5)
    ]
    with pa.ipc.new_stream(tmp_path / "a", batches[0].schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    words = [word for batch in batches for word in batch.column(0).to_pylist()]
    assert [row["d"] for row in read_rows([tmp_path / "a"], "arrow", batch_bytes=99)] == words


@pytest.mark.parametrize("form", NEW)
@pytest.mark.parametrize("keep", [0, 5, 60, 0.3, 0.7, -20])
def test_data_that_is_cut_short_is_named(form, keep, tmp_path):
    """Whether mapped or piped; only a missing end mark of a stream goes unnoticed."""
    data = packed(form)
    data = data[: keep if isinstance(keep, int) else int(len(data) * keep)]
    (tmp_path / "cut").write_bytes(data)
    with pytest.raises(InputBroken, match=r"cut` is no sound Arrow IPC data"):
        read([tmp_path / "cut"], "arrow")
    with pytest.raises(InputBroken, match=r"pipe-0` is no sound Arrow IPC data"):
        read([piped(data)], "arrow")


def test_a_file_in_a_pipe_that_is_cut_behind_a_batch_is_named(tmp_path):
    """What is left begins as a whole stream does."""
    data = packed("file")
    reader = pa.BufferReader(data)
    reader.seek(8)
    while pa.ipc.read_message(reader).type != "record batch":
        pass
    cut = data[: reader.tell()]
    (tmp_path / "a.gz").write_bytes(gzip.compress(cut, 1))
    for one in (piped(cut), *resolve_inputs([str(tmp_path / "a.gz")])):
        with pytest.raises(InputBroken, match="it does not end with the footer of its batches"):
            read([one], "arrow")


@pytest.mark.parametrize("form", NEW)
@pytest.mark.parametrize("more", ["stream", "x"])
def test_what_follows_the_end_of_a_stream_is_not_dropped(form, more, tmp_path):
    """`cat a.arrows b.arrows` is two streams, of which readers take the first for all."""
    data = packed(form) + (packed("stream") if more == "stream" else b"x")
    (tmp_path / "joined").write_bytes(data)
    for one in (piped(data), *resolve_inputs([str(tmp_path / "joined")])):
        with pytest.raises(InputBroken, match="is no sound Arrow IPC data"):
            read([one], "arrow")


@pytest.mark.parametrize("keys", [(), (Key("lang", "en"),)])
def test_a_name_that_is_no_utf8_is_refused(keys, tmp_path):
    """Of a file or a pipe, whether or not its folders give columns too."""
    for form in NEW:
        data = packed(form, rows=[{"NAME": 1}], schema=pa.schema([("NAME", pa.int8())]))
        data = data.replace(b"NAME", b"\xffAME")
        (tmp_path / form).write_bytes(data)
        for one in (piped(data), *resolve_inputs([str(tmp_path / form)])):
            with pytest.raises((NotUtf8, InputBroken), match=r"(?i)`.*utf-8"):
                read([replace(one, keys=keys)], "arrow")


def test_damage_is_an_error_and_never_a_crash(tmp_path):
    """Offsets, indices and dictionaries out of bounds among it."""
    path, refused = tmp_path / "bad", 0
    data = packed("stream", rows=ROWS[:90], batch_rows=40)
    for at in range(9, len(data), 37):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0x80]) + data[at + 1 :])
        try:
            read([path], "arrow")
        except (InputBroken, InputUnreadable, NotUtf8):  # a type may become one that nobody reads
            refused += 1
    assert refused > 30


def test_a_file_that_is_cut_while_it_is_mapped_is_noticed_in_time(tmp_path):
    """Its pages are gone; to touch one would end the process."""
    path = tmp_path / "a"
    path.write_bytes(packed("file", batch_rows=100_000))
    source = open_tables(resolve_inputs([str(path)]), "arrow", batch_bytes=500)
    batches = source.batches()
    next(batches)
    os.truncate(path, 100)
    with pytest.raises(InputChanged, match="a` changed while it was read"):
        list(batches)


def test_a_batch_too_large_for_a_pipe_is_refused(monkeypatch):
    """It would be read as a whole."""
    monkeypatch.setattr(ipc, "_MOST_BATCH_BYTES", 10_000)
    with pytest.raises(LineTooLong, match=r"`pipe-0` holds a record batch of .*may have 10 kB"):
        read([piped(packed("stream"))], "arrow")
    assert len(read([piped(packed("stream", batch_rows=20))], "arrow")) == len(ROWS)


def test_one_batch_of_any_size_takes_the_memory_of_a_few_small_ones(tmp_path):
    """100 MB as one record batch of a plain file; measured in a child."""
    path = tmp_path / "a.arrow"
    table = pa.table({"s": pa.array(["x" * 500] * 200_000), "n": range(200_000)})
    for name, rows in (("small", 9), ("a.arrow", len(table))):
        with pa.ipc.new_file(tmp_path / name, table.schema) as writer:
            writer.write_table(table.slice(0, rows))
    del table
    seen_bytes, peak_bytes = measured_read(tmp_path / "small", path, "arrow", 4 << 20)
    assert seen_bytes > 100_000_000
    assert peak_bytes < 85_000_000


def month_interval_stream() -> bytes:
    """Return a stream of a type that pyarrow can name but not make: the unit of one that it can."""
    sink, values = io.BytesIO(), pa.array([None, None], pa.month_day_nano_interval())
    with pa.ipc.new_stream(sink, pa.schema([("i", values.type)])) as writer:
        writer.write_batch(pa.record_batch([values], ["i"]))
    text = sink.getvalue()
    for place in range(200):
        changed = text[:place] + b"\0" + text[place + 1 :] if text[place] == 2 else b""
        with contextlib.suppress(pa.ArrowException):
            if str(pa.ipc.open_stream(changed).schema.types[0]) == "month_interval":
                return changed
    raise AssertionError("no byte is the unit")


def test_a_type_that_pyarrow_has_no_arrays_of_is_named(tmp_path):
    """Not the number that it has there."""
    (tmp_path / "in.arrow").write_bytes(month_interval_stream())
    with pytest.raises(SchemaMismatch, match="column `i` has type month_interval, which is not"):
        dbshuf.shuffle(tmp_path / "in.arrow", tmp_path / "out.arrow", memory="4GB")
