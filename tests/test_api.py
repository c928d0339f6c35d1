"""The functions of the library, where the promise tests do not look."""

import atexit
import json
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest

import dbshuf
from dbshuf import api
from dbshuf.errors import UsageError

READ = """
import dbshuf, sys
with dbshuf.stream("in.txt", seed="1", memory="1GB") as reader:
    print(reader.read_all().num_rows, file=sys.stderr)
"""


class Lines:
    def __repr__(self) -> str:
        return "of several\nlines"


def test_a_stream_needs_no_standard_output(tmp_path):
    """A service has closed it, and the lines go nowhere near it."""
    (tmp_path / "in.txt").write_bytes(b"b\na\n")
    command = ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-c", READ]
    ran = subprocess.run(command, cwd=tmp_path, stderr=subprocess.PIPE, check=False)
    assert (ran.returncode, ran.stderr) == (0, b"2\n")


def test_streams_leave_nothing_to_do_at_exit(tmp_path):
    """A stream an epoch, for weeks: the process must not grow by each."""
    (tmp_path / "in.txt").write_bytes(b"b\na\n")
    counts = []
    for _ in range(3):
        with dbshuf.stream(tmp_path / "in.txt", memory="2GB") as reader:
            assert reader.read_all().num_rows == 2
        counts.append(atexit._ncallbacks())
    assert len(set(counts)) == 1


@pytest.mark.parametrize(
    ("function", "given"),
    [
        (api.stream, {"where": 1}),
        (api.stream, {"number": b"n"}),
        (api.stream, {"memory": 3.5}),
        (api.stream, {"temp_dir": "a\0b"}),
        (api.stream, {"temp_dir": "a" * 5_000}),
        (api.stream, {"temp_dir": b"temp"}),
        (api.stream, {"include": 1}),
        (api.stream, {"include": [1]}),
        (api.stream, {"input_format": ["txt"]}),
        (lambda name, **given: api.query(name, "from lines", **given), {"temp_dir": 1}),
        (api.stream, {"include": np.array(3)}),
        (api.stream, {"where": Lines()}),
        (api.stream, {"binary": np.array([1, 2])}),
        (api.stream, {"binary": 2.5}),
        (api.stream, {"hive": []}),
        (api.stream, {"threads": True}),
        (api.stream, {"take": pa.scalar("3")}),
        (api.stream, {"header": np.array([1, 2])}),
        (api.stream, {"sample": Fraction(5)}),
        (api.stream, {"seed": b"42"}),
        (api.stream, {"seed": True}),
        (api.stream, {"seed": [42]}),
        (api.stream, {"rank": None}),
        (api.stream, {"drop_last": "no"}),
        (api.stream, {"ranks": 2}),
        (api.query, {"sql": None}),
        (api.query, {"sql": b"from lines"}),
        (lambda name, **given: api.ingest("a.db", name, **given), {"engine": []}),
        (lambda name, **given: api.ingest("a.db", name, **given), {"pack": "yes"}),
        (lambda name, **given: api.export("a\0b", name, **given), {}),
        (lambda name, **given: api.report(name, "page", **given), {"sample_rows": {}}),
        (lambda name, **given: api.report(name, "page", **given), {"manifest": "a\0b"}),
        (lambda name, **given: api.verify(name, name, **given), {"show_rows": "yes"}),
        (api.verify_files, {"memory": ...}),
        (api.verify_files, {"manifest": "a\0b"}),
        (lambda name, **given: api.ingest("a" * 300, name, **given), {}),
        (lambda name, **given: api.shuffle(name, "a\0b", **given), {}),
        (lambda name, **given: api.verify(name, 7, **given), {}),
    ],
)
def test_a_value_of_another_kind_is_refused_in_one_sentence(tmp_path, function, given):
    (tmp_path / "in.txt").write_bytes(b"a\nb\n")
    with pytest.raises(UsageError) as caught:
        list(function(str(tmp_path / "in.txt"), **given))
    assert "\n" not in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    "kind", [np.int8, np.uint64, np.int64, np.array, pa.scalar], ids=lambda kind: kind.__name__
)
def test_numbers_of_numpy_are_numbers(tmp_path, kind):
    """Those of few bits too, which would run over in sums and products."""
    (tmp_path / "in.txt").write_bytes(b"".join(b"%d\n" % number for number in range(500)))
    names = ["threads", "header", "skip", "take", "seed", "batch_rows", "world_size", "rank"]
    plain = dict(zip(names, [2, 1, 100, 120, 7, 100, 1, 0], strict=True))
    one, other = (
        [batch["line"].to_pylist() for batch in api.stream(tmp_path / "in.txt", **given)]
        for given in (plain, {name: kind(value) for name, value in plain.items()})
    )
    assert one == other
    assert list(map(len, one)) == [100, 20]


def test_what_is_none_is_not_given(tmp_path):
    (tmp_path / "in.txt").write_bytes(b"a\nb\n")
    given = dict.fromkeys(["engine", "schema", "skip", "header", "strategy", "force", "where"])
    assert api.shuffle(tmp_path / "in.txt", tmp_path / "out", **given).rows == 2


def test_sizes_and_shares_of_numpy_are_written_down(tmp_path):
    """The manifest has the options as JSON, which knows no numbers of numpy."""
    (tmp_path / "in.txt").write_bytes(b"a\nb\n")
    api.shuffle(
        tmp_path / "in.txt",
        tmp_path / "out.parquet",
        manifest=tmp_path / "out.json",
        memory=np.int64(2_000_000_000),
        row_group_bytes=np.uint32(1 << 20),
        sample=np.float32(0.5),
        cdc=np.True_,
    )
    options = json.loads((tmp_path / "out.json").read_text())["options"]
    assert (options["row_group_bytes"], options["sample"]) == (1 << 20, 0.5)
    assert options["cdc"] is True


def test_several_names_may_be_in_any_collection(tmp_path):
    (tmp_path / "in.txt").write_bytes(b"a\nb\n")
    for names in ((), ["*.txt"], {"*.txt"}, "*.txt"):
        assert api.stream([tmp_path], include=names, exclude=()).read_all().num_rows == 2


@pytest.mark.parametrize(
    "wrong", [None, {"given": 1}, {"given": "x"}, {"options": None}, {"options": 3}], ids=str
)
def test_a_state_that_is_none_is_refused(tmp_path, wrong):
    (tmp_path / "in.txt").write_bytes(b"a\nb\n")
    rows = api.stream(str(tmp_path / "in.txt"), seed=1, rank=0)
    with pytest.raises(UsageError, match="no state of a stream"):
        rows.load_state_dict(wrong and {**rows.state_dict(), **wrong})


def test_a_progress_that_cannot_be_told_is_refused(corpus, home):
    with pytest.raises(UsageError, match="progress `3` has not the methods"):
        dbshuf.shuffle([corpus("in.txt", b"a\n")], output=home / "out.txt", progress=3)
    assert not (home / "out.txt").exists()
    dbshuf.shuffle([home / "in.txt"], output=home / "out.txt", progress=None)
