"""Names of outputs: where they lead is known before any work, and so is what stands there."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from disks import mounted
from paths import HELPERS
from sink_windows import target_of, windows_of, write_all

from dbshuf.errors import OutputUnwritable
from dbshuf.sink import check_target, open_sink
from dbshuf.sink.output_path import descriptor_of, grows_in

LINES = [b"%d\n" % i for i in range(1000)]
TEXT = b"".join(LINES)
SHARDED = {"shards": 3}


def below(folder: Path) -> set[Path]:
    """Return all that is no link, and no record of whose a hidden name is."""
    found = folder.rglob("*")
    return {path for path in found if not path.is_symlink() and path.suffix != ".owner"}


@pytest.mark.parametrize("name", ["new", "file", "link", "dangling", "via/new", "via/file"])
def test_a_hidden_file_grows_where_it_is_said_to(name, tmp_path):
    """Room is asked of that directory."""
    (tmp_path / "real").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "real/file").touch()
    for link, to in (("link", "real/file"), ("dangling", "real/new"), ("via", "real")):
        (tmp_path / link).symlink_to(to)
    before = below(tmp_path)
    sink = open_sink(target_of(tmp_path / name))
    (hidden,) = below(tmp_path) - before
    assert grows_in(tmp_path / name) == hidden.parent
    assert (hidden.parent == tmp_path) == (name in ("new", "file"))
    sink.abort()


@pytest.mark.parametrize("name", ["new", "empty", "full", "link", "via/new", "."])
def test_hidden_shards_grow_where_they_are_said_to(name, tmp_path, monkeypatch):
    """An empty directory is replaced, so they grow beside it; one that stays is filled."""
    monkeypatch.chdir(tmp_path)
    for directory in ("empty", "full", "full/more", "real"):
        Path(directory).mkdir()
    Path("link").symlink_to("full")
    Path("via").symlink_to("real")
    before = below(tmp_path)
    sink = open_sink(target_of(Path(name), force=True, **SHARDED))
    (hidden,) = below(tmp_path) - before
    assert grows_in(Path(name)) == hidden.parent
    inside = {"full": "full", "link": "full", "via/new": "real"}
    assert hidden.parent == tmp_path / inside.get(name, "")
    sink.abort()


@pytest.mark.parametrize("way", ["/dev/fd/{}", "/proc/self/fd/{}", "/proc/{pid}/fd/{}", "link"])
def test_a_descriptor_is_known_by_all_its_names(way, tmp_path, monkeypatch):
    """`/var/log/out -> /dev/stdout` is how containers write logs."""
    monkeypatch.chdir(tmp_path)
    with Path("log").open("ab") as log:
        fd = log.fileno()
        Path("link").symlink_to("second")
        Path("second").symlink_to(f"/dev/fd/{fd}")
        path = Path(way.format(fd, pid=os.getpid()))
        assert descriptor_of(path) == fd
        assert grows_in(path) is None
        write_all(target_of(path), windows_of(LINES))
        write_all(target_of(path), windows_of(LINES))
    assert Path("log").read_bytes() == TEXT + TEXT
    assert Path("link").is_symlink()


@pytest.mark.parametrize("name", ["7", "missing/7", "link", "file"])
def test_a_plain_name_is_no_descriptor(name, tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    assert descriptor_of(tmp_path / name) is None


def test_a_descriptor_for_reading_is_refused(tmp_path):
    """`-o /dev/fd/3 3<file` is a slip of one character."""
    (tmp_path / "file").touch()
    with (tmp_path / "file").open() as file:
        path = Path(f"/dev/fd/{file.fileno()}")
        with pytest.raises(OutputUnwritable, match="is not open for writing"):
            check_target(target_of(path))
    with pytest.raises(OutputUnwritable, match="is closed"):
        check_target(target_of(path))


@pytest.mark.parametrize("cut", [{}, SHARDED])
def test_a_loop_of_links_is_refused_and_stays(cut, tmp_path):
    """Nothing was there to replace, but a link to take away."""
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OutputUnwritable, match="Too many levels of symbolic links"):
        check_target(target_of(tmp_path / "loop", **cut))
    assert (tmp_path / "loop").is_symlink()


def test_of_several_outputs_the_one_that_cannot_be_written_is_named(tmp_path):
    """Splits that are files; the sides of parallel files likewise."""
    (tmp_path / "out.valid.txt").symlink_to("out.valid.txt")
    with pytest.raises(OutputUnwritable, match=r"out\.valid\.txt` cannot be written"):
        check_target(target_of(tmp_path / "out.txt", split_names=("train", "valid")))


@pytest.mark.parametrize("cut", [{}, SHARDED])
def test_two_splits_that_a_link_makes_one_output_are_refused(cut, tmp_path):
    """The rows of the one that is renamed last would be all that is left of both."""
    train, valid = ("out/train", "out/valid") if cut else ("out.train.txt", "out.valid.txt")
    (tmp_path / "out").mkdir()
    (tmp_path / valid).mkdir() if cut else (tmp_path / valid).write_bytes(b"old")
    (tmp_path / train).symlink_to(Path(valid).name)
    target = target_of(
        tmp_path / ("out" if cut else "out.txt"), split_names=("train", "valid"), force=True, **cut
    )
    with pytest.raises(OutputUnwritable, match="are one f"):
        check_target(target)


def test_splits_of_one_device_are_written_to_it(tmp_path):
    """Whoever throws rows away may do so twice."""
    for name in ("train", "valid"):
        (tmp_path / f"out.{name}.txt").symlink_to("/dev/null")
    check_target(target_of(tmp_path / "out.txt", split_names=("train", "valid")))


def test_a_directory_that_is_mounted_from_the_same_disk_is_filled(tmp_path):
    """No rename crosses a bind mount, though both sides are one device."""
    (tmp_path / "volume").mkdir()
    with mounted(tmp_path / "out", "--bind", str(tmp_path / "volume")) as out:
        assert grows_in(out) == out
        write_all(target_of(out, **SHARDED), windows_of(LINES))
        assert len(os.listdir(out)) == 3


def test_a_file_that_is_mounted_is_refused_with_a_way_out(tmp_path):
    """A container got one file of its host: it can be written, but not replaced."""
    (tmp_path / "host").write_bytes(b"old")
    with mounted(tmp_path / "out", "--bind", str(tmp_path / "host")) as out:
        with pytest.raises(OutputUnwritable, match="something is mounted there") as caught:
            check_target(target_of(out))
        assert caught.value.hint.endswith(f"> {out}")


def test_a_read_only_file_system_is_called_so(tmp_path):
    """No chmod would help."""
    how = ("-t", "tmpfs", "-o", "size=1m,ro", "tmpfs")
    with (
        mounted(tmp_path / "disk", *how) as disk,
        pytest.raises(OutputUnwritable, match="read-only file system"),
    ):
        check_target(target_of(disk / "out"))


@pytest.fixture
def sticky(tmp_path, monkeypatch):
    """A directory like /tmp, and a process that owns nothing in it."""
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    folder = tmp_path / "sticky"
    folder.mkdir()
    folder.chmod(0o1777)
    monkeypatch.setattr(os, "geteuid", lambda: 12347)
    return folder


def test_a_file_of_another_user_in_tmp_is_refused_before_any_work(sticky):
    """It may be written by all, but only its owner may replace it."""
    path = sticky / "out"
    path.touch()
    os.chown(path, 12345, 12345)
    with pytest.raises(OutputUnwritable, match="nobody but its owner may do that"):
        check_target(target_of(path))
    os.chown(path, 12347, 12347)
    check_target(target_of(path))


def test_shards_of_another_user_in_tmp_are_refused_before_any_work(sticky):
    """--force needs to take them away in the end."""
    (sticky / "part-00000-of-00003.txt").touch()
    with pytest.raises(OutputUnwritable, match=r"part-00000-of-00003\.txt` cannot be replaced"):
        check_target(target_of(sticky, force=True, **SHARDED))


def test_an_empty_directory_of_another_user_in_tmp_is_filled(sticky):
    """Only its owner could have it replaced."""
    out = sticky / "out"
    out.mkdir()
    os.chown(out, 12345, 12345)
    out.chmod(0o777)
    assert grows_in(out) == out
    write_all(target_of(out, **SHARDED), windows_of(LINES))
    assert len(os.listdir(out)) == 3


def test_a_directory_that_takes_names_and_shows_none_is_good(cli, home):
    """A drop box: the run must not fail once the file has its name."""
    (home / "in.txt").write_bytes(TEXT)
    (home / "box").mkdir(mode=0o300)
    ran = cli("shuffle", "in.txt", "-o", "box/out.txt", permissions_count=True)
    (home / "box").chmod(0o700)
    assert ran.code == 0, ran.err
    assert os.listdir(home / "box") == ["out.txt"]


def test_a_cut_name_holds_no_half_of_a_character(tmp_path):
    """Some file systems take UTF-8 only, also for a hidden name."""
    sink = open_sink(target_of(tmp_path / ("a" + "é" * 127)))
    hidden, record = sorted(os.listdir(os.fsencode(tmp_path)), key=len)
    assert hidden.decode("utf-8").startswith(".aé")
    assert record == hidden + b".owner"
    sink.abort()


@pytest.mark.parametrize("mode", [0o664, 0o640, 0o2775])
def test_a_group_that_cannot_be_kept_gets_no_rights(mode, tmp_path, monkeypatch):
    """The new group may hold people whom the old one kept out."""

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    path = tmp_path / "out"
    path.write_bytes(b"old")
    path.chmod(mode)
    monkeypatch.setattr(os, "chown", refuse)
    write_all(target_of(path), windows_of(LINES))
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (TEXT, mode & ~0o070)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_group_is_kept_where_the_owner_cannot_be(tmp_path, monkeypatch):
    """Members of a team replace each other's files, and the team can read on."""
    chown = os.chown

    def give(path: object, uid: int, gid: int) -> None:
        if uid != -1:
            raise PermissionError(1, "Operation not permitted")
        chown(path, uid, gid)

    path = tmp_path / "out"
    path.write_bytes(b"old")
    os.chown(path, 12345, 12346)
    path.chmod(0o660)
    monkeypatch.setattr(os, "chown", give)
    write_all(target_of(path), windows_of(LINES))
    now = path.stat()
    assert (now.st_uid, now.st_gid, stat.S_IMODE(now.st_mode)) == (0, 12346, 0o660)


