"""Inputs of every kind and what is done with them, the same with Spark and without."""

import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow.csv import write_csv

CSV = {"input_format": "csv"}
LINES = {"where": "bytes > 20 and id % 3 = 0"}
KEEP = {"within": "keep"}
TO_PARQUET = {"select": "upper(line) AS u, bytes, source, position, shuffle_key(id) AS k"}
CASES = [
    ("plain.txt packed.txt.gz empty.txt", "out/", {"shards": 3}),
    ("plain.txt packed.txt.gz", "out.txt", {}),
    ("plain.txt", "out.txt.zst", LINES),
    ("plain.txt plain.txt", "out/", {"shards": 2, "zero_terminated": True}),
    ("head1.txt head2.txt", "out/", {"shards": 2, "header": 2}),
    ("head1.txt head2.txt", "out.txt", {"header": 2}),
    ("packed.txt.gz", "out.parquet", TO_PARQUET),
    ("plain.txt", "out/", {"shard_bytes": 100_000}),
    ("plain.txt", "out/", {"shards": 2, "split": "train=0.9,valid=0.1"}),
    ("plain.txt", "out.txt", {"split": "train=0.9,valid=0.1"}),
    ("plain.txt", "out/", {"shards": 20}),
    ("empty.txt", "out/", {"shards": 2}),
    ("rows.jsonl", "out/", {"shards": 2, "format": "jsonl", "input_format": "json"}),
    ("rows.jsonl", "out.jsonl", {"where": "a < 300", "input_format": "json"}),
    ("rows.jsonl", "out.parquet", {"select": "a, u", "input_format": "json"}),
    ("rows.parquet", "out/", {"shards": 3, "format": "parquet"}),
    ("rows.parquet", "out.jsonl", {"where": "i % 3 = 0"}),
    ("rows.arrow", "out/", {"shards": 2, "format": "arrow"}),
    ("rows.csv", "out.csv.gz", {}),
    ("plain.txt packed.txt.gz", "out/", {"shards": 3, "sample": "20%"}),
    ("rows.csv", "out.parquet", {"sample": 0.3, "number": "n"}),
    ("rows.csv", "out/", {"shard_rows": 1000, "format": "csv"}),
    ("plain.txt", "out.txt", {"take": 70, "skip": 5}),
    ("rows.csv", "out.parquet", {"skip": 3990, "number": "n"}),
]

WEIGHTED = [
    ("plain.txt packed.txt.gz", "out/", {"shards": 7, "weight": "bytes % 2", **LINES}),
    ("plain.txt", "out.txt", {"weight": "bytes", "take": 70, "skip": 5}),
    ("plain.txt", "out/", {"weight": "0", "shards": 3}),
    ("head2.txt", "out/", {"weight": "bytes", "header": 2, "shards": 20}),
    ("empty.txt", "out/", {"weight": "bytes", "shards": 2}),
    ("plain.txt", "out/", {"weight": "bytes", "split": "train=0.9,valid=0.1"}),
    ("rows.parquet", "out/", {"shards": 3, "format": "parquet", "weight": "f * (i % 2)"}),
    ("rows.csv", "o.parquet", {"weight": "w", "select": "f::real AS w, s", "number": "n", **CSV}),
]

GROUPED = [
    ("plain.txt packed.txt.gz", "out/", {"shards": 7, "group": "nullif(bytes % 9, 4)", **LINES}),
    ("plain.txt packed.txt.gz", "out.txt", {"group": "bytes", "take": 700, "skip": 5, **KEEP}),
    ("head2.txt head1.txt", "out/", {"group": "line", "header": 2, "shards": 20}),
    ("empty.txt", "out/", {"group": "1", "shards": 2}),
    ("plain.txt", "out/", {"group": "bytes % 9", "shard_rows": 900, **KEEP}),
    ("plain.txt", "out/", {"group": "bytes", "split": "train=0.9,valid=0.1", "shards": 2}),
    ("rows.parquet", "out/", {"shards": 3, "format": "parquet", "group": "i % 5", **KEEP}),
    (
        "rows.csv",
        "o.parquet",
        {"group": "s", "select": "i, nullif(s, '') AS s", "number": "n"} | CSV,
    ),
    ("rows.jsonl", "out/", {"group": "t", "shards": 2, "format": "jsonl", "input_format": "json"}),
]

