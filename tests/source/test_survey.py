"""The look at the inputs: lines as long as they are, and errors that name the input."""

import errno
import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from packed import CODECS, pack
from pyarrow import feather

from dbshuf.errors import InputUnreadable
from dbshuf.source import survey
from dbshuf.source.head import common_header
from dbshuf.source.input import Input, Pipe
from dbshuf.source.inputs import resolve_inputs
from dbshuf.source.survey import survey_inputs

TEXT = b"".join(b"a line of forty bytes, number %9d\n" % number for number in range(6000))


def piped(data, codec=None, raw=None):
    return Input(0, "in", None, codec, None, pipe=Pipe(raw or io.BytesIO(), data))


@pytest.mark.parametrize("codec", ["gzip", "zstd", "xz", "lz4"])
@pytest.mark.parametrize("is_cut", [False, True])
def test_a_compressed_pipe_is_sampled_in_what_was_read_of_it(codec, is_cut):
    """It would else count as lines of one byte, and a small --memory be refused."""
    data = pack(codec, TEXT * 4)
    found = survey_inputs([piped(data[: len(data) * 3 // 4] if is_cut else data, codec)], "lines")
    assert 39 < found.mean_line_bytes < 41
    assert found.text_bytes is None
    assert not found.is_exact


def test_a_block_that_is_not_complete_is_no_error_and_no_sample():
    """bzip2 gives nothing before it has a whole block, of 900 kB of text."""
    found = survey_inputs([piped(pack("bzip2", TEXT)[:2000], "bzip2")], "lines")
    assert 20 < found.mean_line_bytes < 1000


@pytest.mark.parametrize("codec", [None, *CODECS])
def test_where_nothing_was_seen_lines_are_taken_for_ordinary_ones(codec, tmp_path):
    """An empty input fits in any memory."""
    data = b"" if codec is None else pack(codec, b"")
    (tmp_path / "empty").write_bytes(data)
    for one in (piped(data, codec), *resolve_inputs([str(tmp_path / "empty")])):
        assert 20 < survey_inputs([one], "lines").mean_line_bytes < 1000


def test_a_sample_without_a_line_end_counts_as_one_line():
    """Its line is at least that long."""
    assert survey_inputs([piped(b"x" * 5000)], "lines").mean_line_bytes == 5000


@pytest.mark.parametrize("codec", [None, "zstd"])
def test_small_inputs_of_short_lines_say_little_of_the_others(codec, tmp_path):
    """Lines are as long as most of the text has them, and memory is laid out for as many."""
    (tmp_path / "a").write_bytes(b"x\n" * 20_000)
    (tmp_path / "b").write_bytes(TEXT * 50 if codec is None else pack(codec, TEXT * 50))
    (tmp_path / "c").write_bytes(b"\n" * 30_000)
    names = [str(tmp_path / name) for name in "abc"]
    text_bytes, lines = 40_000 + 50 * len(TEXT) + 30_000, 20_000 + 300_000 + 30_000
    found = survey_inputs(resolve_inputs(names), "lines")
    assert found.mean_line_bytes == pytest.approx(text_bytes / lines, rel=0.25)


class Broken(io.BytesIO):
    def read(self, size=-1, /):
        raise OSError(errno.EIO, "broken disk")

    def readinto(self, view, /):
        raise OSError(errno.EIO, "broken disk")


@pytest.mark.parametrize("codec", [None, "gzip"])
def test_a_pipe_that_breaks_while_its_header_is_read_is_named(codec):
    """No bare OSError, which would look like a bug."""
    with pytest.raises(InputUnreadable, match="cannot read `in`: broken disk"):
        common_header([piped(b"no line end", codec, Broken())], 1, b"\n")


@pytest.mark.parametrize("codec", [None, "gzip", "zstd"])
def test_a_file_that_breaks_while_it_is_looked_at_is_named(codec, tmp_path, monkeypatch):
    """Neither for its header nor for its sample."""
    (tmp_path / "in").write_bytes(TEXT if codec is None else pack(codec, TEXT))
    inputs = resolve_inputs([str(tmp_path / "in")])
    monkeypatch.setattr("dbshuf.source.input.open_raw", lambda path: Broken())
    with pytest.raises(InputUnreadable, match="in`: broken disk"):
        common_header(inputs, 1, b"\n")
    if codec:
        with pytest.raises(InputUnreadable, match="in`: broken disk"):
            survey_inputs(inputs, "lines")


@pytest.mark.parametrize("name", ["in.parquet", "in.arrow"])
def test_rows_are_as_long_however_many_columns_are_looked_at_at_once(name, tmp_path, monkeypatch):
    """A row group that is too much for one look is looked at column by column."""
    count = 30_000
    columns = {"n": range(count), "text": ["x" * (n % 90) for n in range(count)]}
    rows = pa.table({**columns, "pair": [{"a": n, "b": "y"} for n in range(count)]})
    if name == "in.parquet":
        pq.write_table(rows, tmp_path / name)
    else:
        feather.write_feather(rows, tmp_path / name, compression="lz4")
    inputs, kind = resolve_inputs([str(tmp_path / name)]), name.partition(".")[2]
    at_once = survey_inputs(inputs, kind)
    monkeypatch.setattr(survey, "_LOOK_BYTES", 1)
    apart = survey_inputs(inputs, kind)
    assert apart.mean_line_bytes == pytest.approx(at_once.mean_line_bytes, rel=0.1)
    assert apart.reader_bytes >= at_once.reader_bytes * 0.8
