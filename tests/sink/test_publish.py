"""Publishing: nothing is visible before the end, a failed run leaves all as it was."""

import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from disks import small
from paths import HELPERS
from sink_windows import target_of, windows_of, write_all

from dbshuf.base.filenames import HIDDEN_PREFIX
from dbshuf.errors import OutputExists, OutputSpaceShort, OutputUnwritable, UsageError
from dbshuf.sink import FORMATS, check_target, open_sink

LINES = [b"%d\n" % i for i in range(1000)]
TEXT = b"".join(LINES)
SHARDED = {"shards": 3}


def written(target):
    """A sink that holds rows and is not finished."""
    sink = open_sink(target)
    for window in windows_of(LINES, [10, 500]):
        sink.write(window)
    return sink


@pytest.fixture
def umask_022() -> Iterator[None]:
    old = os.umask(0o022)
    yield
    os.umask(old)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    with small(tmp_path / "disk") as disk:
        yield disk


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("cut", [{}, SHARDED])
def test_until_the_end_there_are_hidden_names_only(format_, cut, tmp_path):
    """A reader must never open half of an output."""
    sink = written(target_of(tmp_path / "out", format_, **cut))
    assert all(name.startswith(".out.dbshuf-") for name in os.listdir(tmp_path))
    assert os.listdir(tmp_path)
    sink.finish()
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("cut", [{}, SHARDED, {"shard_rows": 7}])
@pytest.mark.parametrize("rows", [False, True])
def test_abort_leaves_nothing_and_may_be_called_again(format_, cut, rows, *, tmp_path):
    """Ctrl-C can come at any moment, also within the cleaning up."""
    target = target_of(tmp_path / "out", format_, **cut)
    sink = written(target) if rows else open_sink(target)
    sink.abort()
    sink.abort()
    assert os.listdir(tmp_path) == []
    assert not [t for t in threading.enumerate() if t.name.startswith("dbshuf-sink")]


def test_an_old_file_stays_until_the_new_one_is_whole(tmp_path):
    """Replaced at one moment, or not at all."""
    path = tmp_path / "out"
    path.write_bytes(b"old")
    sink = written(target_of(path))
    assert path.read_bytes() == b"old"
    sink.abort()
    assert (path.read_bytes(), os.listdir(tmp_path)) == (b"old", ["out"])
    sink = written(target_of(path))
    sink.finish()
    sink.abort()
    assert (path.read_bytes(), os.listdir(tmp_path)) == (TEXT, ["out"])


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o777])
def test_a_replaced_file_keeps_its_mode_and_is_never_more_open_before(mode, tmp_path, umask_022):
    """What only its owner could read must not be readable under a hidden name either."""
    path = tmp_path / "out"
    path.write_bytes(b"old")
    path.chmod(mode)
    sink = written(target_of(path))
    hidden = set(os.listdir(tmp_path)) - {"out"}
    assert len(hidden) == 2  # the file, and the record of whose it is
    assert all(stat.S_IMODE((tmp_path / one).stat().st_mode) & ~mode == 0 for one in hidden)
    sink.finish()
    assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_replaced_file_keeps_its_owner(tmp_path):
    """A root shell must not take a user's file away."""
    path = tmp_path / "out"
    path.write_bytes(b"old")
    os.chown(path, 12345, 12346)
    write_all(target_of(path), windows_of(LINES))
    assert (path.stat().st_uid, path.stat().st_gid) == (12345, 12346)


def test_a_new_file_and_a_new_directory_have_the_modes_of_the_umask(tmp_path, umask_022):
    """A file made under a hidden name must not keep a private mode."""
    write_all(target_of(tmp_path / "out"), windows_of(LINES))
    write_all(target_of(tmp_path / "dir", **SHARDED), windows_of(LINES))
    shard = tmp_path / "dir/part-00000-of-00003.txt"
    modes = [stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "out", tmp_path / "dir", shard)]
    assert modes == [0o644, 0o755, 0o644]


