"""--partition-by: folders of values that all readers understand, in the one order in each file."""

import datetime
import json
import os
import subprocess
import sys

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from in_process import ENGINES
from output_files import data_files

import dbshuf
from dbshuf.errors import OutputUnwritable, RowUnfit, UsageError, VerifyFailed
from dbshuf.manifest.document import Manifest

# Texts that a path, a URL or a glob takes for something else.
TEXTS = [
    *("en", "a b", "a/b", "x=y", "100%", "q?", "st*r", "[b]", "{c}", "c^d", "é雪", "+plus", "🙂"),
    *("a&b;c", '"q"', "it's", "\\bs", "tab\t", "nl\n", "..", ".hid", "_und", "NULL", "%41", "a:b"),
    *("~t", "#h", "a|b", "<x>", "trailing ", "x\0y", "\x7f", "a,b", "$d", "@", "!", "(p)"),
]
NULL_FOLDER = "lang=__HIVE_DEFAULT_PARTITION__"


def table(rows=2000):
    """Rows of five languages, one of them null and one rare, and of three years."""
    langs = np.array(["en", "de", "fr", None, "é/x"], object)
    chosen = np.random.default_rng(1).choice(5, rows, p=[0.7, 0.2, 0.05, 0.04, 0.01])
    return pa.table(
        {
            "lang": pa.array(langs[chosen]).dictionary_encode(),
            "text": pa.array([f"row {i}" for i in range(rows)]),
            "year": pa.array(2018 + np.arange(rows) % 3, pa.int16()),
        }
    )


@pytest.fixture
def run(home):
    """Shuffle in.parquet with seed 42 into folders of `lang`; return the directory."""
    pq.write_table(table(), home / "in.parquet", row_group_size=300)

    def shuffled(output="out/", inputs=("in.parquet",), **options):
        told = {"seed": "42", "memory": "3GB", "partition_by": "lang", "threads": 2, **options}
        dbshuf.shuffle([home / name for name in inputs], f"{home}/{output}", **told)
        return home / output

    return shuffled


def texts(folder):
    """The column `text` of all files of a folder, by their names."""
    read = [pq.ParquetFile(path).read()["text"].to_pylist() for path in data_files(folder)]
    return [text for one in read for text in one]


def in_order(home, where, **options):
    """The rows of the whole order for which a condition is true."""
    told = {"seed": 42, "memory": "3GB", **options}
    with dbshuf.stream(home / "in.parquet", **told) as reader:
        rows = pl.from_arrow(reader.read_all())
    return rows.filter(where)["text"].to_list()


def test_each_file_has_the_rows_of_its_value_in_the_order_of_the_seed(run, home):
    """By every engine the same bytes; the column lies in the folder and not in the file."""
    out = run()
    names = ["lang=de", "lang=en", "lang=fr", "lang=é%2Fx", NULL_FOLDER]
    assert sorted(name for name in os.listdir(out) if name[0] != "_") == sorted(names)
    for name, where in (
        ("lang=de", pl.col("lang") == "de"),
        (NULL_FOLDER, pl.col("lang").is_null()),
    ):
        assert texts(out / name) == in_order(home, where)
    one = pq.ParquetFile(out / "lang=en/part-00000-of-00001.parquet")
    assert one.schema_arrow.names == ["text", "year"]
    said = {str(path.relative_to(out)): path.read_bytes() for path in data_files(out)}
    for number, options in enumerate(ENGINES):
        other = run(f"other-{number}/", **options)
        found = {str(path.relative_to(other)): path.read_bytes() for path in data_files(other)}
        assert found == said, options


def test_readers_that_no_one_here_wrote_find_every_value_as_it_was(run, home):
    """Arrow, DuckDB, Polars and dbshuf decode what the folder's name encodes, and see nulls."""
    rows = [{"lang": text, "t": text} for text in [*TEXTS, None]]
    pq.write_table(pa.Table.from_pylist(rows * 2), home / "odd.parquet")
    out = run("odd/", ["odd.parquet"])
    assert len(data_files(out)) == len(rows)
    glob = str(out / "**/*.parquet")
    with dbshuf.stream(out, memory="3GB", hive=True) as reader:
        ours = reader.read_all().select(["t", "lang"])
    sql = "select t, lang from read_parquet(?, hive_partitioning = true)"
    found = {
        "pyarrow": ds.dataset(out, partitioning="hive").to_table(columns=["t", "lang"]),
        "duckdb": duckdb.sql(sql, params=[glob]).to_arrow_table(),
        "polars": pl.scan_parquet(glob, hive_partitioning=True).select("t", "lang").collect(),
        "dbshuf": ours,
    }
    for name, read in found.items():
        columns = [read["t"], read["lang"]]
        columns = [list(one if name == "polars" else one.to_pylist()) for one in columns]
        pairs = list(zip(*columns, strict=True))
        assert len(pairs) == 2 * len(rows), name
        assert all(value == text for text, value in pairs), name


