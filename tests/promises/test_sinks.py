"""Sinks for rows: CSV, JSON lines, Arrow, Parquet, as files and as shards; text refuses."""

import csv
import gzip
import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest
import reference
from output_files import data_files

STRATEGIES = ("memory", "spill", "partition")
TEXTS = ("plain", "two\nlines\r\n", "", 'a "quote", comma', "雪\tÄ\0", None, "NULL", "007", " x ")
SCHEMA = pa.schema({"n": pa.int64(), "text": pa.string(), "x": pa.float64(), "ok": pa.bool_()})
DEEP = SCHEMA.append(pa.field("tags", pa.list_(pa.string()))).append(
    pa.field("pair", pa.struct({"k": pa.string(), "v": pa.int32()}))
)
SEED = "corpus-7"


def some_rows(count: int) -> list[dict[str, object]]:
    """Return rows of DEEP with nulls on every level."""
    return [
        {
            "n": None if i % 19 == 4 else i,
            "text": TEXTS[i % len(TEXTS)],
            "x": None if i % 17 == 0 else i / 8,
            "ok": (True, None, False)[i % 3],
            "tags": None if i % 5 == 0 else ["ü", None, '"'][: i % 4],
            "pair": None if i % 7 == 0 else {"k": f"k{i}", "v": None if i % 2 else i},
        }
        for i in range(count)
    ]


KEYED = sorted(
    ((reference.key(i, SEED), row) for i, row in enumerate(some_rows(500))),
    key=lambda pair: pair[0],
)
ROWS = [row for _, row in KEYED]
FLAT = [tuple(row[name] for name in SCHEMA.names) for row in ROWS]


def unpacked(path: Path) -> bytes:
    if path.suffix == ".zst":
        with pa.input_stream(str(path), compression="zstd") as stream:
            return stream.read()
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def read_csv(path: Path) -> list[tuple[object, ...]]:
    """Return typed rows of a CSV file; its first line must name the columns."""
    text = unpacked(path).decode()
    head, *rows = csv.reader(io.StringIO(text, newline=""))
    assert head == SCHEMA.names
    truth = {"": None, "true": True, "false": False}
    return [
        (int(n) if n else None, s, float(x) if x else None, truth[ok.lower()])
        for n, s, x, ok in rows
    ]


def read_rows(path: Path) -> list[dict[str, object]]:
    """Return the rows of a JSON lines, Arrow or Parquet file."""
    if ".parquet" in path.name:
        return pq.read_table(path).to_pylist()
    if ".arrow" in path.name:
        with pa.memory_map(str(path)) as file:
            return pa.ipc.open_file(file).read_all().to_pylist()
    rows = [json.loads(line) for line in unpacked(path).decode().split("\n")[:-1]]
    assert all(list(row) == DEEP.names for row in rows)
    return rows


def read(path: Path) -> list[object]:
    return read_csv(path) if ".csv" in path.name else read_rows(path)


def wanted(rows: list[dict[str, object]], name: str) -> list[object]:
    """Return rows as a format of that name can tell them: CSV has no null but the empty field."""
    if "csv" not in name:
        return rows
    flat = [[row[column] for column in SCHEMA.names] for row in rows]
    return [(n, "" if text is None else text, x, ok) for n, text, x, ok in flat]


@pytest.fixture
def table(home: Path) -> Path:
    path = home / "in.parquet"
    pq.write_table(pa.Table.from_pylist(some_rows(500), DEEP), path, row_group_size=99)
    return path


@pytest.fixture
def shuffle(cli, table) -> Callable:
    """Shuffle the table, flat for CSV, with the one seed."""

    def run(*args: object):
        flat = any("csv" in str(arg) for arg in args) and "--select" not in args
        options = ("--select", ", ".join(SCHEMA.names)) if flat else ()
        ran = cli("shuffle", table, "--seed", SEED, *options, *args)
        assert ran.code == 0, ran.err
        return ran

    return run


