"""Readers that no one here wrote open what dbshuf writes: rows, order and schema agree."""

import datetime
import json
import os
import subprocess
import sys
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.dataset
import pyarrow.ipc
import pyarrow.json
import pyarrow.parquet as pq
import pytest
import reference
from output_files import data_files

TEXTS = ("plain", "two\nlines", "", 'a "quote", comma', "雪\tÄ", None, "NULL", "007")
SCHEMA = pa.schema({"n": pa.int64(), "text": pa.string(), "x": pa.float64(), "ok": pa.bool_()})
DEEP = SCHEMA.append(pa.field("tags", pa.list_(pa.string())))
WIDE = DEEP.append(pa.field("day", pa.date32())).append(pa.field("stamp", pa.timestamp("us")))
POLARS = {"n": pl.Int64, "text": pl.String, "x": pl.Float64, "ok": pl.Boolean}
DUCKDB = ["BIGINT", "VARCHAR", "DOUBLE", "BOOLEAN", "VARCHAR[]", "DATE", "TIMESTAMP"]
HUGGING_FACE = ["int64", "string", "float64", "bool", "list", "date32", "timestamp[us]"]

# In a child, because the library reads its environment as it is imported; one for all formats,
# because that import takes seconds.
LOAD = """
import json, sys
import datasets
told = {}
for name, (kind, files) in json.loads(sys.argv[1]).items():
    for split, data in datasets.load_dataset(kind, data_files=files).items():
        told[f"{name} {split}"] = {
            "rows": [list(row.values()) for row in data],
            "names": data.column_names,
            "types": [str(getattr(f, "dtype", "list")) for f in data.features.values()],
        }
print(json.dumps(told, default=str))
"""


def some_rows(count: int) -> list[dict[str, object]]:
    """Return rows of WIDE; the first has no null, for readers that take types from it."""
    return [
        {
            "n": i,
            "text": TEXTS[i % len(TEXTS)],
            "x": None if i % 17 == 3 else i + 0.25,
            "ok": (True, False, None)[i % 3],
            "tags": ["ü", '"', str(i)][: 1 + i % 3],
            "day": datetime.date(2020, 1, 1) + datetime.timedelta(i),
            "stamp": datetime.datetime(2020, 1, 1, 12, 30, 1, i),
        }
        for i in range(count)
    ]


IN_ORDER = sorted(
    ((reference.key(i, "42"), row) for i, row in enumerate(some_rows(700))),
    key=lambda pair: pair[0],
)
ROWS = [row for _, row in IN_ORDER]


def columns(schema: pa.Schema, rows: list[dict[str, object]] = ROWS) -> list[dict[str, object]]:
    """Return the rows with the columns of one schema."""
    return [{name: row[name] for name in schema.names} for row in rows]


def as_told(schema: pa.Schema, rows: list[dict[str, object]] = ROWS) -> list[list[object]]:
    """Return rows as they look after json.dumps(default=str)."""
    return json.loads(json.dumps([[row[n] for n in schema.names] for row in rows], default=str))


@pytest.fixture
def written(cli, home):
    """Shuffle the table, reduced to a schema, to a file or directory; return its path."""
    pq.write_table(pa.Table.from_pylist(some_rows(700), WIDE), home / "in.parquet")

    def run(name: str, schema: pa.Schema, *options: object) -> Path:
        select = ("--select", ", ".join(schema.names))
        ran = cli("shuffle", "in.parquet", "-o", name, "--seed", "42", *select, *options)
        assert ran.code == 0, ran.err
        return home / name

    return run


def test_parquet_is_read_alike_by_arrow_duckdb_and_polars(written):
    """Values, nulls, lists, dates; and the types that each client calls by its own name."""
    path = written("out.parquet", WIDE)
    table = pq.read_table(path)
    assert table.to_pylist() == ROWS
    assert table.schema.names == WIDE.names
    assert table.schema.field("stamp").type == pa.timestamp("us")
    frame = pl.read_parquet(path)
    kinds = POLARS | {"tags": pl.List(pl.String), "day": pl.Date, "stamp": pl.Datetime("us")}
    assert dict(frame.schema) == kinds
    assert frame.to_dicts() == ROWS
    assert pl.scan_parquet(path).select("n").collect()["n"].to_list() == [r["n"] for r in ROWS]
    with duckdb.connect() as con:
        found = con.sql(f"select * from read_parquet('{path}')")
        assert list(map(str, found.types)) == DUCKDB
        assert found.fetchall() == [tuple(row.values()) for row in ROWS]


def test_shards_of_parquet_are_one_data_set_in_order(written):
    """Every client that takes a glob or a directory reads the parts by name, N of N."""
    top = written("out", WIDE, "--shards", 5, "--format", "parquet")
    parts = data_files(top)
    assert len(parts) == 5
    assert pa.dataset.dataset(parts).to_table().to_pylist() == ROWS
    assert pl.read_parquet(f"{top}/*.parquet").to_dicts() == ROWS
    with duckdb.connect() as con:
        found = con.sql(f"select * from read_parquet('{top}/*.parquet')").fetchall()
    assert found == [tuple(row.values()) for row in ROWS]


def test_json_lines_are_read_alike_by_arrow_duckdb_and_polars(written):
    """Types are those that the values show; strings that look like others stay strings."""
    path = written("out.jsonl", DEEP)
    table = pa.json.read_json(path)
    assert table.schema.field("n").type == pa.int64()
    assert table.to_pylist() == columns(DEEP)
    frame = pl.read_ndjson(path)
    assert dict(frame.schema) == POLARS | {"tags": pl.List(pl.String)}
    assert frame.to_dicts() == columns(DEEP)
    with duckdb.connect() as con:
        found = con.sql(f"select * from read_json('{path}', format = 'newline_delimited')")
        assert list(map(str, found.types)) == DUCKDB[:5]
        assert found.fetchall() == [tuple(row.values()) for row in columns(DEEP)]


