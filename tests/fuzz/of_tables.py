"""Damaged Parquet files, and Arrow files and streams: the same rows, or an error in words."""

import io
import os
import random
from collections.abc import Callable

import pyarrow as pa
import pyarrow.parquet as pq
from mutation import Target, damaged
from typed_sources import piped

from dbshuf.errors import DbshufError
from dbshuf.source.checksums import has_checksum
from dbshuf.source.inputs import resolve_inputs
from dbshuf.source.tables.reader import open_tables

_ROWS = 40
_TABLE = pa.table(
    {
        "n": pa.array(range(_ROWS), pa.int32()),
        "t": [None if n % 7 == 3 else f"text {n % 5}" for n in range(_ROWS)],
        "l": [[n, None] if n % 3 else [] for n in range(_ROWS)],
        "d": pa.array([f"v{n % 3}" for n in range(_ROWS)]).dictionary_encode(),
        "s": [{"a": n / 2, "b": n % 2 == 0} for n in range(_ROWS)],
    }
)
_WANTED = _TABLE.to_pylist()
_TOKENS = [
    b"\0",
    b"\xff",
    b"\xff" * 4,
    b"\0" * 8,
    b"\x7f",
    b"\x80",
    b"PAR1",
    b"ARROW1\0\0",
    b"\x1c",
]
_TOKENS += [b"\xff\xff\xff\xff\0\0\0\0", b"\x1c" * 5000, b"\xff" * 8 + b"\x7f", b"\x15\xfe\xff"]


def _parquet(**options: object) -> bytes:
    out = io.BytesIO()
    pq.write_table(_TABLE, out, row_group_size=25, write_page_checksum=True, **options)
    return out.getvalue()


def _arrow(new: Callable, compression: str | None) -> bytes:
    out = io.BytesIO()
    with new(out, _TABLE.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as file:
        file.write_table(_TABLE, max_chunksize=25)
    return out.getvalue()


_PARQUET = [_parquet(compression=one) for one in ("none", "zstd", "snappy")]
_PARQUET += [_parquet(compression="none", use_dictionary=False, data_page_version="2.0")]
_FILES = [_arrow(pa.ipc.new_file, one) for one in (None, "zstd", "lz4")]
_STREAMS = [_arrow(pa.ipc.new_stream, one) for one in (None, "zstd", "lz4")]


def _footer_of(data: bytes) -> int:
    return len(data) - 8 - int.from_bytes(data[-8:-4], "little")


def _make_pages(rng: random.Random) -> bytes:
    """One to three flips of bits before the footer."""
    data = bytearray(rng.choice(_PARQUET))
    end = _footer_of(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        data[rng.randrange(4, end)] ^= 1 << rng.randrange(8)
    return bytes(data)


def _make_parquet(rng: random.Random) -> bytes:
    data = rng.choice(_PARQUET)
    end = _footer_of(data)
    if rng.randrange(4) == 0:
        return damaged(rng, data, _TOKENS, rng.choice(_PARQUET))
    if rng.randrange(3) == 0:
        return data[:4] + damaged(rng, data[4:end], _TOKENS)[: end - 4].ljust(end - 4) + data[end:]
    footer = damaged(rng, data[end:-8], _TOKENS, rng.choice(_PARQUET)[end:-8])
    return data[:end] + footer + len(footer).to_bytes(4, "little") + b"PAR1"


def _read_file(data: bytes, kind: str) -> list[dict] | None:
    name = f"in.{kind}"
    with open(name, "wb") as file:
        file.write(data)
    os.utime(name, ns=(_next_ns(), _next_ns()))
    return _read([name], kind)


_CLOCK = [10**18]


def _next_ns() -> int:
    _CLOCK[0] += 1000
    return _CLOCK[0]


def _read(inputs: list, kind: str) -> list[dict] | None:
    try:
        found = resolve_inputs(inputs, (), ()) if isinstance(inputs[0], str) else inputs
        if kind == "parquet":
            has_checksum(found[0], kind)
        source = open_tables(found, kind, batch_bytes=1 << 16)
        try:
            rows: list[dict] = []
            for batch in source.batches():
                rows += batch.batch.to_pylist()
        finally:
            source.close()
    except DbshufError:
        return None
    return rows


def _check_pages(data: bytes) -> bool:
    rows = _read_file(data, "parquet")
    assert rows in (None, _WANTED)
    return rows is not None


def _of_arrow(rng: random.Random, made: list[bytes]) -> bytes:
    return damaged(rng, rng.choice(made), _TOKENS, rng.choice(made))


TARGETS = {
    "parquet-page": Target(0.002, _make_pages, _check_pages),
    "parquet": Target(0.002, _make_parquet, lambda data: _read_file(data, "parquet") is not None),
    "arrow-file": Target(
        0.001,
        lambda rng: _of_arrow(rng, _FILES),
        lambda data: _read_file(data, "arrow") is not None,
    ),
    "arrow-stream": Target(
        0.001,
        lambda rng: _of_arrow(rng, _STREAMS),
        lambda data: _read([piped(data)], "arrow") is not None,
    ),
}
