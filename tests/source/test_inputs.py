"""Names to inputs: what a directory holds, what a link leads to; pipes, and what is refused."""

import errno
import os
import threading
import time
from io import FileIO

import pytest
from packed import CODECS, pack

from dbshuf.errors import InputMissing, InputUnreadable, NoInputFiles, UsageError
from dbshuf.source import inputs
from dbshuf.source.input import Input, Pipe
from dbshuf.source.inputs import resolve_inputs


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


def test_a_link_to_itself_is_told_as_one_to_nothing(tmp_path):
    """Its name says which it is, and it can be left out."""
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.txt").write_bytes(b"a\n")
    (tmp_path / "set" / "loop").symlink_to("loop")
    for given in ("set", "set/*", "set/**", "set/**/*", "set/loop"):
        with pytest.raises(InputMissing, match="`set/loop`"):
            resolve_inputs([given])
    assert names(resolve_inputs(["set"], exclude=["loop"])) == ["set/a.txt"]


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


def test_a_pipe_under_two_names_is_refused(tmp_path):
    """Two readers at once would each have pieces of its lines."""
    (tmp_path / "regular").write_bytes(b"1\n")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    for given in (["pipe", "regular", "pipe"], ["pipe", "link"]):
        with pytest.raises(UsageError, match=f"`pipe` and `{given[-1]}` are one pipe"):
            resolve_inputs(given)
    kept, (read, write) = os.dup(0), os.pipe()
    try:
        os.dup2(read, 0)
        with pytest.raises(UsageError, match="`-` and `/dev/stdin` are one pipe"):
            resolve_inputs(["-", "/dev/stdin"])
    finally:
        os.dup2(kept, 0)
        for fd in (kept, read, write):
            os.close(fd)
    assert names(resolve_inputs(["regular", "regular"])) == ["regular"] * 2


def made(folder, *paths):
    """Make files below a folder, each with its own name in it."""
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(f"{path}\n".encode())


def test_what_begins_with_a_dot_or_an_underscore_is_left_out_of_directories(tmp_path):
    """Spark and Arrow mark so what is no data; a column's folder is data all the same."""
    made(
        tmp_path / "out",
        *("_SUCCESS", "_metadata", ".part-0.crc", "_temporary/0/part-1", ".git/config"),
        *("lang=en/part-0", "lang=en/_SUCCESS", "_lang=de/part-0", "_x=y", "a_b"),
    )
    found = names(resolve_inputs(["out"]))
    assert found == ["out/_lang=de/part-0", "out/a_b", "out/lang=en/part-0"]
    assert names(resolve_inputs(["out/_SUCCESS", "out/_temporary"])) == [
        "out/_SUCCESS",
        "out/_temporary/0/part-1",
    ]
    assert names(resolve_inputs(["out/_*", "out/.*crc"])) == [
        *("out/_SUCCESS", "out/_metadata", "out/_x=y", "out/.part-0.crc"),
    ]


def test_a_directory_of_hidden_files_alone_says_how_many(tmp_path):
    """Nobody should have to guess why nothing is read."""
    made(tmp_path / "out", "_SUCCESS", ".a", ".b")
    os.mkfifo(tmp_path / "out" / "pipe")
    with pytest.raises(NoInputFiles, match=r"to read: 3 hidden .*, 1 no regular files"):
        resolve_inputs(["out"])
    with pytest.raises(NoInputFiles, match=r"no file matches `out/p[*]` to read: 1 no regular"):
        resolve_inputs(["out/p*"])


def test_pipes_and_devices_of_a_directory_are_left_out(tmp_path):
    """Reading one would wait for ever; a name of its own is meant."""
    made(tmp_path / "set", "a")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "set" / "p").symlink_to(tmp_path / "pipe")
    (tmp_path / "set" / "z").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "set" / "q")
    assert names(resolve_inputs(["set"])) == ["set/a"]
    assert names(resolve_inputs(["set/*"])) == ["set/a"]
    (one,) = resolve_inputs(["/dev/null"])
    assert one.pipe is not None
    one.pipe.raw.close()


def test_every_folder_is_walked_once_whatever_links_lead_to_it(tmp_path):
    """Thirty diamonds would be a billion files; where a folder lies comes before a link."""
    made(tmp_path / "set", "zz/x", "far/y")
    before = tmp_path / "set" / "zz"
    for number in range(30):
        folder = tmp_path / "diamonds" / f"d{number}"
        folder.mkdir(parents=True)
        for side in ("left", "right"):
            (folder / side).symlink_to(before)
        before = folder
    (tmp_path / "set" / "aa").symlink_to(before)
    (tmp_path / "set" / "ab").symlink_to(before)
    (tmp_path / "set" / "zz" / "back").symlink_to(tmp_path / "diamonds")
    (tmp_path / "set" / "twin").symlink_to(tmp_path / "set" / "zz" / "x")
    assert names(resolve_inputs(["set"])) == ["set/far/y", "set/twin", "set/zz/x"]
    assert len(resolve_inputs(["set", "set"])) == 6
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "b").symlink_to(tmp_path / "set" / "far")
    (tmp_path / "two" / "a").symlink_to(tmp_path / "set" / "far")
    assert names(resolve_inputs(["two"])) == ["two/a/y"]


