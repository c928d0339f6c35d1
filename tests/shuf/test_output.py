"""What `-o` names: replaced at once where that takes nothing from anybody, else written."""

import os

import pytest
from shuf_call import call

from dbshuf.shuf import large, output, run, small

TEXT = b"one\ntwo\nthree\n"


@pytest.fixture(params=["nameless", "hidden"])
def kind(request, monkeypatch):
    """File systems that know files without a name, and others."""
    if request.param == "hidden":
        monkeypatch.setattr(os, "O_TMPFILE", os.O_WRONLY, raising=False)  # EISDIR on a folder
    return request.param


def test_the_input_may_be_the_output(kind, tmp_path):
    file = tmp_path / "f"
    file.write_bytes(TEXT)
    file.chmod(0o640)
    was = file.stat().st_ino
    assert call(file, "-o", file).code == 0
    assert sorted(file.read_bytes().splitlines()) == sorted(TEXT.splitlines())
    assert file.stat().st_mode & 0o777 == 0o640
    assert file.stat().st_ino != was
    assert os.listdir(tmp_path) == ["f"]


def test_a_new_file_has_the_rights_of_any_new_file(kind, tmp_path):
    old = os.umask(0o027)
    try:
        assert call("-e", "a", "-o", tmp_path / "new").code == 0
    finally:
        os.umask(old)
    assert (tmp_path / "new").read_bytes() == b"a\n"
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o640
    assert os.listdir(tmp_path) == ["new"]


def test_a_link_stays_a_link(kind, tmp_path):
    (tmp_path / "there").write_bytes(TEXT)
    (tmp_path / "link").symlink_to("there")
    assert call("-e", "a", "-o", tmp_path / "link").code == 0
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "there").read_bytes() == b"a\n"


def test_a_file_with_two_names_keeps_both(tmp_path):
    (tmp_path / "a").write_bytes(TEXT)
    os.link(tmp_path / "a", tmp_path / "b")
    assert call(tmp_path / "a", "-n1", "-o", tmp_path / "b").code == 0
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert len((tmp_path / "a").read_bytes().splitlines()) == 1


def test_lines_beyond_memory_are_not_written_over_while_they_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(small, "MOST_LINES", 1)
    monkeypatch.setattr(run, "_FIRST_BYTES", 4)
    monkeypatch.setattr(large, "memory_limit", lambda: 8)
    (tmp_path / "a").write_bytes(TEXT)
    os.link(tmp_path / "a", tmp_path / "b")
    found = call(tmp_path / "a", "-o", tmp_path / "b")
    assert (found.code, (tmp_path / "b").read_bytes()) == (1, TEXT)
    assert "input file is output file" in found.err
    os.unlink(tmp_path / "a")
    assert call(tmp_path / "b", "-o", tmp_path / "b").code == 0
    assert sorted((tmp_path / "b").read_bytes().splitlines()) == sorted(TEXT.splitlines())


def test_a_run_that_fails_leaves_what_was_there(kind, tmp_path, monkeypatch):
    (tmp_path / "f").write_bytes(TEXT)
    monkeypatch.setattr(output, "_PIECE_BYTES", 2)
    written = []

    def full(fd, data):
        written.append(bytes(data))
        if len(written) < 2:
            return len(data)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(output.os, "write", full)
    code = call(tmp_path / "f", "-o", tmp_path / "f").code
    monkeypatch.undo()
    assert (code, written[2:]) == (1, [b"shuf: write error: No space left on device\n"])
    assert (tmp_path / "f").read_bytes() == TEXT
    assert os.listdir(tmp_path) == ["f"]


def test_help_and_version_leave_the_output_alone(tmp_path):
    (tmp_path / "f").write_bytes(TEXT)
    for shows in ("--help", "--version"):
        found = call("-o", tmp_path / "f", shows)
        assert (found.code, found.err) == (0, "")
        assert found.out
    assert (tmp_path / "f").read_bytes() == TEXT


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("/nowhere/x", "/nowhere/x: No such file or directory"),
        ("/", "/: Is a directory"),
        ("", "'': No such file or directory"),
        ("/nowhere/..", "/nowhere/..: No such file or directory"),
        ("/nowhere/../x", "/nowhere/../x: No such file or directory"),
        ("/dev/full", "write error: No space left on device"),
    ],
)
def test_an_output_that_cannot_be(name, why):
    found = call("-e", "a", "-o", name)
    assert (found.code, found.err) == (1, f"shuf: {why}\n")


def test_devices_and_descriptors_are_written_to():
    assert call("-e", "a", "-o", "/dev/null").code == 0
    assert call("-e", "a", "-o", "/dev/stdout").out == b"a\n"