SPREAD = [
    ("plain.txt packed.txt.gz", "out/", {"shards": 7, "spread": "nullif(bytes % 9, 4)", **LINES}),
    ("plain.txt packed.txt.gz", "out.txt", {"spread": "bytes", "take": 700, "skip": 5}),
    ("empty.txt", "out/", {"spread": "1", "shards": 2}),
    ("rows.parquet", "out/", {"shards": 3, "format": "parquet", "spread": "i % 5"}),
    ("rows.arrow", "out.arrow", {"spread": "st.a % 2", "select": "l, st, t"}),
    ("rows.csv", "o.parquet", {"spread": "s", "number": "n", **CSV}),
]

EPOCHS = [
    ("plain.txt packed.txt.gz", {"shards": 3}),
    ("packed.txt.gz", {"format": "parquet", "row_group_bytes": 100_000, **TO_PARQUET}),
    ("rows.csv", {"shards": 2, "format": "csv", "sample": 0.3}),
    ("plain.txt packed.txt.gz", {"shards": 3, "weight": "bytes % 7"}),
    ("plain.txt packed.txt.gz", {"shards": 3, "spread": "bytes % 7"}),
]

# Of what a row fails in: input, output, option, expression.
NO_WORDS = [
    ("plain.txt", "out.txt", "weight", "case when position = 8 then null else 1 end"),
    ("plain.txt", "out/", "weight", "case when line like 'line 7777 %' then -0.5 else 1 end"),
    ("rows.parquet", "out/", "weight", "case when position = 3999 then 'nan'::float else 1 end"),
    ("plain.txt", "out/", "group", "case when line like 'line 7777 %' then line::int end"),
    ("rows.parquet", "out.parquet", "spread", "case when position = 3999 then s::int end"),
]


def make_inputs(folder: Path) -> None:
    """Make one input of each kind."""
    lines = b"".join(b"line %d %s\n" % (i, b"y" * (i % 50)) for i in range(9000))
    (folder / "plain.txt").write_bytes(lines + b"a tail \xff\x00 without end")
    (folder / "packed.txt.gz").write_bytes(gzip.compress(lines[:30_000]))
    (folder / "empty.txt").write_bytes(b"")
    (folder / "head1.txt").write_bytes(b"h1\nh2\n" + b"".join(b"\xff%d\r\n" % i for i in range(99)))
    (folder / "head2.txt").write_bytes(b"h1\nh2\n\n\nq")
    rows = (
        f'{{"a": {i}, "t": "x{"é" * (i % 5)}", "u": {{"k": [{i}, null]}}}}\n' for i in range(900)
    )
    (folder / "rows.jsonl").write_text("".join(rows), "utf-8")
    rng = np.random.default_rng(1)
    count = 4000
    table = pa.table(
        {
            "i": pa.array(rng.integers(0, 2**63, count).astype("uint64") * 2),
            "f": pa.array(rng.random(count)),
            "s": pa.array([None if i % 7 == 0 else f"t{i}" for i in range(count)]),
            "l": pa.array(
                [[1] * (i % 3) if i % 5 else None for i in range(count)], pa.list_(pa.int16())
            ),
            "st": pa.array([{"a": i, "b": "x"} if i % 4 else None for i in range(count)]),
            "ts": pa.array(rng.integers(0, 10**15, count), pa.timestamp("ns", "UTC")),
            "t": pa.array(rng.integers(0, 10**10, count), pa.time64("us")),
        }
    )
    pq.write_table(table, folder / "rows.parquet", row_group_size=500)
    with pa.ipc.new_file(folder / "rows.arrow", table.schema) as file:
        file.write_table(table, max_chunksize=700)
    write_csv(table.select(["i", "f", "s"]), folder / "rows.csv")