@pytest.mark.parametrize(
    "pattern", ["set/**", "set/**/**", "set/**/*", "**/set/**/**/?", "s*/**/?"]
)
def test_a_glob_of_any_folders_finds_a_file_once(tmp_path, pattern):
    """Whatever two `**` meet in it, and whatever links lead to a folder once more."""
    made(tmp_path / "set", "x", "far/y", "far/deep/z")
    (tmp_path / "set" / "loop").symlink_to(tmp_path / "set")
    (tmp_path / "set" / "again").symlink_to(tmp_path / "set" / "far")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "o").write_bytes(b"1\n")
    (tmp_path / "set" / "to").symlink_to(tmp_path / "outside")
    found = [name for name in names(resolve_inputs([pattern])) if name.startswith("set/")]
    assert found == ["set/far/deep/z", "set/far/y", "set/to/o", "set/x"]


def test_a_folder_that_a_glob_cannot_look_into_is_an_error(tmp_path, monkeypatch):
    """Its files would be left out without a word."""
    made(tmp_path / "set", "a/x", "b/x")
    listdir = os.listdir

    def failing(path):
        if os.fspath(path).endswith("/b"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return listdir(path)

    monkeypatch.setattr(os, "listdir", failing)
    for pattern in ("set/*/*", "set/**/x*"):
        with pytest.raises(InputUnreadable, match="cannot read `set/b`: Input/output error"):
            resolve_inputs([pattern])


TREE = ("a.txt", "a.parquet", "data/b.parquet", "data/deep/c.parquet", "data/deep/c.md", "e/b[1].x")


@pytest.mark.parametrize(
    ("include", "exclude", "found"),
    [
        (["*.parquet"], [], ["a.parquet", "data/b.parquet", "data/deep/c.parquet"]),
        (["*.parquet"], ["deep"], ["a.parquet", "data/b.parquet"]),
        (["*.parquet"], ["deep/"], ["a.parquet", "data/b.parquet"]),
        (["data/*.parquet"], [], ["data/b.parquet"]),
        (["/*.parquet"], [], ["a.parquet"]),
        (["./*.parquet"], [], ["a.parquet"]),
        (["data/**/*.parquet"], [], ["data/b.parquet", "data/deep/c.parquet"]),
        (["**/c.*"], [], ["data/deep/c.md", "data/deep/c.parquet"]),
        (["data/**"], ["*.md"], ["data/b.parquet", "data/deep/c.parquet"]),
        (["data"], ["*.md"], ["data/b.parquet", "data/deep/c.parquet"]),
        (["a.txt/"], [], None),
        ([], ["data/deep/**", "e"], ["a.parquet", "a.txt", "data/b.parquet"]),
        ([], ["*"], None),
        ([], ["**"], None),
        (["b[[]1].?"], [], ["e/b[1].x"]),
        (["[!a]*.parquet"], [], ["data/b.parquet", "data/deep/c.parquet"]),
        (["*.TXT"], [], None),
        (["a.txt", "*.md"], [], ["a.txt", "data/deep/c.md"]),
        (["a.txt"], ["a.txt"], None),
    ],
)
def test_include_and_exclude_choose_files_of_a_directory(tmp_path, include, exclude, found):
    """As rsync and ripgrep: a name anywhere, a path with a slash; exclude wins."""
    made(tmp_path / "set", *TREE)
    for name in ("set", "set/", "set/**"):
        if found is None:
            with pytest.raises(NoInputFiles, match=r"not chosen by --include"):
                resolve_inputs([name], include, exclude)
        else:
            left = names(resolve_inputs([name], include, exclude))
            assert left == [f"set/{path}" for path in found]


def test_a_file_that_is_named_is_read_whatever_is_excluded(tmp_path):
    """A pattern that chooses nothing at all would go unnoticed."""
    made(tmp_path / "set", *TREE)
    assert names(resolve_inputs(["set/a.txt", "set"], [], ["*.txt", "e", "*.md"])) == [
        *("set/a.txt", "set/a.parquet", "set/data/b.parquet", "set/data/deep/c.parquet"),
    ]
    with pytest.raises(UsageError, match="and none is named"):
        resolve_inputs(["set/a.txt"], [], ["*.txt"])
    for bad in ("", "/", "../x", "."):
        with pytest.raises(UsageError, match="matches nothing"):
            resolve_inputs(["set"], [bad])


@pytest.mark.parametrize("name", ["ftp://x/y", "file:///a/b"])
def test_an_input_on_another_machine_is_refused_as_such(tmp_path, name):
    """Not as a file that is missing; a local file of that name is one."""
    with pytest.raises(InputUnreadable, match="no scheme of that name is read") as caught:
        resolve_inputs([name])
    assert ("/a/b" if name.startswith("file:") else "download") in caught.value.hint
    made(tmp_path, "s3:/b/c.txt")
    assert len(resolve_inputs(["s3://b/c.txt", "s3://b", "s3://b/*.txt"][:2])) == 2
