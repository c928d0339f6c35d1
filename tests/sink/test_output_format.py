"""The name of an output, --format and --compression say the same, or the run does not begin."""

from pathlib import Path

import pytest

from dbshuf.errors import UsageError
from dbshuf.sink import FORMATS, format_of
from dbshuf.sink.output_format import codec_of, gzip_level

BY_NAME = {
    "a": "txt",
    "a.TXT": "txt",
    "a.log": "txt",
    "a.txt.gz": "txt.gz",
    "a.GZ": "txt.gz",
    "b.zst": "txt.zst",
    "c.gz.bak": "txt",
    "c.csv": "csv",
    "c.CSV.gz": "csv.gz",
    "c.tsv.zst": "tsv.zst",
    "d.jsonl": "jsonl",
    "d.ndjson.Gz": "jsonl.gz",
    "d.v2.jsonl": "jsonl",
    "d.json": "txt",
    "e.parquet": "parquet",
    "e.Arrow": "arrow",
    "e.feather": "arrow",
    ".csv": "txt",
}


@pytest.mark.parametrize("name", BY_NAME)
def test_the_format_is_the_end_of_the_name(name):
    """A name says what a user expects in the file."""
    assert format_of(Path("some.parquet.dir", name), None) == BY_NAME[name]


def test_a_given_format_overrules_the_name():
    """--format is for stdout, for directories, and for those who mean it."""
    assert format_of(None, None) == "txt"
    assert format_of(Path("a.gz"), "parquet") == "parquet"
    assert [format_of(None, name) for name in FORMATS] == list(FORMATS)
    with pytest.raises(UsageError, match="docx") as caught:
        format_of(Path("a"), "docx")
    assert "jsonl.zst" in caught.value.hint


@pytest.mark.parametrize("name", ["a.parquet.gz", "a.arrow.zst"])
def test_a_file_that_compresses_inside_is_not_compressed_again(name):
    """No reader opens Parquet in gzip."""
    with pytest.raises(UsageError, match="inside") as caught:
        format_of(Path(name), None)
    assert "--compression" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "given", "compression", "want"),
    [
        (None, "csv", "gzip", "csv.gz"),
        ("shards", "jsonl", "zstd", "jsonl.zst"),
        ("shards", None, "gzip", "txt.gz"),
        ("shards", "txt", "none", "txt"),
        ("a.csv.gz", None, "gzip", "csv.gz"),
        ("a.csv.gz", "csv", "gzip", "csv.gz"),
        ("a.csv", None, "none", "csv"),
        (None, "txt.zst", "zstd", "txt.zst"),
        ("a.csv.gz", None, "gzip:9", "csv.gz"),
        ("shards", "txt", "gzip:1", "txt.gz"),
    ],
)
def test_compression_of_text_says_what_the_name_leaves_open(name, given, compression, want):
    """Shards and pipes have no suffix to say it."""
    assert format_of(name and Path(name), given, compression) == want


@pytest.mark.parametrize(
    ("name", "given", "compression"),
    [
        ("a.csv.gz", None, "zstd"),
        ("a.csv.gz", None, "none"),
        ("a.csv", None, "gzip"),
        ("a.txt", "csv", "gzip"),
        ("a.zst", "txt.gz", "zstd"),
        (None, "jsonl.gz", "none"),
    ],
)
def test_compression_that_contradicts_the_name_is_refused(name, given, compression):
    """`out.csv` in gzip would surprise the next reader."""
    with pytest.raises(UsageError, match=f"--compression {compression} contradicts"):
        format_of(name and Path(name), given, compression)


@pytest.mark.parametrize("compression", ["snappy", "gzip:10", "zstd:9", "", "GZIP"])
def test_compression_that_text_does_not_have_is_refused(compression):
    """The message lists what there is."""
    with pytest.raises(UsageError, match="not for csv") as caught:
        format_of(None, "csv", compression)
    assert caught.value.hint.startswith("one of gzip, zstd, none; gzip:1 to gzip:9")


@pytest.mark.parametrize(
    ("kind", "compression", "want"),
    [
        ("parquet", None, ("zstd", 1)),
        ("parquet", "zstd", ("zstd", 1)),
        ("parquet", "zstd:22", ("zstd", 22)),
        ("parquet", "brotli:0", ("brotli", 0)),
        ("parquet", "snappy", ("snappy", None)),
        ("parquet", "none", ("none", None)),
        ("arrow", None, ("none", None)),
        ("arrow", "lz4", ("lz4", None)),
        ("arrow", "zstd:3", ("zstd", 3)),
    ],
)
def test_files_of_columns_take_a_codec_and_a_level(kind, compression, want):
    """zstd at level 1 is the default of Parquet."""
    assert codec_of(kind, compression) == want
    assert format_of(None, kind, compression) == kind


@pytest.mark.parametrize(
    ("kind", "compression"),
    [
        ("parquet", "lzma"),
        ("parquet", "zstd:23"),
        ("parquet", "zstd:0"),
        ("parquet", "zstd:"),
        ("parquet", "zstd:fast"),
        ("parquet", "snappy:1"),
        ("parquet", ""),
        ("arrow", "gzip"),
        ("arrow", "lz4:1"),
    ],
)
def test_a_codec_or_level_that_is_not_there_is_refused_before_any_work(kind, compression):
    """Not by pyarrow, once the rows have been read."""
    with pytest.raises(UsageError, match="--compression"):
        format_of(None, kind, compression)


def test_a_level_of_gzip_is_the_one_that_text_is_packed_with():
    assert [gzip_level(said) for said in (None, "gzip", "gzip:1", "gzip:9")] == [6, 6, 1, 9]
