"""--work-dir: what others have put where a run had its files is not followed, nor is it a bug."""

import errno
import fcntl
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from kept_runs import (
    SHARDS,
    Death,
    Told,
    die_at,
    died,
    digest,
    lines_of,
    run,
    spoil,
)

from dbshuf.base import owner
from dbshuf.base.leftovers import State, find_leftovers
from dbshuf.base.work_dir import WorkDir
from dbshuf.errors import (
    ManifestInvalid,
    NoInputFiles,
    OutputSpaceShort,
    OutputUnwritable,
    RunDiffers,
    TempSpaceShort,
    WorkDirUnfit,
)


@pytest.fixture
def _alarm():
    """End a test that waits for ever."""
    signal.alarm(60)
    yield
    signal.alarm(0)


def options_of(output: str) -> dict:
    return {**SHARDS, "output": output, "shards": 3 if output == "out" else None}


def hidden_in(folder: Path) -> list[Path]:
    return [one for one in folder.iterdir() if ".dbshuf-" in one.name]


def make_folder(path: Path, moved: Path) -> None:
    path.mkdir()
    (path / "0").mkdir()
    (path / "0" / "x").write_text("x")


KINDS = {
    "folder": make_folder,
    "link": lambda path, moved: path.symlink_to(moved),
    "link to nothing": lambda path, moved: path.symlink_to("nothing"),
    "pipe": lambda path, moved: os.mkfifo(path),
    "other file": lambda path, moved: path.write_text("x"),
    "two names": lambda path, moved: os.link(moved, path),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("output", ["out", "out.txt"])
@pytest.mark.usefixtures("_alarm")
def test_what_takes_the_place_of_a_begun_output_goes(output, kind, folder):
    """It is made anew under its name; what a link leads to, or has a second name, stays."""
    put: Callable[[Path, Path], None] = KINDS[kind]
    options = options_of(output)
    run(**options)
    wanted = digest(folder / output)
    os.rename(output, "old")
    died(folder, 5 if output == "out" else 3, "sealed", **options)
    (hidden,) = folder.glob(f".{output}.dbshuf-????????")
    if kind == "two names" and output == "out":
        hidden = hidden / "0"
    moved = folder / "moved"
    os.rename(hidden, moved)
    (moved / "mine" if moved.is_dir() else folder / "mine").write_text("mine")
    (moved / "77" if moved.is_dir() else folder / "77").write_text("mine")
    before = digest_of_all(moved)
    put(hidden, moved)
    told = Told()
    run(told, work_dir="work", **options)
    assert any("made anew" in text for text in told.texts)
    assert digest(folder / output) == wanted
    assert not (folder / output).is_symlink()
    assert digest_of_all(moved) == before
    assert not hidden_in(folder)


def digest_of_all(path: Path) -> dict[str, bytes]:
    files = [one for one in (path, *path.rglob("*")) if one.is_file()]
    return {str(one): one.read_bytes() for one in files}


@pytest.mark.parametrize("kind", ["folder", "pipe", "link"])
@pytest.mark.usefixtures("_alarm")
def test_what_takes_the_place_of_a_begun_shard_goes(kind, folder):
    """As of a whole output."""
    run(**SHARDS)
    wanted = digest(folder / "out")
    shutil.rmtree("out")
    died(folder, 5, "sealed")
    (hidden,) = folder.glob(".out.dbshuf-????????")
    os.rename(hidden / "0", "moved")
    KINDS[kind](hidden / "0", folder / "moved")
    run(work_dir="work", **SHARDS)
    assert digest(folder / "out") == wanted


@pytest.mark.parametrize("output", ["out", "out.txt"])
@pytest.mark.parametrize("record", [0, 1, 4])
def test_an_output_that_a_damaged_journal_has_forgotten_goes(record, output, folder):
    """Else it would be there for ever beside the one that is made anew."""
    options = options_of(output)
    died(folder, 1, "sealed", **options)
    lines = lines_of(folder / "work")
    spoil(folder / "work/dbshuf-journal", sum(map(len, lines[:record])) + 20)
    told = Told()
    run(told, work_dir="work", **options)
    assert any(text.startswith("removed `") for text in told.texts)
    assert not hidden_in(folder)


@pytest.mark.parametrize("text", ["[]", "5", "null", "{", ""])
def test_an_owner_that_is_none_is_written_anew(text, folder):
    """The lock says enough."""
    died(folder)
    (folder / "work/dbshuf-owner").write_text(text)
    run(work_dir="work", **SHARDS)
    assert (folder / "out/_SUCCESS").exists()


@pytest.mark.parametrize("name", ["dbshuf-owner", "dbshuf-journal"])
def test_a_work_dir_for_which_there_is_no_room_is_not_left_behind(name, folder, monkeypatch):
    """Else it is an empty directory of somebody's by the next run, and stays."""
    opened = os.open

    def full(path: object, *given: object) -> int:
        if str(path).endswith(name):
            raise OSError(errno.ENOSPC, "No space left on device")
        return opened(path, *given)

    monkeypatch.setattr(os, "open", full)
    with pytest.raises(TempSpaceShort):
        WorkDir(folder / "work")
    assert not (folder / "work").exists()


def test_death_before_a_run_has_begun_does_not_make_the_directory_somebody_elses(
    folder, monkeypatch
):
    """The first has made it, the second dies while it says whose it is, the third removes it."""
    WorkDir(folder / "work").leave()

    def killed(*_: object) -> None:
        raise Death

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", killed)
        with pytest.raises(Death):
            WorkDir(folder / "work")
    run(work_dir="work", **SHARDS)
    assert not (folder / "work").exists()


@pytest.mark.parametrize("inputs", [("small",), ("small/**/*",)])
def test_a_work_dir_among_the_inputs_is_none_of_them(inputs, folder):
    """The first run sees no such folder, and the next one must find the same inputs."""
    options = {"inputs": inputs, "output": "out.txt"}
    run(**options)
    wanted = digest(folder / "out.txt")
    os.remove("out.txt")
    assert die_at(1, "publishing", work_dir="small/sub-work", **options)
    assert (folder / "small/sub-work/dbshuf-rows").exists()
    if inputs == ("small",):
        with pytest.raises(NoInputFiles, match="of a --work-dir"):
            run(inputs=("small/sub-work",), output="x.txt")
    run(work_dir="small/sub-work", **options)
    assert digest(folder / "out.txt") == wanted


def test_a_folder_with_other_files_is_read_whatever_they_are_called(folder):
    """Only what runs alone have made is left out."""
    (folder / "small/dbshuf-owner").write_text("a line\n")
    (folder / "small/dbshuf-journal").write_text("a line\n")
    assert run(inputs=("small",), output="out.txt").rows == 5


def test_a_published_output_among_the_inputs_is_no_other_run(folder):
    """Death behind the rename: the rerun finds one input more, and says what there is."""
    options = {"inputs": ("small",), "output": "small/out.txt", "work_dir": "work"}
    assert die_at(1, "published", **options)
    told = Told()
    run(told, **options)
    assert told.texts == ["an earlier run has published the output already"]


def test_more_inputs_than_before_are_another_run(folder):
    """Where nothing was published."""
    options = {"inputs": ("small",), "output": "out.txt", "work_dir": "work"}
    assert die_at(1, "publishing", **options)
    (folder / "small/more.txt").write_text("more\n")
    with pytest.raises(RunDiffers, match="the number of inputs was `3`, and is `4`"):
        run(**options)
    assert not (folder / "out.txt").exists()


def test_a_manifest_that_waits_and_is_damaged_is_not_published(folder, monkeypatch):
    """The output is in place; that its manifest is not is said."""
    options = {**SHARDS, "manifest": "m.json", "work_dir": "work"}
    replace = os.replace

    def replaced(source: Path, place: Path) -> None:
        if Path(place).name == "m.json":
            raise Death
        replace(source, place)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", replaced)
        with pytest.raises(Death):
            run(**options)
    spoil(folder / "work/dbshuf-manifest", 30)
    with pytest.raises(ManifestInvalid, match="work/dbshuf-manifest` was changed") as caught:
        run(**options)
    assert "dbshuf clean" in caught.value.hint
    assert not (folder / "m.json").exists()


def test_a_work_dir_that_ends_while_another_run_waits_for_it_is_not_entered(folder, monkeypatch):
    """Its lock is of a file that has no name any more, so a third run would not see it."""
    from dbshuf.base import work_dir

    flock = work_dir.fcntl.flock

    def locked(fd: int, how: int) -> None:
        (folder / "work/dbshuf-owner").unlink()
        flock(fd, how)

    monkeypatch.setattr(work_dir.fcntl, "flock", locked)
    with pytest.raises(WorkDirUnfit, match="removed just now"):
        WorkDir(folder / "work")


@pytest.mark.parametrize("output", ["out", "out.txt"])
def test_two_runs_with_copies_of_a_work_dir_do_not_write_one_file(output, folder):
    """The second is refused as long as the first lives, and changes nothing; then it goes on."""
    options = options_of(output)
    died(folder, 3, "sealed", **options)
    shutil.copytree("work", "copy")
    (record,) = folder.glob(f".{output}.dbshuf-????????.owner")
    before = digest_of_all(record.with_name(record.name.removesuffix(".owner")))
    fd = os.open(record, os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_EX)
    with pytest.raises(OutputUnwritable, match="is in use by another run"):
        run(work_dir="copy", **options)
    assert digest_of_all(record.with_name(record.name.removesuffix(".owner"))) == before
    os.close(fd)
    run(work_dir="copy", **options)
    assert not hidden_in(folder)


def test_a_full_disk_does_not_make_a_begun_output_one_of_nobody(folder, monkeypatch):
    """Else the next run takes it for one that can go, and begins anew."""
    options = options_of("out.txt")
    died(folder, 2, "sealed", **options)
    (record,) = folder.glob(".out.txt.dbshuf-????????.owner")

    def full(write: Callable) -> Callable:
        def wrote(fd: int, *given: object) -> int:
            if ".out.txt." in os.readlink(f"/proc/self/fd/{fd}"):
                raise OSError(errno.ENOSPC, "No space left on device")
            return write(fd, *given)

        return wrote

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full(os.pwrite))
        patched.setattr(os, "write", full(os.write))
        with pytest.raises(OutputSpaceShort):
            run(work_dir="work", **options)
    (found,) = find_leftovers(folder)
    assert (found.record, found.state) == (record, State.KEPT)
    told = Told()
    run(told, work_dir="work", **options)
    assert any(text.startswith("goes on from") for text in told.texts)
    assert not any("made anew" in text for text in told.texts)


def test_a_begun_output_without_a_record_is_gone_on_with(folder, monkeypatch):
    """As where the disk was full when it was begun."""
    options = options_of("out.txt")
    monkeypatch.setattr(owner, "_written", lambda fd, text: False)
    died(folder, 2, "sealed", **options)
    assert not list(folder.glob("*.owner"))
    assert not find_leftovers(folder)
    told = Told()
    run(told, work_dir="work", **options)
    assert not any("made anew" in text for text in told.texts)
    assert not hidden_in(folder)
