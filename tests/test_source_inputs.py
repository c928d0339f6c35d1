"""Names to inputs: what a directory holds, what a link leads to; pipes, and what is refused."""

import os
import threading
import time
from io import FileIO

import pytest
from packed import CODECS, pack

from dbshuf.errors import InputMissing, InputUnreadable
from dbshuf.source import inputs
from dbshuf.source.inputs import Input, Pipe, resolve_inputs


def names(found):
    return [os.path.relpath(one.name) for one in found]


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_linked_folders_and_files_are_read_as_what_they_lead_to(tmp_path):
    """Caches of data sets are trees of links; skipping one would lose rows without a word."""
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "x.txt").write_bytes(b"x\n")
    (tmp_path / "set" / "sub").mkdir(parents=True)
    (tmp_path / "set" / "sub" / "far").symlink_to(tmp_path / "store")
    (tmp_path / "set" / "near.txt").symlink_to(tmp_path / "store" / "x.txt")
    assert names(resolve_inputs(["set"])) == ["set/near.txt", "set/sub/far/x.txt"]


def test_a_link_to_a_folder_above_it_is_no_endless_input(tmp_path):
    """A tree that holds itself is read once."""
    (tmp_path / "set" / "sub").mkdir(parents=True)
    (tmp_path / "set" / "a.txt").write_bytes(b"a\n")
    (tmp_path / "set" / "sub" / "up").symlink_to(tmp_path / "set")
    assert names(resolve_inputs(["set"])) == ["set/a.txt"]


def test_a_folder_goes_by_path_bytes(tmp_path):
    """The order of inputs is part of every row id, so no locale may change it."""
    for name in ("b", "B", "a/z", "a.txt", "ä", "10", "9"):
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_bytes(b"1\n")
    found = [name.removeprefix("set/") for name in names(resolve_inputs(["set"]))]
    assert found == sorted(found, key=os.fsencode)
    assert len(found) == 7


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs Linux's /proc")
def test_a_file_that_states_no_size_is_read_to_its_end():
    """Files of /proc say that they have 0 bytes."""
    (found,) = resolve_inputs(["/proc/self/status"])
    assert found.pipe is not None
    assert found.pipe.head.startswith(b"Name:")
    found.pipe.raw.close()


def descriptors():
    return len(os.listdir("/proc/self/fd"))


needs_proc = pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="needs Linux's /proc")


@needs_proc
@pytest.mark.parametrize("kind", ["file", "pipe"])
def test_an_input_that_is_refused_is_closed(kind, tmp_path, monkeypatch):
    """A program that tries ten thousand files must not run out of descriptors."""
    (tmp_path / "in.txt").write_bytes(b"text\n")
    end, other = os.pipe()
    os.write(other, b"text\n")
    os.close(other)

    def refuse(head):
        raise RuntimeError("odd")

    monkeypatch.setattr(inputs, "codec_of", refuse)
    before = descriptors()
    with pytest.raises(RuntimeError, match="odd") as caught:
        resolve_inputs([f"/dev/fd/{end}" if kind == "pipe" else "in.txt"])
    assert descriptors() == before, caught  # which holds every frame, hence what is open in it
    os.close(end)


@needs_proc
def test_a_file_that_cannot_be_read_is_closed():
    """/proc has such files; so have broken disks."""
    before = descriptors()
    with pytest.raises(InputUnreadable, match="/proc/self/mem") as caught:
        resolve_inputs(["/proc/self/mem"])
    assert descriptors() == before, caught


@needs_proc
def test_pipes_are_closed_when_an_input_after_them_is_missing():
    """`dbshuf shuffle <(zcat a.gz) typo.txt`, from a program."""
    end, other = os.pipe()
    os.close(other)
    before = descriptors()
    with pytest.raises(InputMissing) as caught:
        resolve_inputs([f"/dev/fd/{end}", "typo.txt"])
    assert descriptors() == before, caught
    os.close(end)


@pytest.mark.parametrize("is_peeked", [False, True])
@pytest.mark.parametrize("codec", [None, *CODECS])
def test_a_pipe_that_does_not_block_is_read_to_its_end(codec, is_peeked):
    """Node and some shells hand down such pipes; a pause in them is no end and no error."""
    text = b"".join(b"%d\n" % number for number in range(20_000))
    data = text if codec is None else pack(codec, text)
    end, other = os.pipe()
    os.set_blocking(end, False)

    def feed():
        with open(other, "wb", buffering=0) as sink:
            for at in range(0, len(data), len(data) // 5 + 1):
                time.sleep(0.05)
                sink.write(data[at : at + len(data) // 5 + 1])

    writer = threading.Thread(target=feed, daemon=True)
    writer.start()
    one = Input(0, "in", None, codec, None, pipe=Pipe(FileIO(end), b""))
    if is_peeked:
        assert data.startswith(one.pipe.peek(100))
    reader, view = one.open_stream(), memoryview(bytearray(2 * len(text)))
    assert reader.readinto(view) == len(text)
    assert bytes(view[: len(text)]) == text
    assert reader.readinto(view) == 0
    reader.close()
    writer.join()
