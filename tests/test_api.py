"""The functions of the library, where the promise tests do not look."""

import atexit
import subprocess
import sys

import pytest

import dbshuf
from dbshuf import api
from dbshuf.errors import UsageError

READ = """
import dbshuf, sys
with dbshuf.stream("in.txt", seed="1", memory="1GB") as reader:
    print(reader.read_all().num_rows, file=sys.stderr)
"""


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
