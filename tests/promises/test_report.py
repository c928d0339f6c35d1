"""`dbshuf report`: rows are found in the files themselves, whatever their form, within --memory."""

import json
import os
import re
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import dbshuf
from dbshuf.errors import (
    ExtraMissing,
    InputMissing,
    ManifestInvalid,
    OutputUnwritable,
    UsageError,
    VerifyFailed,
)
from dbshuf.manifest.document import InputEntry, Manifest, RowSums
from dbshuf.reporting import report as reporting

ROWS = 1200


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """The same rows as lines, JSON lines, CSV and Parquet, in two inputs each."""
    folder = tmp_path_factory.mktemp("sources")
    for kind in ("lines", "json", "csv", "parquet"):
        (folder / kind).mkdir()
    for part in range(2):
        rows = [{"n": 10_000 * part + i, "text": f'a "{part}", {i}\nb'} for i in range(ROWS // 2)]
        lines = [f"{row['n']} a line\n" for row in rows]
        (folder / "lines" / f"{part}.txt").write_text("".join(lines))
        objects = [json.dumps(row) + "\n" for row in rows]
        (folder / "json" / f"{part}.jsonl").write_text("".join(objects))
        table = pa.Table.from_pylist(rows)
        pq.write_table(table, folder / "parquet" / f"{part}.parquet", row_group_size=100)
        texts = ['{},"{}"\n'.format(row["n"], row["text"].replace('"', '""')) for row in rows]
        (folder / "csv" / f"{part}.csv").write_text("n,text\n" + "".join(texts))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def undrawn(monkeypatch):
    """Pages without pictures, which take three quarters of the time, for tests of all else."""
    from matplotlib.figure import Figure

    monkeypatch.setattr(Figure, "savefig", lambda self, out, **_: out.write("<svg ></svg>"))


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    ("kind", "output", "options", "rows"),
    [
        ("lines", "out.txt.zst", {"where": "bytes >= 10"}, ROWS - 100),
        ("lines", "out.parquet", {"select": "upper(line) as line, source"}, ROWS),
        ("json", "out.jsonl.gz", {}, ROWS),
        ("json", "out.csv", {"input_format": "json", "where": "n % 2 = 0"}, ROWS // 2),
        ("csv", "out.jsonl", {"input_format": "csv"}, ROWS),
        ("parquet", "out.csv", {}, ROWS),
        ("parquet", "out.arrow", {"select": "text, n"}, ROWS),
    ],
)
def test_rows_are_found_whatever_form_they_have(  # noqa: PLR0917
    kind, output, options, rows, sources, home
):
    """Compressed, filtered, reshaped, as text or as columns: what is written is found where it
    came from, as `verify` does.
    """
    dbshuf.shuffle(sources / kind, home / output, seed="5", **options)
    page = home / "report.html"
    result = dbshuf.report(home / output, page, inputs=sources / kind, **options)
    assert (result.rows, result.sampled, result.found) == (rows, rows, rows)
    assert not result.is_suspect
    assert min(result.p_values.values()) > 0.001


def test_the_command_says_what_it_found_and_never_writes_half_a_page(cli, corpus, home):
    """A page on standard output, the verdict on standard error; what fails leaves the old page."""
    corpus("in/a.txt", b"".join(b"%d a row\n" % row for row in range(2500)))
    corpus("in/b.txt", b"".join(b"%d b row\n" % row for row in range(2500)))
    assert cli("shuffle", "in/", "-o", "out/", "--shards", 3, "--seed", 1).code == 0
    ran = cli("report", "in/", "out/")
    assert ran.code == 0
    assert ran.out.startswith(b"<!DOCTYPE html>")
    assert ran.out.endswith(b"</html>\n")
    assert re.fullmatch(
        r"dbshuf: 5,000 rows, 5,000 sampled, 5,000 found in the inputs; it may well be uniform:"
        r" smallest p-value 0\.\d+ \(\w+\); \d+\.\d\d s, peak memory \d+ MB\n",
        ran.err,
    ), ran.err
    assert cli("report", "in/", "out/", "-o", "page.html", "-q").err == ""
    page = home / "page.html"
    assert page.read_bytes() == ran.out  # nothing on it depends on when and where it was made
    ran = cli("report", "in/", "in/", "-o", "second.html")
    assert "this is no uniform shuffle: smallest p-value 0 (" in ran.err
    (home / "in/a.txt").unlink()
    os.symlink("nowhere", home / "in/a.txt")
    ran = cli("report", "in/", "out/", "-o", "page.html")
    assert ran.code == InputMissing.exit_code
    assert page.read_bytes().endswith(b"</html>\n")
    assert sorted(os.listdir(home)) == ["in", "out", "page.html", "second.html"]


def test_an_output_alone_shows_what_it_can_and_says_what_is_missing(sources, home):
    dbshuf.shuffle(sources / "lines", home / "out", seed="5", shards=2)
    (home / "out/_manifest.json").unlink()
    result = dbshuf.report(home / "out", home / "page.html")
    assert (result.rows, result.found, result.p_values) == (ROWS, None, {})
    page = (home / "page.html").read_text()
    assert re.findall(r'<figure id="figure-(\w+)"', page) == ["lengths", "shards"]
    assert "name the inputs before the output, as in `dbshuf report corpus/ out/`" in page


def _manifest(files, options, later_ns=0):
    """The manifest of a shuffle of these files, as they were `later_ns` ago."""
    found = [(one, one.stat()) for one in files]
    entries = [
        InputEntry(os.fspath(one), at.st_size, at.st_mtime_ns - later_ns, 1, None, "why")
        for one, at in found
    ]
    sums = RowSums("f", 7_654_321, "0" * 16, 7_654_321, "0" * 16)
    made = Manifest({"dbshuf": "0.1"}, 1, "a <seed>", "line", "memory", options, entries, [], sums)
    return made.dump()


@pytest.mark.usefixtures("undrawn")
def test_an_output_with_a_manifest_needs_no_inputs_named(sources, home):
    """Facts of the run are shown, and its inputs read as it did, if they are as it found them."""
    top, page = sources / "lines", home / "page.html"
    files, named = sorted(top.iterdir()), {"inputs": [os.fspath(top)]}
    dbshuf.shuffle(top, home / "out", seed="a <seed>", shards=2, where="bytes >= 10")
    assert dbshuf.report(home / "out", page).found == ROWS - 100
    assert dbshuf.report(home / "out", page, where="bytes >= 10", format="txt").found == ROWS - 100
    for told in ({"where": "bytes > 10"}, {"zero_terminated": True}, {"exclude": "1.txt"}):
        with pytest.raises(UsageError, match="of which none is named, and the run"):
            dbshuf.report(home / "out", page, **told)
    (home / "run.json").write_bytes(_manifest(files, {**named, "where": "bytes >= 10"}))
    result = dbshuf.report(home / "out", page, manifest=home / "run.json")
    assert result.found == result.rows == ROWS - 100
    for fact in ("a &lt;seed&gt;", "7,654,321", "where = bytes &gt;= 10"):
        assert f"<dd>{fact}</dd>" in page.read_text()
    for data, why in (
        (_manifest(files, named, 1), f"`{files[0]}` has another size or time"),
        (_manifest(files[:1], named), "2 files instead of 1"),
        (_manifest(files, {"inputs": ["-"]}), "one is standard input"),
        (_manifest(files, {**named, "sql": "select"}), "--sql made the rows"),
        (_manifest(files, {"inputs": ["gone"]}), "they cannot be read again: no such file"),
    ):
        (home / "out/_manifest.json").write_bytes(data)
        assert dbshuf.report(home / "out", page).found is None
        assert why in page.read_text()
    (home / "out/_manifest.json").write_bytes(data.replace(b"memory", b"memoir"))
    with pytest.raises(ManifestInvalid, match="was changed"):
        dbshuf.report(home / "out", page)


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"weight": "bytes"}, "--weight puts some rows earlier than others"),
        ({"group": "bytes"}, "--group keeps rows together"),
    ],
)
def test_an_order_that_is_not_meant_to_be_uniform_is_not_tested_for_it(options, why, sources, home):
    dbshuf.shuffle(sources / "lines", home / "out", shards=2, seed=1, **options)
    assert dbshuf.report(home / "out", home / "page.html").found is None
    assert why in (home / "page.html").read_text()