def test_csv_is_read_alike_by_arrow_duckdb_and_polars(written):
    """Quoted newlines, commas and quotes; what is empty there is null or empty here."""
    path = written("out.csv", SCHEMA)
    want = [{**row, "text": row["text"] or ""} for row in columns(SCHEMA)]
    options = pa.csv.ConvertOptions(column_types=SCHEMA, null_values=[""])
    parse = pa.csv.ParseOptions(newlines_in_values=True)
    table = pa.csv.read_csv(path, parse_options=parse, convert_options=options)
    assert [{**row, "text": row["text"] or ""} for row in table.to_pylist()] == want
    frame = pl.read_csv(path, schema=POLARS)
    assert [{**row, "text": row["text"] or ""} for row in frame.to_dicts()] == want
    types = dict(zip(SCHEMA.names, DUCKDB, strict=False))
    with duckdb.connect() as con:
        found = con.sql(f"select * from read_csv('{path}', header = true, columns = {types})")
        got = [dict(zip(SCHEMA.names, row, strict=True)) for row in found.fetchall()]
    assert [{**row, "text": row["text"] or ""} for row in got] == want


def test_arrow_is_read_alike_by_arrow_duckdb_and_polars(written):
    """The file format of Arrow IPC, mapped without a copy."""
    path = written("out.arrow", WIDE)
    with pa.memory_map(str(path)) as file:
        mapped = pa.ipc.open_file(file).read_all()
        assert mapped.to_pylist() == ROWS
        with duckdb.connect() as con:
            found = con.sql("select * from mapped")
            assert list(map(str, found.types)) == DUCKDB
    frame = pl.read_ipc(path)
    assert frame.schema["tags"] == pl.List(pl.String)
    assert frame.to_dicts() == ROWS


def test_lines_of_text_are_a_column_of_text_for_all(cli, corpus, home):
    """The first thing that people do: a corpus to Parquet, and train from it."""
    data = b"".join(b"%d \xe9\x9b\xaa\n" % i for i in range(500)) + b"\n\r\n\0\nlast"
    path = corpus("in.txt", data)
    for name in ("out.parquet", "out.jsonl"):
        assert cli("shuffle", path, "-o", name, "--seed", "42").code == 0
    want = [line.decode()[:-1] for _, line in reference.keyed([data], "42")]
    assert pl.read_ndjson(home / "out.jsonl")["line"].to_list() == want
    with duckdb.connect() as con:
        found = con.sql(f"select line from read_json('{home / 'out.jsonl'}')").fetchall()
    assert [line for (line,) in found] == want
    assert pq.read_table(home / "out.parquet")["line"].to_pylist() == want
    assert pl.read_parquet(home / "out.parquet")["line"].to_list() == want


def test_hugging_face_datasets_read_every_format(written, home):
    """`load_dataset("parquet", data_files=...)`, offline: files, shards, splits; in order.

    A directory with a card is loaded by its name alone.
    """
    split = ("--format", "parquet", "--split", "train=0.8,valid=0.2")
    files, shards = (
        str(written("out.parquet", WIDE)),
        written("out", WIDE, "--shards", 5, "--card", *split[:2]),
    )
    splits = written("splits/", DEEP, "--card", *split)
    orders = {
        "file": ("parquet", {"train": files}),
        "list": ("parquet", {"train": list(map(str, data_files(shards)))}),
        "glob": ("parquet", {"train": f"{shards}/*.parquet"}),
        "split": ("parquet", {name: f"{splits}/{name}/*.parquet" for name in ("train", "valid")}),
        "card": (str(shards), None),
        "split_card": (str(splits), None),
        "json": ("json", {"train": str(written("out.jsonl", DEEP))}),
        "csv": ("csv", {"train": str(written("out.csv", SCHEMA))}),
        "arrow": ("arrow", {"train": str(written("out.arrow", WIDE))}),
    }
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(home.parent / "hf")}
    line = [sys.executable, "-c", LOAD, json.dumps(orders)]
    done = subprocess.run(line, capture_output=True, env=env, cwd=home, timeout=180, check=False)
    assert done.returncode == 0, done.stderr.decode()
    told = json.loads(done.stdout)
    for name in ("file", "list", "glob", "card", "arrow"):
        got = told[f"{name} train"]
        assert (got["names"], got["types"]) == (WIDE.names, HUGGING_FACE), name
        assert got["rows"] == as_told(WIDE), name
    assert told["json train"]["types"] == HUGGING_FACE[:5]
    assert told["json train"]["rows"] == as_told(DEEP)
    assert told["csv train"]["names"] == SCHEMA.names
    nulls = ("", "NULL", None)  # as pandas reads them
    want = [(row["n"], None if row["text"] in nulls else row["text"], row["x"]) for row in ROWS]
    assert [tuple(row[:3]) for row in told["csv train"]["rows"]] == want
    where = {row[0]: name for name in ("train", "valid") for row in told[f"split {name}"]["rows"]}
    assert len(where) == 700
    for name in ("train", "valid"):
        rows = [row for row in ROWS if where[row["n"]] == name]
        for found in ("split", "split_card"):
            assert told[f"{found} {name}"]["rows"] == as_told(DEEP, rows)
