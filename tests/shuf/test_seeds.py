"""Where chance comes from."""

import pytest
from shuf_call import call

LINES = b"".join(b"%d\n" % n for n in range(50))  # 50! orders: 27 bytes tell them apart


def test_the_same_source_gives_the_same_order(tmp_path):
    for name, byte in (("a", b"x"), ("b", b"y")):
        (tmp_path / name).write_bytes(byte * 27)
    a, again, b = (call(f"--random-source={tmp_path / name}", data=LINES) for name in "aab")
    assert a.out == again.out != b.out
    assert sorted(a.lines) == sorted(LINES.splitlines())
    some = call("-n7", f"--random-source={tmp_path / 'a'}", data=LINES)
    assert some.lines == a.lines[:7]
    assert call("-e", "a", f"--random-source={tmp_path / 'a'}").out == b"a\n"


@pytest.mark.parametrize("arguments", [(), ("-n", 40), ("-r", "-n", 40)])
def test_a_source_that_cannot_tell_the_orders_apart_is_refused(tmp_path, arguments, monkeypatch):
    """As by GNU shuf; only what is needed is asked for."""
    monkeypatch.setenv("LC_ALL", "C")
    (tmp_path / "short").write_bytes(b"x" * 20)
    source = f"--random-source={tmp_path / 'short'}"
    found = call(source, *arguments, data=LINES)
    assert (found.code, found.out) == (1, b"")
    assert found.err == f"shuf: '{tmp_path / 'short'}': end of file\n"
    assert call(source, *arguments, "-n", 5, data=LINES).code == 0


def test_a_source_without_end_is_no_reason_to_wait():
    zeros = [call("--random-source=/dev/zero", data=LINES).out for _ in range(2)]
    assert zeros[0] == zeros[1]
    assert call("--random-source=/dev/urandom", data=LINES).code == 0


def test_a_source_that_is_none(tmp_path):
    found = call("-i1-9", "--random-source=/nowhere/x")
    assert (found.code, found.err) == (1, "shuf: /nowhere/x: No such file or directory\n")
    found = call("-i1-9", f"--random-source={tmp_path}")
    assert found.err.endswith("read error: Is a directory\n")
    found = call("-i1-9", "--random-source=a", "--random-seed=b")
    assert "cannot combine" in found.err


def test_a_random_source_is_opened_for_a_line_and_read_for_two(tmp_path):
    """As by GNU shuf 9.1: where there is one order, or none, nothing is drawn."""
    missing, folder = "--random-source=/nowhere/x", f"--random-source={tmp_path}"
    for nothing in (["-e"], ["-i5-4"], []):
        assert call(*nothing, missing).code == call(*nothing, folder).code == 0
    assert call(folder, data=b"one").out == b"one\n"
    assert call("-e", missing, "one").err == "shuf: /nowhere/x: No such file or directory\n"
    assert call("-n3", missing).code == 1  # of a stream: before its end is known
    assert call("-e", folder, "one", "two").code == 1