def test_numbers_dates_and_booleans_are_read_back_as_such(run, home):
    """Two columns are two folders, in the order that was asked for."""
    days = [datetime.date(2024, 2, 28) + datetime.timedelta(i % 3) for i in range(30)]
    columns = {
        "n": pa.array([i % 2 - 1 for i in range(30)], pa.int8()),
        "day": pa.array(days),
        "ok": pa.array([i % 2 == 0 for i in range(30)]),
        "t": pa.array(range(30)),
    }
    pq.write_table(pa.table(columns), home / "typed.parquet")
    out = run("typed/", ["typed.parquet"], partition_by=["day", "n", "ok"])
    assert (out / "day=2024-02-29/n=-1/ok=false").is_dir() or (out / "day=2024-02-29").is_dir()
    sql = "select day, n, ok, t from read_parquet(?, hive_partitioning = true) order by t"
    found = duckdb.execute(sql, [str(out / "**/*.parquet")]).fetchall()
    assert [row[0] for row in found] == days
    assert [(row[1], str(row[2]).lower()) for row in found] == [
        (i % 2 - 1, str(i % 2 == 0).lower()) for i in range(30)
    ]
    with dbshuf.stream(out, memory="3GB") as reader:
        ours = reader.read_all()
    assert ours.schema.field("day").type == pa.date32()
    assert ours.schema.field("n").type == pa.int64()


def test_datasets_loads_the_rows_of_all_folders(run, home):
    """Its builder takes the directory as it is; in a child, since that import takes seconds."""
    script = (
        "import sys, datasets;"
        "print(len(datasets.load_dataset(sys.argv[1], split='train', cache_dir=sys.argv[2])))"
    )
    arguments = [sys.executable, "-c", script, str(run()), str(home / "cache")]
    ran = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert ran.stdout.split()[-1] == "2000"


def test_files_are_cut_within_a_folder(run, home):
    """By rows, by size, and N of each by equal ranges of the key: read by name they are one."""
    whole = texts(run() / "lang=en")
    cuts = {"r": {"shard_rows": 300}, "n": {"shards": 3}, "b": {"shard_bytes": "8KB"}}
    for name, cut in cuts.items():
        out = run(f"{name}/", **cut)
        assert texts(out / "lang=en") == whole
        assert len(data_files(out / "lang=en")) > 1
    counts = [pq.ParquetFile(path).metadata.num_rows for path in data_files(home / "r/lang=en")]
    assert set(counts[:-1]) == {300}
    assert len(data_files(home / "n/lang=fr")) == 3


def test_other_formats_and_sql_have_folders_too(run, home):
    """CSV, JSON lines, and lines that SQL makes columns of; one text column is text."""
    (home / "a.txt").write_bytes(b"".join(b"g%d line %d\n" % (i % 4, i) for i in range(100)))
    select = "split_part(line, ' ', 1) as g, line"
    out = run("t/", ["a.txt"], partition_by="g", select=select, format="txt")
    assert len(data_files(out)) == 4
    lines = (out / "g=g1/part-00000-of-00001.txt").read_bytes().splitlines(keepends=True)
    assert sorted(lines) == sorted(b"g1 line %d\n" % i for i in range(1, 100, 4))
    out = run("c/", format="csv.gz", partition_by=["year", "lang"])
    with dbshuf.stream(out, input_format="csv", memory="3GB") as reader:
        assert sorted(reader.read_all()["text"].to_pylist()) == sorted(texts(run()))
    (home / "a.jsonl").write_text('{"k": "x", "v": 1}\n{"v": 2}\n{"k": "x", "v": 3}\n')
    out = run("j/", ["a.jsonl"], partition_by="k", input_format="json", format="jsonl")
    one = (out / "k=x/part-00000-of-00001.jsonl").read_text().splitlines()
    assert sorted(map(json.dumps, map(json.loads, one))) == ['{"v": 1}', '{"v": 3}']


