"""The files of an output, without what a run says of them, and the lines in them."""

import csv
import gzip
import io
import json
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from dbshuf.manifest.names import CARD_NAME, MANIFEST_NAME, SUCCESS_NAME, SUMS_NAME, SUMS_NAMES

csv.field_size_limit(1 << 30)  # one value may be larger than a shard

MARKS = sorted((MANIFEST_NAME, SUCCESS_NAME, SUMS_NAME))


def data_files(folder: Path) -> list[Path]:
    """Return all files below a folder that hold rows, by name."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return [path for path in files if path.name not in (*MARKS, *SUMS_NAMES, CARD_NAME)]


def lines_in(path: Path) -> bytes:
    """The lines that a shard of any format holds."""
    if path.suffix == ".parquet":
        return joined(pq.read_table(path)["line"].to_pylist())
    if path.suffix == ".arrow":
        with pa.ipc.open_file(path) as file:
            return joined(file.read_all()["line"].to_pylist())
    text = unpacked(path)
    if ".jsonl" in path.name:
        return joined(json.loads(line)["line"] for line in text.splitlines())
    if ".csv" in path.name or ".tsv" in path.name:
        head, *rows = csv.reader(io.StringIO(text.decode()))
        assert head == ["line"]
        return joined(row[0] for row in rows)
    return text


def joined(texts: Iterable[str]) -> bytes:
    return b"".join(text.encode() + b"\n" for text in texts)


def unpacked(path: Path) -> bytes:
    if path.suffix == ".gz":
        return gzip.decompress(path.read_bytes())
    if path.suffix == ".zst":
        with pa.input_stream(str(path), compression="zstd") as stream:
            return stream.read()
    return path.read_bytes()


def files_below(folder: Path) -> dict[str, bytes]:
    """Return name -> bytes of all files of an output."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in data_files(folder)}