@pytest.mark.parametrize("call", ["chown", "chmod"])
def test_a_file_system_without_owners_loses_no_run(call, tmp_path, monkeypatch):
    """Hours of work are worth more than a mode."""

    def refuse(*_: object) -> None:
        raise OSError(22, "Invalid argument")

    path = tmp_path / "out"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, call, refuse)
    write_all(target_of(path), windows_of(LINES))
    assert path.read_bytes() == TEXT


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_replaced_directory_keeps_its_owner(tmp_path):
    """A root shell must not take a user's directory away."""
    out = tmp_path / "out"
    out.mkdir(mode=0o750)
    os.chown(out, 12345, 12346)
    write_all(target_of(out, **SHARDED), windows_of(LINES))
    now = out.stat()
    assert (now.st_uid, now.st_gid, stat.S_IMODE(now.st_mode)) == (12345, 12346, 0o750)
    assert len(os.listdir(out)) == 3


def test_a_name_from_a_working_directory_that_is_gone_is_said_in_words(tmp_path):
    """Somebody removed it under the shell."""
    code = (
        f"import os, sys; sys.path.insert(0, {str(HELPERS)!r})\n"
        "from pathlib import Path; from sink_windows import target_of\n"
        "from dbshuf.sink import check_target\n"
        "os.rmdir(os.getcwd()); check_target(target_of(Path('out')))"
    )
    (tmp_path / "gone").mkdir()
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path / "gone", stderr=subprocess.PIPE, check=False
    )
    assert b"OutputUnwritable: `out` cannot be written: No such file" in ran.stderr
