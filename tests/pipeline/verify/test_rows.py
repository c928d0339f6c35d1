"""Inputs against outputs: what differs is found, and nothing where all is well."""

import contextlib
import dataclasses
import datetime as dt
import gzip
import random
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import dbshuf
from dbshuf.base.row_hash import Hashes
from dbshuf.errors import InputBroken, InputMissing, UsageError, VerifyFailed
from dbshuf.pipeline.verify import differences, totals
from dbshuf.pipeline.verify import rows as verify_rows

SEED = 7
ROWS = 200_000


@pytest.fixture(scope="module")
def big(tmp_path_factory):
    """200,000 lines in three files, some of them often, and the folder of their shuffle."""
    folder = tmp_path_factory.mktemp("verify")
    draw = random.Random(1)
    lines = [
        b"often" if number % 50 == 0 else b"%d %s" % (number, b"w" * draw.randrange(60))
        for number in range(ROWS)
    ]
    (folder / "in").mkdir()
    for part in range(3):
        text = b"\n".join(lines[part::3]) + b"\n"
        name, data = (f"{part}.gz", gzip.compress(text, 1)) if part == 1 else (f"{part}", text)
        (folder / "in" / name).write_bytes(data)
    dbshuf.shuffle(folder / "in", folder / "out.txt", seed=SEED, memory="3GB")
    return folder


def failure(*args, **options):
    with pytest.raises(VerifyFailed) as caught:
        dbshuf.verify(*args, **{"memory": "3GB", **options})
    return caught.value.result


def at(text, row):
    """Where a row begins, and where the next one does."""
    begin = 0
    for _ in range(row):
        begin = text.index(b"\n", begin) + 1
    return begin, text.index(b"\n", begin) + 1


def changed(text, what):
    begin, end = at(text, 1234)
    if what == "dropped":
        return text[:begin] + text[end:]
    if what == "doubled":
        return text[:end] + text[begin:]
    if what == "edited":
        return text[:begin] + b"X" + text[begin + 1 :]
    begin_2, end_2 = at(text, 150_000)
    return text[:begin] + text[begin_2:end_2] + text[end:begin_2] + text[begin:end] + text[end_2:]


@pytest.mark.parametrize("checks", [{}, {"seed": 3}])
def test_the_bytes_that_it_tells_are_those_of_the_rows_and_no_guess(checks, tmp_path):
    """A long row at the front, where a survey looks, was taken for the length of all."""
    rows = ["y" * 500_000, *["x"] * 5000]
    pq.write_table(pa.table({"s": rows}), tmp_path / "in.parquet")
    (tmp_path / "in.txt").write_text("\n".join(rows) + "\n")
    for name, more in (("in.parquet", 0), ("in.txt", len(rows))):
        dbshuf.shuffle(tmp_path / name, tmp_path / "out.txt", seed=3, memory="3GB")
        found = dbshuf.verify(tmp_path / name, tmp_path / "out.txt", memory="3GB", **checks)
        assert found.text_bytes == 2 * 505_000 + len(rows) + more


@pytest.mark.parametrize(
    ("what", "missing", "added"), [("dropped", 1, 0), ("doubled", 0, 1), ("edited", 1, 1)]
)
def test_one_row_in_200_000_is_found_with_its_place(big, tmp_path, what, missing, added):
    text = (big / "out.txt").read_bytes()
    (tmp_path / "bad.txt").write_bytes(changed(text, what))
    begin, end = at(text, 1234)
    found = failure(big / "in", tmp_path / "bad.txt", show_rows=True)
    assert (found.missing, found.added) == (missing, added)
    assert not dataclasses.replace(found, sum_out=found.sum_in).is_same
    row = text[begin : end - 1].decode()
    if missing:
        (place,) = found.first_missing
        assert place.content == row
        source = big / "in" / place.place["file"]
        data = source.read_bytes()
        data = gzip.decompress(data) if source.suffix else data
        assert data[place.place["byte"] :].startswith(row.encode() + b"\n")
    if added:
        (place,) = found.first_added
        # Of two equal rows the first one is named.
        assert place.place == {"file": str(tmp_path / "bad.txt"), "byte": begin}
        assert place.content == (row if what == "doubled" else "X" + row[1:])