@pytest.mark.usefixtures("undrawn")
def test_rows_that_have_no_one_place_are_left_out_and_counted(home):
    """Lines that the inputs hold twice, one that the output holds twice, and one that is edited."""
    lines = [f"line {row}\n" for row in range(3000)]
    (home / "in.txt").write_text("".join([*lines, *lines[:100]]))
    written = [*lines, *lines[:100]]
    written[2000], written[2001] = "edited\n", lines[2002]
    (home / "out.txt").write_text("".join(written))
    result = dbshuf.report(home / "out.txt", home / "page.html", inputs=home / "in.txt")
    assert (result.sampled, result.found) == (3100, 3100 - 200 - 1 - 2)
    page = (home / "page.html").read_text()
    assert "202 that the inputs or the output hold several times" in page
    assert "1 of 3,100 sampled rows are in none of the inputs" in page


def test_of_a_large_output_a_sample_is_looked_at_and_named(home):
    """The sample is the same in every run, and a block shuffle is seen in it."""
    lines = [f"line {row}\n" for row in range(40_000)]
    (home / "in.txt").write_text("".join(lines))
    blocks = [lines[at : at + 100] for at in range(0, len(lines), 100)]
    order = sorted(range(len(blocks)), key=lambda block: hash((block, 1)))
    (home / "out.txt").write_text("".join(line for block in order for line in blocks[block]))
    for page in ("one.html", "two.html"):
        result = dbshuf.report(
            home / "out.txt", home / page, inputs=home / "in.txt", sample_rows=2000
        )
    assert 2000 <= result.sampled < 2008
    assert result.found == result.sampled
    assert result.p_values["neighbours"] < 1e-100
    page = (home / "one.html").read_text()
    assert f"{result.sampled:,} rows, 5.0% of all" in page
    assert page == (home / "two.html").read_text()


