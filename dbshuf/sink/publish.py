"""All of the output or none of it: hidden while it grows, then renamed into place.

A file grows as `.NAME.dbshuf-XXXXXXXX` beside the file it will replace, is fsynced,
renamed over it, and the directory is fsynced: at every moment the name holds the old
file or the whole new one. A symlink stays a link; the file that it points to is
replaced. A device, a pipe or a descriptor (`/dev/stdout`) is written as it is. What
takes the place of something has its owner, group and mode.

A directory that does not exist, or is empty, grows beside its place and is renamed
whole, so there too a reader sees nothing or everything. One that cannot be replaced
(it holds files, is a mount point or the working directory) gets its shards one rename
at a time, out of a hidden directory inside it, once all of them are complete and on
disk; shards of an older set that were not replaced are removed last. What an older run
said of its shards (`_SUCCESS`, then its manifest and checksums) goes before the first
of them, and the new comes after the last, `_SUCCESS` last of all. A machine that
dies within those renames leaves whole shards, but maybe of both sets, and no
`_SUCCESS`: that much is all that a directory can promise. A process that is killed leaves the
hidden name behind, and the next run here removes it (`base/leftovers.py`).
"""

import contextlib
import errno
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from dbshuf.base.block_io import write_file
from dbshuf.base.commit import commit
from dbshuf.base.durable import sync_all
from dbshuf.base.filenames import hidden_beside, hidden_in
from dbshuf.base.temporary import release, remove
from dbshuf.base.work_dir import sync_directory
from dbshuf.manifest.names import SUCCESS_NAME
from dbshuf.sink.file_modes import mode_of_folder, mode_of_new, set_modes
from dbshuf.sink.kept import Kept, claimed
from dbshuf.sink.older_shards import older_folders, remove_marks
from dbshuf.sink.output_path import (
    Found,
    can_be_replaced,
    check_move,
    find,
    refuse_content,
    refuse_shared,
    shards_in,
)
from dbshuf.sink.raw_file import (
    ByteOutput,
    DiskFile,
    MeasuredOutput,
    OpenFile,
    SealedBytes,
    in_words,
)
from dbshuf.sink.remote_path import RemotePath
from dbshuf.sink.seal import Marked
from dbshuf.sink.shard_names import folders_of

if TYPE_CHECKING:
    from dbshuf.sink.kept_uploads import KeptUploads
    from dbshuf.sink.target import Target


class Place(Protocol):
    """Where output goes: it takes the bytes, then one of publish and discard is called."""

    def publish(self) -> None:
        """Put what is finished under its name."""

    def discard(self) -> None:
        """Remove what is hidden; never raises."""


class FilePlace(Place, Protocol):
    """Where one file goes."""

    @property
    def output(self) -> ByteOutput:
        """Where the bytes go."""


class Directory(Place, Marked, Protocol):
    """Where several files go, each under its own name."""

    def create(self, name: str | None) -> tuple[int, MeasuredOutput]:
        """Return the number of the next file, and the file, open for writing.

        name    that `name` will give it, where it is known already
        """

    def name(self, number: int, name: str) -> None:
        """Say what a file is to be called, maybe in a folder: `train/part-00000-of-00001.txt`."""


class FileOf:
    """A place for one file in a directory, which publishes or discards it with the others."""

    def __init__(self, directory: Directory, name: str) -> None:
        number, self.output = directory.create(name)
        directory.name(number, name)

    def publish(self) -> None:
        """Leave it to the directory."""

    def discard(self) -> None:
        """Leave it to the directory."""


def directory_of(target: "Target") -> Directory:
    """Return the place for the shards of a target."""
    assert target.path is not None
    if isinstance(target.path, RemotePath):
        from dbshuf.sink.remote_place import RemoteDirectory

        return RemoteDirectory(target)
    return HiddenDirectory(target.path, force=target.force)