@pytest.mark.parametrize("dangling", [False, True])
def test_a_symlink_stays_and_what_it_points_to_is_replaced(dangling, tmp_path):
    """The new file grows beside the real one, so that the rename crosses no disk."""
    (tmp_path / "real").mkdir()
    real, link = tmp_path / "real/file", tmp_path / "link"
    if not dangling:
        real.write_bytes(b"old")
    link.symlink_to("real/file")
    sink = written(target_of(link))
    hidden = set(os.listdir(tmp_path / "real")) - {"file"}
    assert sorted(name.count("owner") for name in hidden) == [0, 1]
    sink.finish()
    assert link.is_symlink()
    assert (real.read_bytes(), os.listdir(tmp_path / "real")) == (TEXT, ["file"])


def test_a_symlink_to_a_directory_stays(tmp_path):
    """`latest -> run-7` is a common way to name outputs."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    write_all(target_of(tmp_path / "link", **SHARDED), windows_of(LINES))
    assert (tmp_path / "link").is_symlink()
    assert len(os.listdir(tmp_path / "real")) == 3


@pytest.mark.parametrize("name", ["n" * 255, "é" * 127, os.fsdecode(b"\xff\xfe name\n")])
def test_any_name_that_the_file_system_takes_is_good(name, tmp_path):
    """The hidden name is longer than the real one and must fit too."""
    write_all(target_of(tmp_path / name), windows_of(LINES))
    assert (tmp_path / name).read_bytes() == TEXT
    assert os.listdir(tmp_path) == [name]


def test_a_fifo_is_written_and_stays(tmp_path):
    """A named pipe is a reader's, not a file to replace."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(fifo.read_bytes()))
    reader.start()
    write_all(target_of(fifo), windows_of(LINES))
    reader.join()
    assert (got, os.listdir(tmp_path)) == ([TEXT], ["fifo"])
    assert stat.S_ISFIFO(fifo.stat().st_mode)


def test_devices_are_written_and_stay(capfdbinary):
    """-o /dev/null measures, -o /dev/stdout pipes; a rename would break the machine."""
    for _ in range(2):
        write_all(target_of(Path("/dev/null")), windows_of(LINES))
        assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    write_all(target_of(Path("/dev/stdout")), windows_of(LINES))
    assert capfdbinary.readouterr().out == TEXT


@pytest.mark.parametrize("way", ["/dev/fd/{}", "/proc/self/fd/{}"])
def test_a_descriptor_of_a_file_is_written_where_it_stands(way, tmp_path):
    """`-o /dev/fd/3 3>>log` must append, and never replace the file behind the shell."""
    path = tmp_path / "log"
    path.write_bytes(b"first\n")
    with path.open("ab") as log:
        write_all(target_of(Path(way.format(log.fileno()))), windows_of(LINES))
    assert (path.read_bytes(), os.listdir(tmp_path)) == (b"first\n" + TEXT, ["log"])


@pytest.mark.parametrize("format_", FORMATS)
def test_a_full_device_is_said_in_words(format_):
    """ENOSPC without a disk: the kernel's own test device, which by its name is refused at once."""
    with open("/dev/full", "wb") as full:
        for name, told in (
            (f"/dev/fd/{full.fileno()}", "disk full after 0 bytes"),
            ("/dev/full", r"disk full \("),
        ):
            with pytest.raises(OutputSpaceShort, match=f"`{name}`: {told}") as caught:
                write_all(target_of(Path(name), format_), windows_of(LINES))
            assert caught.value.hint


