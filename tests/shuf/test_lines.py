"""Lines: each once, in the one order of a seed, whichever way their number sends them."""

import collections
import itertools
import os

import numpy as np
import pytest
import reference
from shuf_call import call

from dbshuf.base.process_memory import available_bytes
from dbshuf.shuf import head, large, run, small

FEW = b"one\n\ntwo\r\nthree \xff\0\none\nlast without"
MANY = b"".join(b"%d %s\n" % (n, b"x" * (n % 7)) for n in range(3000))


@pytest.fixture(params=["small", "large", "beyond"])
def way(request, monkeypatch):
    """Send some kB where some MB, GB or more than memory would go."""
    if request.param != "small":
        monkeypatch.setattr(small, "MOST_LINES", 2)
        monkeypatch.setattr(run, "_FIRST_BYTES", 10)
        monkeypatch.setattr(run, "_HEAD_BYTES", 10)
        for name in ("_PIECE_BYTES", "_READ_BYTES", "_PART_BYTES"):
            monkeypatch.setattr(large, name, 1000)
        monkeypatch.setattr(head, "_READ_BYTES", 1000)
        monkeypatch.setattr(head, "_STEP_BYTES", 300)
        monkeypatch.setattr(head, "_SPARE_ROWS", 10)
    if request.param == "beyond":
        monkeypatch.setattr(large, "memory_limit", lambda: 3000)
        monkeypatch.setattr(head, "memory_limit", lambda: 3000)
    return request.param


@pytest.mark.parametrize("text", [FEW, MANY, b"\n\n", b"x"], ids=["few", "many", "empty", "one"])
def test_the_order_is_that_of_dbshuf_shuffle(way, text, tmp_path):
    """`shuf` of a file, of a pipe and `-n` of both show the same order, as `shuffle --seed`."""
    (tmp_path / "in").write_bytes(text)
    order = reference.shuffled([text], "7")
    for one in (call("--random-seed=7", tmp_path / "in"), call("--seed", 7, "-", data=text)):
        assert (one.code, one.out, one.err) == (0, order, "")
    lines = order.splitlines(keepends=True) if b"\r" not in order else None
    for count in (1, 40, 2999) if lines else ():
        one = call("--seed=7", f"-n{count}", tmp_path / "in")
        assert one.out == b"".join(lines[:count])
        one = call("--seed=7", "-n", count, data=text)
        if way == "beyond" and len(lines) == 3000 and count == 2999:
            assert (one.code, one.err) == (1, "shuf: memory exhausted\n")  # nothing to go back to
        else:
            assert one.out == b"".join(lines[:count])


def test_lines_may_end_with_nul(way):
    text = MANY.replace(b"\n", b"\0") + b"a\nb"
    assert call("-z", "--seed=1", data=text).out == reference.shuffled([text], "1", b"\0")


def test_bytes_that_look_compressed_are_lines(way, tmp_path):
    """GNU shuf knows no compression, and neither does what takes its place."""
    text = b"\x1f\x8b\x08\0" + MANY + b"\xff\xfe"
    (tmp_path / "in.gz").write_bytes(text)
    assert call("--seed=1", tmp_path / "in.gz").out == reference.shuffled([text], "1")


def test_standard_input_goes_on_where_it_is(tmp_path, monkeypatch):
    """`(read -r first; shuf) < file` does not see the first line."""
    monkeypatch.setattr(run, "_FIRST_BYTES", 10)
    (tmp_path / "in").write_bytes(b"first\n" + MANY)
    fd = os.open(tmp_path / "in", os.O_RDONLY)
    os.lseek(fd, 6, os.SEEK_SET)
    found = call("--seed=1", f"/dev/fd/{fd}")  # opened anew: from its beginning
    assert len(found.lines) == 3001
    wanted = run.Wanted(count=None, repeat=False, terminator=b"\n", chance=run.Chance("1"))
    with open(tmp_path / "out", "wb") as out:
        run.of_file(fd, wanted)(run.Output(out.fileno()))
    os.close(fd)
    assert (tmp_path / "out").read_bytes() == reference.shuffled([MANY], "1")


def test_a_head_takes_the_memory_of_its_lines(tmp_path, monkeypatch):
    """However long the input is."""
    monkeypatch.setattr(run, "_HEAD_BYTES", 1000)
    monkeypatch.setattr(head, "_SPARE_ROWS", 10)
    held = []
    drop = head.Head._drop
    monkeypatch.setattr(head.Head, "_drop", lambda self: (held.append(self._rows), drop(self)))
    monkeypatch.setattr(head, "_READ_BYTES", 500)
    monkeypatch.setattr(head, "_STEP_BYTES", 300)
    assert len(call("-n", 5, data=MANY).lines) == 5
    assert max(held) < 250


def test_lines_that_come_again_are_any_of_them(way):
    if way == "beyond":
        found = call("-r", "-n1", data=MANY)
        assert (found.code, found.out, found.err) == (1, b"", "shuf: memory exhausted\n")
        return
    found = call("-rn", 9000, "--seed=3", data=MANY)
    assert len(found.lines) == 9000
    seen = collections.Counter(found.lines)
    assert set(seen) <= set(MANY.splitlines())
    # Of 3000 lines e^-3 are never drawn: 149, and 12 is the spread.
    assert 100 < 3000 - len(seen) < 200
    assert call("-rn5", "--seed=3", data=MANY).lines == found.lines[:5]


def test_every_order_of_a_few_arguments_is_as_likely():
    """3000 seeds, 24 orders: chi-square below its 0.1 % point for 23 degrees of freedom."""
    seen = collections.Counter(call("-e", *"abcd", f"--seed={seed}").out for seed in range(3000))
    assert len(seen) == len(list(itertools.permutations("abcd")))
    assert sum((count - 125) ** 2 / 125 for count in seen.values()) < 49.7


def test_without_a_seed_two_runs_differ():
    assert call(data=MANY).out != call(data=MANY).out


def test_memory_is_half_of_what_there_is():
    """As for the other commands."""
    assert large.memory_limit() == available_bytes() // 2


@pytest.mark.parametrize("parts", [1, 3, 1000])
def test_a_part_is_in_order_where_keys_differ_in_their_last_bits_alone(parts):
    """The radix sort sees 32 bits; the others decide where those are equal."""
    begin = -(-(parts // 2 << 64) // parts)
    for keys in ([5, 3, 4, 3 << 40, 1], [9, 9 << 33, 8 << 33, 7]):
        array = np.array(keys, np.uint64) + np.uint64(begin)
        assert large.order_within(array, parts).tolist() == np.argsort(array).tolist()