def place_of(target: "Target", kept: "KeptUploads | None" = None) -> FilePlace:
    """Return the place for the one file of a target, or for stdout.

    kept  what begins the upload of an object, where a later process may go on with it
    """
    path = target.path
    if path is None:
        return OpenPlace(1, shown="standard output")
    if isinstance(path, RemotePath):
        from dbshuf.sink.remote_place import RemotePlace

        return RemotePlace(target, kept)
    with in_words(str(path)):
        found = find(path)
        if found.fd is not None:
            return OpenPlace(found.fd, shown=str(path))
        if found.is_special:
            return OpenPlace(os.open(path, os.O_WRONLY), shown=str(path), owned=True)
    return HiddenFile(found, shown=str(path))


def publish_whole(
    target: "Target", pieces: Iterable[bytes], kept: "KeptUploads | None" = None
) -> None:
    """Write the one file of a target as it comes, and show it: whole or not at all.

    kept    as in `place_of`
    Raises  OutputUnwritable, OutputSpaceShort
    """
    place = place_of(target, kept)
    try:
        for piece in pieces:
            place.output.write(piece)
        place.output.finish()
        place.publish()
    except BaseException:
        place.output.abort()
        place.discard()
        raise


class OpenPlace:
    """A descriptor, written as it is: there is nothing to hide or to rename."""

    def __init__(self, fd: int, *, shown: str, owned: bool = False) -> None:
        self.output = OpenFile(fd, shown=shown)
        self._owned_fd = fd if owned else -1

    def publish(self) -> None:
        self.discard()

    def discard(self) -> None:
        fd, self._owned_fd = self._owned_fd, -1
        if fd >= 0:
            with contextlib.suppress(OSError):
                os.close(fd)


class HiddenFile:
    """A file under a hidden name, beside the one it will become."""

    def __init__(self, found: Found, *, shown: str, kept: Kept | None = None) -> None:
        self._shown = shown
        self._final, self._old = found.final, found.old
        self._hidden = claimed(hidden_beside(self._final), kept)
        had = None if kept is None else kept.had
        self.output = DiskFile(
            self._hidden, shown=shown, mode=0o600, with_sum=kept is not None, had=had
        )
        self._mode = mode_of_new(self._final.parent)

    @property
    def move(self) -> tuple[Path, Path]:
        """What is hidden, and the name that it will have."""
        return self._hidden, self._final

    def check(self) -> None:
        """Raise OutputUnwritable where `publish` would, as far as can be told."""
        with in_words(self._shown):
            check_move(self._hidden, self._final)

    def publish(self) -> None:
        with in_words(self._shown):
            set_modes(self._hidden, self._old, self._mode)
            commit()
            os.replace(self._hidden, self._final)
            release(self._hidden)
            sync_directory(self._final.parent)

    def discard(self) -> None:
        remove(self._hidden)


