"""Small files in the shapes that people publish, and what every run over them must keep."""

import json
import struct
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from output_files import data_files

import dbshuf

MEMORY = "4GB"  # for the whole process, and here that is the test run with all it has loaded
STRATEGIES = ("memory", "partition", "spill")
LONG_WINDOW = 0xA8  # 2 GiB; 0x90 is 256 MiB, see window_frame
ALPHABETS = (
    "English", "français", "Ελληνικά", "русский", "עברית", "العربية", "हिन्दी", "ไทย",
    "中文", "日本語", "한국어", "ქართული", "አማርኛ", "🦆", "e\u0301", "\u202eabc",
)  # fmt: skip


def shuffle(inputs: object, output: Path, **options: object) -> Path:
    """Shuffle in this process, as the command does with the same options."""
    dbshuf.shuffle(inputs, output, **{"seed": 42, "memory": MEMORY} | options)
    return output


def refusal(inputs: object, output: Path, **options: object) -> dbshuf.DbshufError:
    """Shuffle what must be refused; nothing may be left at the output."""
    with pytest.raises(dbshuf.DbshufError) as caught:
        shuffle(inputs, output, **options)
    assert not output.exists()
    assert 2 <= caught.value.exit_code <= 24
    return caught.value


def check_told(ran: object, *words: str, codes: object = range(2, 25)) -> None:
    """Check that a run ended with an error for the user: a place, words, a hint, no bug."""
    assert ran.code in codes, (ran.code, ran.err)
    assert ran.err.startswith("dbshuf: error: "), ran.err
    assert "\nhint: " in ran.err, ran.err
    assert "Traceback" not in ran.err
    for word in words:
        assert word in ran.err, (word, ran.err)


def check_right_or_told(ran: object, *words: str) -> bool:
    """Return whether a run worked; if not, check that it told why."""
    if ran.code:
        check_told(ran, *words)
    return ran.code == 0


def exact(value: object) -> str:
    """Return a text that two values share only if they are the same, type and sign included."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{k!r}:{exact(v)}" for k, v in sorted(value.items())) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(exact, value)) + "]"
    return f"{type(value).__name__}:{value!r}"


def multiset(rows: object) -> Counter[str]:
    return Counter(map(exact, rows))


def rows_of(path: Path) -> list[dict[str, object]]:
    """Return the rows of a Parquet, Arrow or JSON lines file, or of a folder of shards."""
    if path.is_dir():
        return [row for part in data_files(path) for row in rows_of(part)]
    if path.suffix == ".parquet":
        return pq.ParquetFile(path).read().to_pylist()
    if path.suffix == ".arrow":
        return pa.ipc.open_file(path).read_all().to_pylist()
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def schema_of(path: Path) -> pa.Schema:
    if path.suffix == ".arrow":
        return pa.ipc.open_file(path).schema
    return pq.ParquetFile(path).schema_arrow


def parquet(path: Path, table: object, **options: object) -> Path:
    """Write a table, or rows, as a Parquet file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not isinstance(table, pa.Table):
        table = pa.Table.from_pylist(table)
    pq.write_table(table, path, **options)
    return path


def json_lines(path: Path, *lines: str | bytes) -> Path:
    """Write lines as they are, each with a terminator."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join((t.encode() if isinstance(t, str) else t) + b"\n" for t in lines))
    return path


def window_frame(data: bytes, descriptor: int) -> bytes:
    """Return a zstd frame of raw blocks whose header asks for a window (RFC 8878, 3.1.1)."""
    parts = [b"\x28\xb5\x2f\xfd", bytes([0, descriptor])]
    blocks = [data[at : at + 100_000] for at in range(0, len(data), 100_000)] or [b""]
    for number, block in enumerate(blocks):
        last = number == len(blocks) - 1
        parts.append(struct.pack("<I", len(block) << 3 | last)[:3] + block)
    return b"".join(parts)