def test_memory_stays_under_the_cap(measured, home):
    """40 MB of lines under 270 MB; what is too little for drawing is told at once."""
    rows = (b"%d %s\n" % (row, b"x" * 120) for row in range(300_000))
    (home / "in.txt").write_bytes(b"".join(rows))
    shutil.copyfile(home / "in.txt", home / "out.txt")
    ran = measured("report", "in.txt", "out.txt", "-o", "page.html", "--memory", "270MB")
    assert ran.code == 0, ran.err
    assert ran.peak_rss_bytes <= 270_000_000
    ran = measured("report", "in.txt", "out.txt", "-o", "page.html", "--memory", "150MB")
    assert ran.code == 11
    assert "drawing 100,000 rows takes" in ran.err


def test_what_cannot_be_done_is_told(sources, home, monkeypatch):
    """What is missing, and how to get it; nothing is written."""
    lines, page = sources / "lines", home / "page.html"
    with pytest.raises(VerifyFailed, match="have the columns"):
        dbshuf.report(sources / "parquet", page, inputs=lines)
    with pytest.raises(UsageError, match="`-` is no output"):
        dbshuf.report("-", page, inputs=lines)
    with pytest.raises(UsageError, match=r"--where says something of .* none is known"):
        dbshuf.report(lines, page, where="bytes > 3")
    with pytest.raises(UsageError, match="report takes no `shards`"):
        dbshuf.report(lines, page, shards=2)
    with pytest.raises(UsageError, match="a report is written to this machine"):
        dbshuf.report(lines, "s3://bucket/page.html")
    with pytest.raises(UsageError, match="would be read as a part of the output"):
        dbshuf.report(lines, lines / "page.html")
    for name, given in (
        (home / "same.txt", {}),
        (lines / "1.txt", {}),
        (home / "same.json", {"manifest": home / "same.json"}),
    ):
        dbshuf.shuffle(lines, home / "same.txt", manifest=home / "same.json", memory="3GB")
        with pytest.raises(UsageError, match="the page would replace `"):
            dbshuf.report(home / "same.txt", name, inputs=lines, **given)
    with pytest.raises(OutputUnwritable, match="there is no directory"):
        dbshuf.report(lines, home / "nowhere/page.html")
    dbshuf.ingest(home / "rows.duckdb", lines, memory="3GB")
    with pytest.raises(UsageError, match="is a store, and rows in it have no places"):
        dbshuf.report(lines, page, inputs=home / "rows.duckdb")
    statement = "select line from lines where bytes > 3"
    dbshuf.shuffle(lines, home / "few", shards=2, sql=statement, memory="3GB")
    with pytest.raises(UsageError, match="was made by --sql"):
        dbshuf.report(home / "few", page, inputs=lines)
    monkeypatch.setattr(reporting, "find_spec", lambda name: None if name == "scipy" else name)
    with pytest.raises(ExtraMissing, match="a report needs scipy") as caught:
        dbshuf.report(lines, page)
    assert caught.value.hint == "pip install 'dbshuf[report]'"
    assert not page.exists()


def test_an_output_without_rows_has_a_page(home):
    (home / "in.txt").write_bytes(b"")
    (home / "out.txt").write_bytes(b"")
    result = dbshuf.report(home / "out.txt", home / "page.html", inputs=home / "in.txt")
    assert (result.rows, result.found, set(result.p_values.values())) == (0, 0, {None})
    assert "The output has no rows." in (home / "page.html").read_text()