@pytest.fixture(scope="module")
def many_lines() -> list[bytes]:
    """7 MB that no codec makes less than a small disk has."""
    digits = os.urandom(60 * 60_000).hex().encode()
    return [digits[at : at + 120] + b"\n" for at in range(0, len(digits), 120)]


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("cut", [{}, {"shard_rows": 50_000}])
def test_a_full_disk_loses_nothing_and_leaves_nothing(format_, cut, small_disk, many_lines):
    """The old output is whole, the hidden one is gone, and the message says how far it came."""
    (small_disk / "old").write_bytes(b"old")
    path = small_disk / ("out" if cut else "old")
    with pytest.raises(OutputSpaceShort, match=r"disk full after \d.* \(No space left") as caught:
        write_all(target_of(path, format_, **cut), windows_of(many_lines, range(0, 60_000, 1000)))
    assert str(path) in caught.value.message
    assert os.listdir(small_disk) == ["old"]
    assert (small_disk / "old").read_bytes() == b"old"


def entry(path: Path, kind: str) -> None:
    if kind == "file":
        path.write_bytes(b"mine")
    elif kind == "directory":
        path.mkdir()
    elif kind == "full":
        path.mkdir()
        (path / "mine").write_bytes(b"mine")


@pytest.mark.parametrize(
    ("kind", "name", "changes", "error", "words"),
    [
        ("", "missing/out", {}, OutputUnwritable, "no directory `.*missing` for the output"),
        ("", "missing/out", SHARDED, OutputUnwritable, "no directory `.*missing` for the output"),
        ("file", "out/deeper", {}, OutputUnwritable, "out"),
        ("directory", "out", {}, OutputUnwritable, "`.*out` is a directory"),
        ("full", "out", {"force": True}, OutputUnwritable, "`.*out` is a directory"),
        ("file", "out", SHARDED, OutputUnwritable, "`.*out` is no directory"),
        ("full", "out", SHARDED, OutputExists, "not empty: 1 entries, `mine` is one"),
        ("", "n" * 256, {}, OutputUnwritable, "File name too long"),
    ],
)
def test_an_output_that_cannot_be_is_refused_before_any_work(
    kind, name, changes, *, error, words, tmp_path
):
    """An hour of work must not end with a mistake that was there at the start."""
    entry(tmp_path / "out", kind)
    before = sorted(tmp_path.rglob("*"))
    target = target_of(tmp_path / name, **changes)
    for attempt in (check_target, open_sink):
        with pytest.raises(error, match=words):
            attempt(target)
    assert sorted(tmp_path.rglob("*")) == before


def test_shards_have_no_place_in_a_pipe():
    """One stream holds one file."""
    with pytest.raises(UsageError, match="shards need a directory"):
        check_target(target_of(None, **SHARDED))


def test_a_closed_stdout_is_refused(tmp_path):
    """`dbshuf ... >&-` has nowhere to write to; libffi from 3.5 on reads itself in that place."""
    code = (
        f"import sys; sys.path.insert(0, {str(HELPERS)!r})\n"
        "from sink_windows import target_of\n"
        "from dbshuf.sink import check_target\n"
        "check_target(target_of(None))"
    )
    command = ["sh", "-c", '"$@" >&-', "sh", sys.executable, "-c", code]
    ran = subprocess.run(command, stderr=subprocess.PIPE, check=False)
    assert b"OutputUnwritable: `standard output` is " in ran.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
@pytest.mark.parametrize(("path", "mode"), [("sub/out", 0o555), ("out", 0o444)])
def test_missing_permission_is_refused_before_any_work(path, mode, tmp_path):
    """A read-only file was made so by somebody, and a rename would not even ask."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "out").write_bytes(b"mine")
    (tmp_path / path.split("/")[0]).chmod(mode)
    with pytest.raises(OutputUnwritable):
        check_target(target_of(tmp_path / path))
    (tmp_path / "sub").chmod(0o755)


def test_a_directory_in_the_place_of_a_shard_is_refused(tmp_path):
    """--force replaces shards, and a rename cannot replace a directory by a file."""
    (tmp_path / "part-00000-of-00003.txt").mkdir()
    with pytest.raises(OutputUnwritable, match="a shard may need that name"):
        check_target(target_of(tmp_path, force=True, **SHARDED))


def test_an_empty_directory_is_replaced_whole_and_keeps_its_mode(tmp_path):
    """A reader who lists it sees no shards, and then all of them."""
    out = tmp_path / "out"
    out.mkdir(mode=0o750)
    sink = written(target_of(out, **SHARDED))
    assert os.listdir(out) == []
    sink.finish()
    assert (len(os.listdir(out)), os.listdir(tmp_path)) == (3, ["out"])
    assert stat.S_IMODE(out.stat().st_mode) == 0o750


def test_the_working_directory_is_filled_and_not_replaced(tmp_path, monkeypatch):
    """The user's shell would sit in a directory that has no name any more."""
    monkeypatch.chdir(tmp_path)
    inode = tmp_path.stat().st_ino
    sink = written(target_of(Path("."), **SHARDED))
    assert all(name.startswith(HIDDEN_PREFIX) for name in os.listdir(tmp_path))
    sink.finish()
    assert tmp_path.stat().st_ino == inode
    assert len(os.listdir(tmp_path)) == 3