class HiddenDirectory:
    """Files without names in a hidden directory; `publish` shows them under those given to
    `name`.

    place   where it lies; what is beside it is in the same file system
    """

    def __init__(self, path: Path, *, force: bool, kept: Kept | None = None) -> None:
        self._shown = str(path)
        self._force = force
        self._with_sums = kept is not None
        self._files = 0  # that were created
        self._kept = frozenset() if kept is None else kept.numbers
        self._names: dict[int, str] = {}
        self._marks: list[str] = []
        with in_words(self._shown):
            found = find(path)
            self._final = found.final
            self._whole = can_be_replaced(found)
            if kept is not None and kept.hidden is not None:
                self._whole = self._whole and kept.hidden.parent == self._final.parent
            hidden = hidden_beside(self._final) if self._whole else hidden_in(self._final)
            self._hidden = claimed(hidden, kept)
            if kept is None or not self._hidden.is_dir():
                os.mkdir(self._hidden, 0o700)
            self._mode = mode_of_folder(self._hidden)
        self._old = found.old
        self.place = self._hidden.parent
        self._system_fd = -1  # see `sync_all`

    def create(self, name: str | None) -> tuple[int, DiskFile]:
        """Return the number of the next file, and the file, open for writing."""
        number, path = self._next()
        is_kept = self._with_sums
        if self._system_fd < 0:
            with in_words(self._shown, 0):
                self._system_fd = os.open(self.place, os.O_RDONLY)
        return number, DiskFile(
            path, shown=self._shown, with_sum=is_kept, is_synced_later=not is_kept
        )

    def _next(self) -> tuple[int, Path]:
        """Return the number of the next file, and where it is."""
        self._skip_kept()
        number = self._files
        self._files += 1
        return number, self._hidden / str(number)

    def _skip_kept(self) -> None:
        while self._files in self._kept:
            self._files += 1

    def named(self) -> list[tuple[Path, str]]:
        """Return all files that were given names: where each is, and its name."""
        return [(self._hidden / str(at), name) for at, name in sorted(self._names.items())]

    @property
    def marks(self) -> list[tuple[Path, str]]:
        """All files that `mark` made: where each is, and its name."""
        return [(self._hidden / name, name) for name in self._marks]

    def reopen(self, number: int, had: SealedBytes) -> DiskFile:
        """Open one of the files to stay, to go on with it."""
        return DiskFile(self._hidden / str(number), shown=self._shown, with_sum=True, had=had)

    @property
    def move(self) -> tuple[Path, Path]:
        """What is hidden, and the name that it will have."""
        return self._hidden, self._final

    def take_in(self, path: Path) -> int:
        """Take a finished file from beside it, and return its number."""
        number, taken = self._next()
        with in_words(self._shown):
            os.rename(path, taken)
        return number

    def name(self, number: int, name: str) -> None:
        """Say what a file is to be called, maybe in a folder: `train/part-00000-of-00001.txt`."""
        self._names[number] = name

    def mark(self, name: str, pieces: Iterable[bytes]) -> None:
        """Add a file that says something of the others; see `seal.Marked`."""
        with in_words(self._shown, 0):
            _make_folder((self._hidden / name).parent)
            write_file(self._hidden / name, pieces)
        self._marks.append(name)

    def publish(self) -> None:
        """Put the files under their names, all of them at once where that can be."""
        self._skip_kept()
        names = [self._names[number] for number in range(self._files)]
        assert self._kept <= set(range(self._files)), "all that was begun was begun again"
        folders = folders_of(names)
        with in_words(self._shown):
            for folder in folders:
                _make_folder(self._hidden / folder)
            refuse_shared(self._hidden, folders, self._final)
            for number, name in enumerate(names):
                os.rename(self._hidden / str(number), self._hidden / name)
            sync_all(self._hidden, names, folders, self._system_fd)
            self._close()
            if not (self._whole and self._rename_whole()):
                self._move_in(names, folders)

    def _rename_whole(self) -> bool:
        set_modes(self._hidden, self._old, self._mode)
        commit()
        try:
            os.rename(self._hidden, self._final)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.EBUSY):
                raise
            return False  # something came into the directory since the start
        release(self._hidden)
        sync_directory(self._final.parent)
        return True

    def _move_in(self, names: list[str], folders: list[str]) -> None:
        refuse_content(self._final, force=self._force)
        refuse_shared(self._final, folders)
        older = older_folders(self._final, folders)
        commit()
        for folder in ["", *older, *folders_of(self._marks)]:
            remove_marks(self._final / folder)
        for folder in folders:
            _make_folder(self._final / folder)
        for name in names:
            os.replace(self._hidden / name, self._final / name)
        for folder in [*older, *folders]:
            old = {os.path.join(folder, name) for name in shards_in(self._final / folder)}
            for name in old.difference(names):
                os.unlink(self._final / name)
            sync_directory(self._final / folder)
        for folder in reversed(list(filter(None, older))):
            with contextlib.suppress(OSError):  # something of the user's is in it
                os.rmdir(self._final / folder)
        for name in sorted(self._marks, key=lambda name: os.path.basename(name) == SUCCESS_NAME):
            os.replace(self._hidden / name, self._final / name)
            sync_directory((self._final / name).parent)
        remove(self._hidden)
        sync_directory(self._final)

    def discard(self) -> None:
        self._close()
        remove(self._hidden)

    def _close(self) -> None:
        fd, self._system_fd = self._system_fd, -1
        if fd >= 0:
            os.close(fd)


def _make_folder(folder: Path) -> None:
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder)