def test_samples_splits_and_epochs_are_those_of_the_whole_order(run, home):
    """A sample is chosen before rows are parted, by the same keys."""
    share = run("s/", sample="20%")
    assert texts(share / "lang=en") == in_order(home, pl.col("lang") == "en", sample="20%")
    each = run("p/", take=7, per="lang")
    assert {len(texts(each / name)) for name in ("lang=en", "lang=de", NULL_FOLDER)} == {7}
    assert texts(each / "lang=de") == in_order(home, pl.col("lang") == "de", take=7, per="lang")
    drawn = run("d/", with_replacement=500)
    assert sorted(texts(drawn)) == sorted(in_order(home, pl.lit(True), with_replacement=500))
    out = run("split/", split="a=0.5,b=0.5", stratify="lang")
    assert sorted(texts(out / "a") + texts(out / "b")) == sorted(texts(run()))
    assert abs(len(texts(out / "a/lang=en")) - len(texts(out / "b/lang=en"))) <= 1
    epochs = run("e/", epochs=2)
    assert texts(epochs / "epoch-0/lang=de") == texts(home / "out/lang=de")
    assert texts(epochs / "epoch-1") == texts(run("alone/", seed="42/epoch-1"))


def test_the_manifest_counts_all_files_and_readers_pass_over_it(run, home):
    """And damage to one of them is found."""
    out = run()
    found = Manifest.read(out / "_manifest.json")
    names = [str(path.relative_to(out)) for path in data_files(out)]
    assert [one.name for one in found.outputs] == names
    assert sum(one.rows for one in found.outputs) == found.row_sums.rows_in == 2000
    assert found.row_sums.sum_in == found.row_sums.sum_out
    assert {"_SUCCESS", "_SHA256SUMS"} < set(os.listdir(out))
    subprocess.run(["sha256sum", "-c", "--quiet", "_SHA256SUMS"], cwd=out, check=True)
    dbshuf.verify_files(out)
    os.truncate(out / "lang=fr/part-00000-of-00001.parquet", 10)
    with pytest.raises(VerifyFailed):
        dbshuf.verify_files(out)


def test_force_leaves_no_folder_of_a_value_that_is_gone(run, home):
    """Else a reader would see rows of two runs; what is not of a run stays."""
    out = run(shards=2)
    (out / "lang=fr/notes.txt").write_text("mine")
    run(where="lang = 'de'", force=True)
    found = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    assert found == [
        "_SHA256SUMS",
        "_SUCCESS",
        "_manifest.json",
        "lang=de/part-00000-of-00001.parquet",
        "lang=fr/notes.txt",
    ]


@pytest.mark.parametrize("to", ["lang=en", "."])
def test_folders_that_a_link_makes_one_are_refused_and_stay(run, home, to):
    """Of the values that lie there the rows of one would replace, or remove, those of another."""
    (home / "out/lang=en").mkdir(parents=True)
    (home / "out/lang=en/part-00000-of-00001.parquet").write_bytes(b"old")
    (home / "out/lang=de").symlink_to(to)
    with pytest.raises(OutputUnwritable, match="are one folder"):
        run(force=True)
    assert (home / "out/lang=en/part-00000-of-00001.parquet").read_bytes() == b"old"
    assert sorted(os.listdir(home / "out")) == ["lang=de", "lang=en"]


def test_what_a_link_calls_an_older_value_stays_if_it_is_written_to(run, home):
    """It was removed with the shards of older values, just after it was put there."""
    (home / "out").mkdir()
    for link, to in (("lang=english", "lang=en"), ("lang=any", ".")):
        (home / "out" / link).symlink_to(to)
    out = run(force=True)
    assert pq.ParquetFile(out / "lang=en/part-00000-of-00001.parquet").metadata.num_rows > 1000
    dbshuf.verify_files(out)


@pytest.mark.parametrize(
    ("form", "name"), [("parquet", "parquet"), ("csv", "csv"), ("arrow", "arrow")]
)
def test_without_rows_there_is_a_file_that_says_the_columns(form, name, run, home):
    """All of them, as no folder says any; rows of an older run are gone, and later ones stay."""
    run(format=form)
    out = run(where="false", format=form, force=True)
    (found,) = data_files(out)
    assert found == out / f"part-00000-of-00001.{name}"
    read = ds.dataset(out, partitioning="hive", format="ipc" if form == "arrow" else form)
    assert (read.schema.names, read.count_rows()) == (["lang", "text", "year"], 0)
    if form == "parquet":
        glob = str(out / "**/*.parquet")
        sql = "select * from read_parquet(?, hive_partitioning = true)"
        assert duckdb.sql(sql, params=[glob]).to_arrow_table().schema.names == read.schema.names
    run(format=form, force=True)
    assert not found.exists()