def test_a_mount_point_is_filled_and_not_replaced(small_disk):
    """A container's output volume cannot be renamed."""
    write_all(target_of(small_disk, **SHARDED), windows_of(LINES))
    assert len(os.listdir(small_disk)) == 3


@pytest.mark.parametrize("existed", [False, True])
def test_files_that_came_into_the_directory_meanwhile_are_not_lost(existed, tmp_path):
    """Two runs into one directory: the second to finish is refused, with its shards."""
    out = tmp_path / "out"
    if existed:
        out.mkdir()
    sink = written(target_of(out, **SHARDED))
    out.mkdir(exist_ok=True)
    (out / "theirs").write_bytes(b"theirs")
    with pytest.raises(OutputExists):
        sink.finish()
    sink.abort()
    assert (os.listdir(out), os.listdir(tmp_path)) == (["theirs"], ["out"])


def test_scratch_of_our_own_is_no_content(tmp_path):
    """A run that was killed, or a temporary directory, must not call for --force."""
    out = tmp_path / "out"
    (out / f"{HIDDEN_PREFIX}killed").mkdir(parents=True)
    write_all(target_of(out, **SHARDED), windows_of(LINES))
    assert len(os.listdir(out)) == 4


def test_force_replaces_shards_and_leaves_all_other_files_alone(tmp_path):
    """Shards of any earlier run go, in any format; what only looks like one stays."""
    old = ["part-00000-of-00003.txt", "part-00004-of-00005.txt.gz", "part-00000-of-00001.parquet"]
    others = ["part-notes-of-mine.txt", "README", "part-00000-of-00002.tfrecord", ".hidden"]
    for name in old + others:
        (tmp_path / name).write_bytes(b"mine")
    sink = written(target_of(tmp_path, force=True, **SHARDED))
    assert all((tmp_path / name).read_bytes() == b"mine" for name in old)
    sink.finish()
    new = [f"part-0000{i}-of-00003.txt" for i in range(3)]
    assert sorted(os.listdir(tmp_path)) == sorted(new + others)
    assert b"".join((tmp_path / name).read_bytes() for name in new) == TEXT
    assert all((tmp_path / name).read_bytes() == b"mine" for name in others)


def test_a_failed_forced_run_leaves_the_earlier_shards(tmp_path):
    """--force allows to replace, not to destroy."""
    (tmp_path / "part-00000-of-00001.txt").write_bytes(b"mine")
    sink = written(target_of(tmp_path, force=True, **SHARDED))
    sink.abort()
    assert os.listdir(tmp_path) == ["part-00000-of-00001.txt"]


def test_a_rename_that_fails_is_said_in_words_and_leaves_nothing(tmp_path, monkeypatch):
    """The last step can fail too, and the old file must outlive it."""
    path = tmp_path / "out"
    path.write_bytes(b"old")
    sink = written(target_of(path))

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", refuse)
        with pytest.raises(OutputUnwritable, match="cannot be written: Operation not permitted"):
            sink.finish()
    sink.abort()
    assert (path.read_bytes(), os.listdir(tmp_path)) == (b"old", ["out"])