def test_two_rows_that_changed_places_are_found_where_the_order_is_asked_for(big, tmp_path):
    text = (big / "out.txt").read_bytes()
    (tmp_path / "bad.txt").write_bytes(changed(text, "swapped"))
    assert dbshuf.verify(big / "in", tmp_path / "bad.txt", memory="3GB").rows_out == ROWS
    assert dbshuf.verify(big / "in", big / "out.txt", memory="3GB", seed=SEED).order == "same"
    found = failure(big / "in", tmp_path / "bad.txt", seed=SEED)
    assert f"row 1,234 of the outputs, `{tmp_path / 'bad.txt'}` at byte" in found.order
    assert (found.missing, found.added) == (0, 0)
    assert failure(big / "in", big / "out.txt", seed=SEED + 1).order.startswith("row 0 of")


def test_differences_that_do_not_fit_into_memory_are_counted_on_disk(big, tmp_path, monkeypatch):
    """Every tenth row is another one, and there is memory for a hundredth of them at a time."""
    lines = (big / "out.txt").read_bytes().splitlines(keepends=True)
    lines[::10] = [b"other " + line for line in lines[::10]]
    (tmp_path / "bad.txt").write_bytes(b"".join(lines))
    once = failure(big / "in", tmp_path / "bad.txt")
    assert (once.missing, once.added) == (ROWS // 10, ROWS // 10)
    monkeypatch.setattr(verify_rows, "_room", lambda *plans: 160 * ROWS // 1000)
    often = failure(big / "in", tmp_path / "bad.txt")
    assert often.to_json() | {"elapsed_s": 0, "peak_rss_bytes": 0} == once.to_json() | {
        "elapsed_s": 0,
        "peak_rss_bytes": 0,
    }
    assert sum(place.count for place in often.first_missing) >= 10


def test_no_more_rows_are_merged_at_once_than_there_is_room_for(tmp_path, monkeypatch):
    """However many come at once, and though none of them evens out."""
    merged, sizes = differences._merged, []

    def seen(parts):
        sizes.append(sum(len(one.net) for one in parts))
        return merged(parts)

    monkeypatch.setattr(differences, "_merged", seen)
    words = np.random.default_rng(1).integers(0, 1 << 64, (2, 10_000), np.uint64, endpoint=False)
    ids, wanted = np.arange(10_000, dtype=np.uint64), np.ones(totals.BUCKETS, np.bool_)
    room = 1000
    counted = differences.Differences(wanted, 10_000, room * 160, tmp_path)
    with contextlib.closing(counted):
        counted.add(Hashes(*words), ids, 1)
        counted.add(Hashes(*words).take(ids[:3000]), ids[:3000], -1)
        found = list(counted.found())
    left = np.concatenate([one.id_ for one in found])
    assert sorted(left.tolist()) == list(range(3000, 10_000))
    assert all((one.net == 1).all() for one in found)
    assert max(sizes) <= room
    assert len(sizes) > 10


def test_a_sample_says_what_it_is_of_and_finds_a_lost_tenth(big, tmp_path):
    found = dbshuf.verify(big / "in", big / "out.txt", memory="3GB", seed=SEED, sample="5%")
    assert (found.sample, found.order) == (0.05, "same")
    assert ROWS / 40 < found.rows_in == found.rows_out < ROWS / 10
    lines = (big / "out.txt").read_bytes().splitlines(keepends=True)
    (tmp_path / "bad.txt").write_bytes(b"".join(lines[ROWS // 10 :]))
    lost = failure(big / "in", tmp_path / "bad.txt", sample=0.05)
    assert 500 < lost.missing < 2_000
    assert lost.added == 0


# --- whatever holds them ---------------------------------------------------------------


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Rows of many types, with nulls and texts that need quotes; and the same with nested ones."""
    folder = tmp_path_factory.mktemp("typed")
    draw, rows = random.Random(2), 3_000

    def column(make, kind=None):
        return pa.array([None if draw.random() < 0.1 else make() for _ in range(rows)], kind)

    def text():
        return "".join(draw.choices('ab ,"\n\\é\t', k=draw.randrange(8)))

    def moment():
        return dt.datetime(2020, 1, 1) + dt.timedelta(seconds=draw.randrange(10**8))

    flat = {
        "i": column(lambda: draw.randrange(-(10**9), 10**9), pa.int32()),
        "s": column(text),
        "f": column(draw.random),
        "d": column(lambda: Decimal(draw.randrange(10**6)) / 100, pa.decimal128(20, 2)),
        "ts": column(moment, pa.timestamp("s")),
        "tz": column(moment, pa.timestamp("ms", "Europe/Berlin")),
        "c": column(lambda: draw.choice("abc")).dictionary_encode(),
    }
    nested = {
        "l": column(lambda: [draw.randrange(9) for _ in range(draw.randrange(4))]),
        "st": column(lambda: {"a": text(), "b": [{"c": 1.5}] * draw.randrange(3)}),
        "m": column(lambda: [(f"k{k}", k) for k in range(draw.randrange(3))], pa.map_("str", "i8")),
    }
    pq.write_table(pa.table(flat), folder / "flat.parquet", row_group_size=700)
    pq.write_table(pa.table(flat | nested), folder / "nested.parquet", row_group_size=700)
    return folder


@pytest.mark.parametrize(
    ("name", "out", "options"),
    [
        ("flat", "o.csv.gz", {}),
        ("flat", "o.tsv", {"where": "i > 0", "select": "s, i, f"}),
        ("nested", "o.jsonl.zst", {}),
        ("nested", "o.parquet", {}),
        ("nested", "o.arrow", {"where": "f < 0.5"}),
        ("flat", "o.txt", {"select": "coalesce(cast(i as varchar), '') as line"}),
        ("flat", "o.parquet", {"sql": "select c, count(*) as n, sum(i) from lines group by c"}),
    ],
    ids=str,
)
def test_typed_rows_are_the_same_in_every_format(table, tmp_path, name, out, options):
    """And one that is lost or doubled is found in each."""
    source, output = table / f"{name}.parquet", tmp_path / out
    shuffled = dbshuf.shuffle(source, output, seed=SEED, memory="3GB", **options)
    order = "sql" not in options
    found = dbshuf.verify(source, output, seed=SEED, order=order, memory="3GB", **options)
    assert found.rows_in == found.rows_out == shuffled.rows
    if not options:
        rows = pq.read_table(source)
        part = pa.concat_tables([rows.slice(0, 5), rows.slice(6), rows.slice(9, 1)])
        pq.write_table(part, tmp_path / "part.parquet")
        found = failure(tmp_path / "part.parquet", output)
        assert (found.missing, found.added) == (1, 1)
        assert found.first_missing[0].place["row"] == 8  # the first one of two


@pytest.mark.parametrize("out", ["o.parquet", "o.arrow", "o.jsonl", "o.csv", "o.txt.zst"])
def test_lines_are_the_same_in_every_format(tmp_path, out):
    """From compressed text; a last line without its end, empty lines, quotes, CR and doubles."""
    text = b'a\n\n\n"b",c\r\nd\te\na\n' + "é\n".encode() + b"x" * 3000 + b"\nlast"
    (tmp_path / "in.gz").write_bytes(gzip.compress(text))
    dbshuf.shuffle(tmp_path / "in.gz", tmp_path / out, seed=SEED, memory="3GB")
    found = dbshuf.verify(tmp_path / "in.gz", tmp_path / out, seed=SEED, memory="3GB")
    assert (found.rows_out, found.order) == (9, "same")
    (tmp_path / "in.gz").write_bytes(gzip.compress(text.replace(b"\n\n", b"\n", 1)))
    found = failure(tmp_path / "in.gz", tmp_path / out)
    assert (found.missing, found.added) == (0, 1)


def test_a_result_that_is_another_one_each_time_is_told_as_that(table, tmp_path):
    """A sum of doubles depends on which thread was first; here on what random() gives."""
    pq.write_table(pq.read_table(table / "flat.parquet", columns=["i"]), tmp_path / "i.parquet")
    numbers = {"sql": "select i from lines", "memory": "3GB"}
    with pytest.raises(UsageError, match="without a column `id` cannot be checked"):
        dbshuf.verify(table / "flat.parquet", tmp_path / "i.parquet", seed=1, **numbers)
    pq.write_table(pa.table({"id": [1, 2]}), tmp_path / "id.parquet")
    numbers["sql"] = "select id from lines"
    with pytest.raises(UsageError, match="`id` is a column of the inputs cannot be checked"):
        dbshuf.verify(tmp_path / "id.parquet", tmp_path / "id.parquet", seed=1, **numbers)
    options = {"sql": "select random() as r from lines", "memory": "3GB"}
    dbshuf.shuffle(table / "flat.parquet", tmp_path / "o.parquet", **options)
    with pytest.raises(VerifyFailed, match="read again they were not the same"):
        dbshuf.verify(table / "flat.parquet", tmp_path / "o.parquet", **options)


@pytest.mark.parametrize("engine", ["duckdb", "sqlite"])
def test_a_store_is_compared_with_its_exports(tmp_path, engine):
    """Of lines that end with NUL, with a header; a lost one is named where it was ingested from."""
    store, out = tmp_path / f"rows.{engine}", tmp_path / "out.txt"
    lines = [b"%d" % number for number in range(2000)]
    (tmp_path / "in.txt").write_bytes(b"\0".join([b"head", *lines]) + b"\0")
    dbshuf.ingest(store, tmp_path / "in.txt", zero_terminated=True, header=1, memory="3GB")
    dbshuf.export(store, out, seed=SEED, where="line <> '7'", memory="3GB")
    options = {"where": "line <> '7'", "seed": SEED, "memory": "3GB"}
    assert dbshuf.verify(store, out, **options).rows_out == 1999
    assert dbshuf.verify(store, out, **options).order == "same"
    rows = out.read_bytes().split(b"\0")
    lost = rows.pop(5)
    out.write_bytes(b"\0".join(rows))
    found = failure(store, out, **options, show_rows=True)
    assert (found.missing, found.added) == (1, 0)
    assert found.first_missing[0].content == lost.decode()
    assert "in.txt` at byte" in found.first_missing[0].where


def test_json_lines_are_compared_as_they_are_or_as_columns(tmp_path):
    text = '{"a": 1, "b": [1, 2]}\n\n{"b": null,  "a": 2}\n{"a": 1, "b": [1, 2]}\n'
    (tmp_path / "in.jsonl").write_text(text)
    for out in ("o.jsonl", "o.parquet"):
        options = {"input_format": "json", "memory": "3GB", "seed": SEED}
        dbshuf.shuffle(tmp_path / "in.jsonl", tmp_path / out, **options)
        assert dbshuf.verify(tmp_path / "in.jsonl", tmp_path / out, **options).rows_in == 3


def test_shards_splits_headers_and_other_files_beside_them(tmp_path):
    for part in range(2):
        body = "".join(f"{part} {n}\n" for n in range(500))
        (tmp_path / f"in{part}").write_text("head\n" + body)
    inputs, out = [tmp_path / "in0", tmp_path / "in1"], tmp_path / "out"
    options = {"header": 1, "memory": "3GB"}
    dbshuf.shuffle(inputs, out, seed=SEED, shards=3, **options)
    for name in ("SHA256SUMS", "README.md", "_SUCCESS", ".hidden"):
        (out / name).write_text("no row\n")
    assert dbshuf.verify(inputs, out, seed=SEED, **options).rows_out == 1000
    (tmp_path / "other").write_text("tail\n0 1\n")
    with pytest.raises(VerifyFailed, match="header"):
        dbshuf.verify(tmp_path / "other", out, **options)
    dbshuf.shuffle(inputs, tmp_path / "split.txt", split="a=0.9,b=0.1", seed=SEED, **options)
    assert dbshuf.verify(inputs, tmp_path / "split.*.txt", **options).rows_out == 1000


# --- what cannot be compared -----------------------------------------------------------


def test_outputs_of_another_kind_are_told_apart(table, tmp_path):
    flat, nested = table / "flat.parquet", table / "nested.parquet"
    (tmp_path / "lines").write_text("a\n")
    with pytest.raises(VerifyFailed, match=r"the columns .*`i`.* the inputs `line`"):
        dbshuf.verify(tmp_path / "lines", flat, memory="3GB")
    with pytest.raises(VerifyFailed, match="the columns"):
        dbshuf.verify(flat, nested, memory="3GB")
    dbshuf.shuffle(flat, tmp_path / "o.parquet", select="f as i", seed=1, memory="3GB")
    with pytest.raises(VerifyFailed, match="`i` is double in the outputs, and int32"):
        dbshuf.verify(flat, tmp_path / "o.parquet", select="i", memory="3GB")


def test_damaged_and_missing_outputs_are_errors_of_their_own(table, tmp_path):
    flat = table / "flat.parquet"
    data = flat.read_bytes()
    (tmp_path / "cut.parquet").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputBroken, match=r"cut\.parquet"):
        dbshuf.verify(flat, tmp_path / "cut.parquet", memory="3GB")
    (tmp_path / "text.parquet").write_text("a\n")
    with pytest.raises(VerifyFailed, match="no Parquet file, as its name"):
        dbshuf.verify(flat, tmp_path / "text.parquet", memory="3GB")
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b"a\n" * 10_000)[:-9])
    with pytest.raises(InputBroken, match=r"cut\.gz"):
        dbshuf.verify(tmp_path / "cut.gz", tmp_path / "cut.gz", memory="3GB")
    with pytest.raises(InputMissing):
        dbshuf.verify(flat, tmp_path / "nothing", memory="3GB")
    with pytest.raises(UsageError, match="standard input"):
        dbshuf.verify(flat, "-", memory="3GB")
    with pytest.raises(UsageError, match="share"):
        dbshuf.verify(flat, flat, memory="3GB", sample="0%")