@settings(max_examples=25)
@given(
    values=st.lists(st.sampled_from(["a", "b", "c", None, "aa", "ü"]), max_size=60),
    engine=st.sampled_from(ENGINES),
    bits=st.sampled_from([0, 1, 63]),
)
def test_values_whose_hashes_collide_have_their_own_files(values, engine, bits, tmp_path_factory):
    """Whatever the hash says: rows of two values that come mixed are not."""
    top = tmp_path_factory.mktemp("collide")
    pq.write_table(
        pa.table({"v": pa.array(values, pa.string()), "n": range(len(values))}), top / "i"
    )
    told = {"seed": 1, "memory": "3GB", "partition_by": "v", **engine}
    with pytest.MonkeyPatch.context() as patch:
        if bits < 63:
            few = lambda batch: np.full(len(batch), bits, np.uint64)  # noqa: E731
            patch.setattr("dbshuf.order.sort_prefix.hashes_of_rows", few)
        dbshuf.shuffle(top / "i", f"{top}/o/", **told)
    dbshuf.shuffle(top / "i", top / "all.parquet", seed=1, memory="3GB")
    rows = pq.read_table(top / "all.parquet").to_pylist()
    for value in set(values):
        name = "__HIVE_DEFAULT_PARTITION__" if value is None else value
        file = pq.ParquetFile(top / f"o/v={name}/part-00000-of-00001.parquet")
        assert file.read()["n"].to_pylist() == [row["n"] for row in rows if row["v"] == value]
    assert len(data_files(top / "o")) == max(len(set(values)), 1)


def test_a_value_that_names_no_folder_ends_the_run_with_its_place(run, home):
    """And nothing is there."""
    for value in ("", "__HIVE_DEFAULT_PARTITION__", "x" * 300):
        pq.write_table(pa.table({"lang": ["a", value], "t": [1, 2]}), home / "bad.parquet")
        with pytest.raises(RowUnfit, match=r"bad.parquet` at row 1: --partition-by `lang`"):
            run("bad/", ["bad.parquet"])
        assert sorted(os.listdir(home)) == ["bad.parquet", "in.parquet"]


def test_folders_are_of_parquet_whatever_the_name_of_the_directory(run, home):
    """A dot in it is no ending."""
    dbshuf.shuffle(home / "in.parquet", f"{home}/v1.2/", partition_by="lang")
    assert {path.suffix for path in (home / "v1.2").rglob("part-*")} == {".parquet"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"take": 5}, "--take and --skip cut the one order"),
        ({"skip": 5}, "--take and --skip cut the one order"),
        ({"number": "n"}, "--number counts rows of the one order"),
        ({"engine": "spark"}, "a run on Spark orders by the key alone"),
        ({"work_dir": "w"}, "--work-dir keeps rows by their keys alone"),
        ({"card": True}, "--card describes what is in the files"),
        ({"weight": "year"}, "--weight orders all rows"),
        ({"partition_by": "no"}, "the rows have no such column"),
        ({"bloom": "lang"}, "--bloom `lang`: the output has no such column"),
        ({"output": "-"}, "--partition-by makes folders of a directory"),
    ],
)
def test_what_means_nothing_with_folders_is_refused(options, message, run, home):
    """In one sentence, and nothing is made."""
    told = {"partition_by": "lang", **options}
    output = told.pop("output", f"{home}/out/")
    with pytest.raises(UsageError, match=message):
        dbshuf.shuffle(home / "in.parquet", output, **told)
    assert os.listdir(home) == ["in.parquet"]


def test_many_values_need_few_files_and_little_memory(home, cli):
    """Bounded open files, whatever the values are; so many here that each would be one too many."""
    rows = pa.table({"user": pa.array(np.arange(3000) % 300), "t": pa.array(range(3000))})
    pq.write_table(rows, home / "in.parquet")
    arguments = (
        "shuffle",
        "in.parquet",
        "-o",
        "out/",
        "--partition-by",
        "user",
        "--memory",
        "500MB",
    )
    ran = cli(*arguments, nofile=(64, 64))
    assert ran.code == 0, ran.err
    assert len(list(home.glob("out/user=*/part-*"))) == 300


def test_plan_says_by_what_rows_are_parted(run, cli, home):
    """And that files are Parquet where nothing else is said."""
    told = cli("plan", "in.parquet", "-o", "out/", "--partition-by", "lang", "--json")
    found = json.loads(told.out)
    assert found["order_by"] == {"option": "--partition-by", "expression": "lang"}
    assert found["output"]["format"] == "parquet"