@pytest.mark.parametrize(
    ("name", "strategy"),
    [
        ("out.csv", "partition"),
        ("out.csv.gz", "memory"),
        ("out.csv.zst", "spill"),
        ("out.jsonl", "partition"),
        ("out.jsonl.gz", "spill"),
        ("out.jsonl.zst", "memory"),
        ("out.arrow", "partition"),
        ("out.arrow", "memory"),
        ("out.parquet", "spill"),
    ],
)
def test_every_format_tells_the_rows_in_the_one_order(name, strategy, shuffle, home):
    """Nulls, quotes, newlines and nested values; compressed as the name says."""
    shuffle("-o", name, "--strategy", strategy)
    assert read(home / name) == wanted(ROWS, name)
    assert {path.name for path in home.iterdir()} == {"in.parquet", name}


@pytest.mark.parametrize("format_", ["csv", "csv.gz", "jsonl.zst", "arrow", "parquet"])
def test_every_format_can_be_cut_into_shards(format_, shuffle, home):
    """By equal ranges of the key; each shard can be read alone."""
    shuffle("-o", "keys/", "--shards", 3, "--format", format_)
    names = [f"part-{i:05}-of-00003.{format_}" for i in range(3)]
    assert [path.name for path in data_files(home / "keys")] == names
    for number, name in enumerate(names):
        part = [row for key, row in KEYED if key * 3 >> 64 == number]
        assert read(home / "keys" / name) == wanted(part, name)


@pytest.mark.parametrize("format_", ["csv.zst", "jsonl.gz", "arrow"])
def test_shards_of_so_many_rows_are_full_but_the_last(format_, shuffle, home):
    """150 a shard, whatever the format."""
    shuffle("-o", "rows", "--shard-rows", 150, "--format", format_)
    shards = [read(path) for path in data_files(home / "rows")]
    assert [len(shard) for shard in shards] == [150, 150, 150, 50]
    assert [row for shard in shards for row in shard] == wanted(ROWS, format_)


def test_standard_output_takes_csv_and_json_lines(shuffle, home):
    """`dbshuf shuffle a.parquet --format jsonl | head`: data there, talk on stderr."""
    for name in ("got.csv", "got.jsonl"):
        ran = shuffle("--format", name.removeprefix("got."))
        (home / name).write_bytes(ran.out)
        assert read(home / name) == wanted(ROWS, name)


