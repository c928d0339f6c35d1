"""CSV in and out, text in other encodings, wide zstd windows, and shards of the size asked for."""

import csv
import io
import json
import random

import pytest
from output_files import data_files
from public_shapes import LONG_WINDOW, check_told, json_lines, multiset, parquet, window_frame

SIZES = {"parquet": "out.parquet", "csv": "out.csv", "jsonl": "out.jsonl", "arrow": "out.arrow"}


def test_csv_quotes_only_where_needed_and_tells_empty_from_null(cli, home):
    """A number in quotes is a string to the next reader."""
    values = ["x", "", None, "a,b", 'say "x"', "two\nlines", "c\rd", " spaced ", "é"]
    parquet(home / "in.parquet", [{"n": n, "t": value} for n, value in enumerate(values)])
    ran = cli("shuffle", "in.parquet", "--format", "csv", "--seed", 42)
    assert ran.code == 0, ran.err
    text = ran.out.decode()
    for plain in ("n,t", "0,x", '1,""', "2,", "8,é"):
        assert plain in text.split("\n"), text
    assert multiset(csv.reader(io.StringIO(text, newline=""))) == multiset(
        [["n", "t"], *([str(n), value or ""] for n, value in enumerate(values))]
    )


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        (b"a\n1\n2\n", [{"a": "1"}, {"a": "2"}]),
        (b"\xef\xbb\xbfa,b\n1,x\n", [{"a": "1", "b": "x"}]),
        (b"a,b\r1,x\r2,y\r", [{"a": "1", "b": "x"}, {"a": "2", "b": "y"}]),
        (b"a,b\r\n1,x\r\n", [{"a": "1", "b": "x"}]),
        (b'a,b\n"1,\n2","say ""x"""\n', [{"a": "1,\n2", "b": 'say "x"'}]),
        ("имя,名\n1,é\n".encode(), [{"имя": "1", "名": "é"}]),
    ],
)
def test_csv_of_every_making_is_read_or_told(data, rows, cli, corpus, home):
    corpus("in.csv", data)
    ran = cli("shuffle", "in.csv", "-o", "out.jsonl", "--from", "csv")
    if ran.code:
        check_told(ran, "in.csv")
        return
    made = [json.loads(line) for line in (home / "out.jsonl").read_text().splitlines()]
    assert multiset(made) == multiset(rows)


@pytest.mark.parametrize("codec", ["utf-16", "utf-32"])
@pytest.mark.parametrize("kind", [(), ("--from", "csv"), ("--from", "json")])
def test_other_encodings_are_named_with_how_to_convert(codec, kind, cli, corpus):
    """Their bytes hold newlines that end no line."""
    data = '{"a":"x"}\n{"a":"ਊ"}\n'.encode(codec)
    corpus("in.txt", data)
    check_told(cli("shuffle", "in.txt", *kind), "in.txt", codec.upper(), "iconv")


@pytest.mark.parametrize(("descriptor", "window_mib"), [(0x90, 256), (LONG_WINDOW, 2048)])
def test_a_long_zstd_window_is_read_where_it_fits_else_the_cap_is_told(
    descriptor, window_mib, cli, corpus
):
    data = b"".join(b"%d\n" % n for n in range(1000))
    corpus("in.zst", window_frame(data, descriptor))
    ran = cli("shuffle", "in.zst", "--memory", f"{window_mib + 2048}MiB", "--seed", 42)
    assert ran.code == 0, ran.err
    assert sorted(ran.out.splitlines()) == sorted(data.splitlines())
    small = cli("shuffle", "in.zst", "--memory", "200MB", "--seed", 42)
    check_told(small, "--memory")
    again = cli("shuffle", "in.zst", "--memory", small.largest_amount(), "--seed", 42)
    assert (again.code, again.out) == (0, ran.out), again.err


@pytest.mark.parametrize("name", SIZES)
def test_shard_bytes_are_those_of_the_files(name, cli, home):
    """Within 15 % but for the last, whatever the format."""
    draw = random.Random(7)
    rows = [{"n": n, "t": f"{draw.getrandbits(1600):x}"} for n in range(20_000)]
    parquet(home / "in.parquet", rows)
    ran = cli("shuffle", "in.parquet", "-o", "out", "--format", name, "--shard-bytes", "1MB")
    assert ran.code == 0, ran.err
    sizes = [path.stat().st_size for path in data_files(home / "out")]
    assert len(sizes) > 2
    assert all(850_000 <= size <= 1_150_000 for size in sizes[:-1]), sizes


def test_star_gives_the_rows_own_columns_in_every_format(cli, corpus, home):
    """source and position are there when they are named."""
    parquet(home / "in.parquet", [{"a": 1, "b": "x"}])
    json_lines(home / "in.jsonl", '{"a":1,"b":"x"}')
    corpus("in.csv", b"a,b\n1,x\n")
    query = corpus("q.sql", b"select * from lines")
    for name, kind in (("in.parquet", "parquet"), ("in.jsonl", "json"), ("in.csv", "csv")):
        take = (name, "--from", kind, "--format", "csv")
        for way in (("--select", "*"), ("--sql", query)):
            ran = cli("shuffle", *take, *way)
            assert ran.out.replace(b'"', b"") == b"a,b\n1,x\n", ran.err
        ran = cli("query", name, "select * from lines", *take[1:])
        assert ran.out.replace(b'"', b"") == b"a,b\n1,x\n", ran.err
        ran = cli("shuffle", *take, "--select", "a, source")
        assert ran.out.replace(b'"', b"").startswith(b"a,source\n1,"), ran.err


@pytest.mark.parametrize(
    "options", [("--seed", b"\xff"), ("-o", "out", "--split", "a\nb=0.5,c=0.5")]
)
def test_bytes_and_newlines_in_options_are_told(options, cli, corpus, home):
    check_told(cli("shuffle", corpus("in.txt", b"a\n"), *options))
    assert [path.name for path in home.iterdir()] == ["in.txt"]
