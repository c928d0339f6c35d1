"""Space: what is needed is asked of the disk where the bytes will be, and of no other."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from disks import small
from sink_windows import target_of

from dbshuf.errors import OutputSpaceShort, TempSpaceShort, UsageError
from dbshuf.plan.space import check_space, free_near, temp_folder
from dbshuf.sink import FORMATS
from dbshuf.units import MIB

HUGE = 1 << 60
SHARDED = {"shards": 3}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB, mounted in a directory of another one."""
    with small(tmp_path / "disk") as place:
        yield place


def on_disk(disk: Path, case: str) -> tuple[Path, dict[str, object]]:
    """A name for an output whose bytes will be on the small disk, and how it is cut."""
    link = disk.parent / "link"
    if case == "shards into a mount point":
        return disk, SHARDED
    if case == "a link to a mount point":
        link.symlink_to("disk")
        return link, SHARDED
    if case == "a link to a file":
        (disk / "file").write_bytes(b"old")
        link.symlink_to("disk/file")
        return link, {}
    if case == "a link to nothing yet":
        link.symlink_to("disk/file")
        return link, {}
    return disk / "new", SHARDED if case == "new shards" else {}


CASES = (
    *("shards into a mount point", "a link to a mount point", "a link to a file"),
    *("a link to nothing yet", "new shards", "a new file"),
)


@pytest.mark.parametrize("case", CASES)
def test_room_is_asked_of_the_disk_where_the_output_grows(case, disk, tmp_path):
    """A run that must fail is refused, one that fits beside a full disk is not."""
    path, cut = on_disk(disk, case)
    target = target_of(path, **cut)
    assert free_near(path) <= MIB
    assert temp_folder(None, target) == disk
    check_space(target, tmp_path, temp_bytes=MIB, output_bytes=MIB // 2)
    with pytest.raises(OutputSpaceShort, match=r"2\.1 MB needed, \d.* free"):
        check_space(target, tmp_path, temp_bytes=0, output_bytes=2 * MIB)


def test_temporary_data_beside_the_output_take_from_the_same_room(disk):
    """Both are there at the same time, just before the end."""
    target = target_of(disk / "out")
    check_space(target, disk, temp_bytes=MIB // 4, output_bytes=MIB // 2)
    with pytest.raises(OutputSpaceShort, match="and 786 kB for temporary data needed"):
        check_space(target, disk, temp_bytes=3 * MIB // 4, output_bytes=MIB // 2)


def test_a_disk_behind_a_name_that_is_a_link_to_elsewhere_does_not_count(disk, tmp_path):
    """`disk/out -> ../out`: the small disk takes no byte."""
    (disk / "out").symlink_to(tmp_path / "out")
    assert temp_folder(None, target_of(disk / "out")) == tmp_path
    check_space(target_of(disk / "out"), tmp_path, temp_bytes=0, output_bytes=2 * MIB)


def test_an_empty_directory_on_the_same_disk_is_replaced_so_its_parent_counts(tmp_path):
    """Temporary data inside would keep it from being replaced whole."""
    (tmp_path / "out").mkdir()
    assert temp_folder(None, target_of(tmp_path / "out", **SHARDED)) == tmp_path


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/{}", "/proc/self/fd/{}", "link", "fifo"])
def test_what_is_written_as_it_is_needs_no_room_of_ours(name, tmp_path):
    """A pipe has no size, and in /dev and /proc no temporary file can be made."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("/dev/stdout")
    with (tmp_path / "log").open("ab") as log:
        target = target_of(tmp_path / name.format(log.fileno()))
        assert free_near(target.path) is None
        assert temp_folder(None, target) == Path(tempfile.gettempdir())
        check_space(target, tmp_path, temp_bytes=0, output_bytes=HUGE)


def test_devices_and_standard_output_need_no_room_of_ours(tmp_path):
    """-o /dev/null measures a run that fits on no disk here."""
    for path in (None, Path("/dev/null")):
        assert temp_folder(None, target_of(path)) == Path(tempfile.gettempdir())
        check_space(target_of(path), tmp_path, temp_bytes=0, output_bytes=HUGE)


@pytest.mark.parametrize("format_", FORMATS)
def test_only_plain_text_is_refused_for_want_of_room(format_, tmp_path):
    """How well text compresses is a guess, and a run is not refused on a guess."""
    target = target_of(tmp_path / "out", format_)
    if format_ != "txt":
        check_space(target, tmp_path, temp_bytes=0, output_bytes=HUGE)
        return
    with pytest.raises(OutputSpaceShort):
        check_space(target, tmp_path, temp_bytes=0, output_bytes=HUGE)


@pytest.mark.parametrize("path", [None, Path("/dev/null"), Path("out")])
def test_temporary_data_that_do_not_fit_are_refused_for_every_output(path, tmp_path):
    with pytest.raises(TempSpaceShort, match=r"needed, .* free"):
        check_space(target_of(path), tmp_path, temp_bytes=HUGE, output_bytes=0)


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="a file system that counts nothing")
def test_a_file_system_that_counts_no_bytes_refuses_nothing(tmp_path):
    """Some remote ones say 0 of 0 bytes, which is no statement about room."""
    assert free_near(Path("/proc/out")) is None
    check_space(target_of(Path("/proc/out")), tmp_path, temp_bytes=0, output_bytes=HUGE)
    check_space(target_of(None), Path("/proc"), temp_bytes=HUGE, output_bytes=0)


@pytest.mark.parametrize("asked", ["", "missing", "file"])
def test_a_temporary_directory_that_is_none_is_refused(asked, tmp_path, monkeypatch):
    """Also an empty name, as an unset variable gives: it does not mean the working directory."""
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    with pytest.raises(UsageError, match=f"--temp-dir `{asked}` is no directory"):
        temp_folder(asked, target_of(None))


def test_no_place_for_temporary_data_is_said_in_words(monkeypatch):
    """A read-only container has neither $TMPDIR nor /tmp."""

    def nowhere() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", nowhere)
    with pytest.raises(UsageError, match="neither") as caught:
        temp_folder(None, target_of(None))
    assert "--temp-dir" in caught.value.hint
