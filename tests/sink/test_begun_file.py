"""A file that one encoder begins and another goes on with: the bytes are those of one encoder."""

import hashlib
import json
import random
import zlib
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from sink_windows import row_windows_of, small_groups, target_of, windows_of

from dbshuf.base.window import Window
from dbshuf.sink.begun_file import Begun, Position
from dbshuf.sink.formats import arrow, compression
from dbshuf.sink.hashed_output import Encoder, written_by
from dbshuf.sink.raw_file import FileDamaged
from dbshuf.sink.seal import WrittenFile
from dbshuf.sink.single_file import open_encoder
from dbshuf.sink.target import Target

ROWS = 1200
WORDS = random.Random(5)
LINES = [WORDS.randbytes(20 + n % 90).hex().encode() + b"\n" for n in range(ROWS)]
LONG = [WORDS.randbytes(4000).hex().encode() + b"\n" for _ in range(ROWS)]  # as zstd waits for 1 MB
TABLE = pa.record_batch(
    {
        "n": list(range(ROWS)),
        "tag": [f"tag {n // 50}" for n in range(ROWS)],
        "list": [[None, f"{n}"][: n % 3] if n % 7 else None for n in range(ROWS)],
    }
)
WRITTEN = TABLE.schema.set(1, pa.field("tag", pa.dictionary(pa.int32(), pa.string())))
FLAT, LONG_FLAT = (
    TABLE.select(["n"]).append_column("text", pa.array([line.decode()[:-1] for line in lines]))
    for lines in (LINES, LONG)
)


class Bytes:
    """An output in memory."""

    def __init__(self, had: bytes = b"") -> None:
        self.data = bytearray(had)

    def write(self, data: bytes | memoryview) -> None:
        self.data += data

    def flush(self) -> int:
        return 0

    def finish(self) -> None:
        pass

    def abort(self) -> None:
        pass


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks, groups and batches of a few rows."""
    small_groups(monkeypatch, most_bytes=20_000, most_rows=130)
    monkeypatch.setattr(arrow, "BATCH_ROWS", 110)
    monkeypatch.setattr(compression, "BLOCK_BYTES", 5_000)


def windows_for(rows: list[bytes] | pa.RecordBatch) -> list[Window]:
    cuts = range(0, ROWS, 85)
    if isinstance(rows, list):
        return list(windows_of(rows, cuts))
    return list(row_windows_of(rows, cuts))


KINDS = [
    pytest.param("txt", LINES, id="txt"),
    pytest.param("txt.gz", LINES, id="txt.gz"),
    pytest.param("txt.zst", LONG, id="txt.zst"),
    pytest.param("csv.gz", FLAT, id="csv.gz"),
    pytest.param("jsonl.zst", LONG_FLAT, id="jsonl.zst"),
    pytest.param("parquet", LINES, id="parquet-of-lines"),
    pytest.param("parquet", TABLE, id="parquet"),
    pytest.param("arrow", LINES, id="arrow-of-lines"),
    pytest.param("arrow", TABLE, id="arrow"),
]


def target_for(path: Path, format_: str, rows: list[bytes] | pa.RecordBatch) -> Target:
    if isinstance(rows, list):
        return target_of(path, format_, is_noted=True)
    written = WRITTEN if format_ == "arrow" else None
    return target_of(path, format_, schema=rows.schema, written=written, is_noted=True)


def begun_at(target: Target, windows: list[Window]) -> Iterator[tuple[int, Begun]]:
    """Yield, for each death behind a window, from which window on another goes on, and with what.

    What lies behind the sealed bytes in the file at that time is anything.
    """
    for death in range(1, len(windows), 2):
        output, positions, parts = Bytes(), [Position()], []
        encoder = open_encoder(output, target, Begun())
        for window in windows[:death]:
            encoder.write(window)
            positions.append(encoder.position())
            parts += json.loads(json.dumps(positions[-1].parts))
        data, now = bytes(output.data), positions[-1]
        encoder.abort()
        first = max(n for n, one in enumerate(positions) if one.taken <= now.written)
        given = positions[first]
        target.path.write_bytes(data + b"\xff" * 70_000)
        sums = zlib.crc32(data), given.rows, hashlib.sha256(data)
        yield first, Begun(len(data), *sums, target.path, given.taken, now.written, parts)


@pytest.mark.parametrize(("format_", "rows"), KINDS)
def test_a_file_that_is_gone_on_with_is_that_of_one_encoder(format_, rows, tmp_path):
    """From any death on, and what is noted of it for a manifest is the same."""
    target, windows = target_for(tmp_path / "out", format_, rows), windows_for(rows)
    whole, kept = Bytes(), []
    noted = written_all(open_encoder(whole, target), windows)
    for first, begun in begun_at(target, windows):
        if begun.bytes and begun.rows:
            output = Bytes(target.path.read_bytes()[: begun.bytes])
            assert written_all(open_encoder(output, target, begun), windows[first:]) == noted
            assert output.data == whole.data
            kept.append(first)
    assert len(kept) > 2
    assert max(kept) > len(windows) // 2  # little is given again


def written_all(encoder: Encoder, windows: list[Window]) -> WrittenFile | None:
    for window in windows:
        encoder.write(window)
    encoder.finish()
    return written_by(encoder)


@pytest.mark.parametrize(("format_", "rows"), KINDS[1:])
def test_what_cannot_be_gone_on_with_is_said_before_a_byte_is_added(format_, rows, tmp_path):
    """More was sealed than the file, or what is kept of it, has."""
    target = target_for(tmp_path / "out", format_, rows)
    *_, (_, begun) = begun_at(target, windows_for(rows))
    wrong = begun._replace(written=begun.written + 10_000_001, taken=begun.taken + 10_000_000)
    output = Bytes()
    with pytest.raises(FileDamaged):
        open_encoder(output, target, wrong)
    assert not output.data