def test_lines_of_text_are_rows_of_one_column(cli, corpus, home):
    """`shuffle a.txt -o out.jsonl` names it `line`, as Parquet does."""
    data = b"".join(b"%d, \xe9\x9b\xaa\n" % i for i in range(300)) + b'"\n\n\r\nlast'
    path = corpus("in.txt", data)
    want = [{"line": line.decode()[:-1]} for _, line in reference.keyed([data], "42")]
    for name in ("out.jsonl", "out.csv", "out.arrow"):
        ran = cli("shuffle", path, "-o", name, "--seed", "42")
        assert ran.code == 0, ran.err
    assert [json.loads(line) for line in (home / "out.jsonl").read_text().splitlines()] == want
    with (home / "out.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [["line"], *([row["line"]] for row in want)]
    assert read_rows(home / "out.arrow") == want
    corpus("bad.txt", data + b"\n\xff\n")
    for name in ("out.jsonl", "out.csv", "out.arrow"):
        ran = cli("shuffle", "bad.txt", "-o", name)
        assert ran.code == 8, ran.err
        assert len(data) + 1 in ran.numbers(), ran.err


@pytest.mark.parametrize("name", ["out.csv", "out.jsonl", "out.arrow", "out.parquet"])
def test_no_rows_are_a_valid_file_with_its_columns(name, shuffle, home):
    """The next program can open it and sees what would have been there."""
    shuffle("-o", name, "--where", "n < 0", "--select", ", ".join(SCHEMA.names))
    assert name == "out.jsonl" or read(home / name) == []
    if name == "out.jsonl":
        assert (home / name).read_bytes() == b""
    elif name == "out.arrow":
        assert pa.ipc.open_file(home / name).schema.names == SCHEMA.names
    elif name == "out.parquet":
        assert pq.read_schema(home / name).names == SCHEMA.names


@pytest.mark.parametrize("codec", ["snappy", "gzip", "none"])
def test_parquet_is_compressed_as_asked(codec, shuffle, home):
    """In every column of every row group, and the rows are the same."""
    shuffle("-o", "out.parquet", "--compression", codec)
    meta = pq.read_metadata(home / "out.parquet")
    chunks = [meta.row_group(g).column(c) for g in range(meta.num_row_groups) for c in range(4)]
    name = "UNCOMPRESSED" if codec == "none" else codec.upper()
    assert {chunk.compression for chunk in chunks} == {name}
    assert read_rows(home / "out.parquet") == ROWS


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_row_groups_are_bounded_by_the_bytes_asked_for(strategy, cli, home):
    """A group can be read in the memory that the user named, and is not much less than it."""
    reference.write_numbered(home / "in.txt", 60_000, 147)  # 8.8 MB
    line = ("shuffle", "in.txt", "-o", "out.parquet", "--row-group-bytes", "1MB", "--seed", "42")
    ran = cli(*line, "--strategy", strategy, "--compression", "none")
    assert ran.code == 0, ran.err
    meta = pq.read_metadata(home / "out.parquet")
    sizes = [meta.row_group(i).total_byte_size for i in range(meta.num_row_groups)]
    assert max(sizes) <= 1_250_000
    assert 8 <= len(sizes) <= 30
    lines = pq.read_table(home / "out.parquet")["line"].to_pylist()
    with (home / "again.txt").open("w") as file:
        file.writelines(f"{line}\n" for line in lines)
    reference.check_numbered(home / "again.txt", 60_000, 147, "42")


def test_parquet_tells_its_seed_order_and_statistics(shuffle, home):
    """Who finds the file later can make it again; readers can skip row groups."""
    for options in (("-o", "out.parquet"), ("-o", "out", "--shards", 2, "--format", "parquet")):
        shuffle(*options)
    for path in (home / "out.parquet", *data_files(home / "out")):
        found = pq.read_schema(path).metadata or {}
        told = {key.decode(): value.decode() for key, value in found.items()}
        assert any(SEED in value for value in told.values()), told
        assert any("order" in key + value and "1" in value for key, value in told.items()), told
        column = pq.read_metadata(path).row_group(0).column(1)
        assert column.is_stats_set
        assert column.has_dictionary_page


def test_text_takes_one_column_of_text_or_bytes_only(refused, table, cli):
    """Two columns have no form in a text file, nor have numbers: refused with what there is."""
    for select in ("n, text", "n"):
        ran = refused(22, table, "--select", select, "-o", "out.txt")
        assert all(re.search(rf"\b{name}\b", ran.err) for name in select.split(", "))
        assert "hint:" in ran.err
    ran = refused(22, table, "-o", "out.txt")
    assert all(re.search(rf"\b{name}\b", ran.err) for name in DEEP.names)
    refused(22, table)
    done = cli(
        "shuffle", table, "--select", "encode('ÿ' || ifnull(n, 0)) || '\\xFF'::blob", "--seed", SEED
    )
    assert done.code == 0, done.err
    assert done.out == b"".join(f"ÿ{n or 0}".encode() + b"\xff\n" for n, *_ in FLAT)


@pytest.mark.parametrize("output", [("-o", "out", "--shards", 2), ()])
def test_a_value_that_text_cannot_hold_is_refused(output, cli, corpus, home, snapshot):
    """NULL is not the empty line, and a newline within a value would make two lines of one."""
    corpus("in.txt", b"".join(b"%d\n" % i for i in range(3000)))
    for select in ("nullif(line, '1234')", "replace(line, '1234', 'a' || chr(10) || 'b')"):
        before = snapshot(home)
        ran = cli("shuffle", "in.txt", "--select", select, *output)
        assert ran.code == 22, ran.err
        assert "hint:" in ran.err
        assert snapshot(home) == before


def test_with_nul_at_the_end_a_value_may_hold_newlines_but_no_nul(cli, refused, corpus):
    """What -z is for; the terminator is what a value must not hold."""
    line = (corpus("in", b"a\0b\0c"), "-z", "--seed", "42")
    ran = cli("shuffle", *line, "--select", "line || chr(10)")
    assert ran.code == 0, ran.err
    assert ran.out == reference.shuffled([b"a\0b\0c"], "42", b"\0").replace(b"\0", b"\n\0")
    refused(22, *line, "--select", "line || chr(0)", "-o", "out.txt")


def test_options_that_are_no_values_of_their_kind_are_refused(refused, table):
    """Before any work, and named."""
    for option, value in (
        ("--compression", "rar"),
        ("--row-group-bytes", "0"),
        ("--format", "xlsx"),
    ):
        assert option.lstrip("-") in refused(2, table, "-o", "out.parquet", option, value).err
