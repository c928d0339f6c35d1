"""Standard output, or a file.

A file grows without a name, or under a hidden one, and takes the place of what is there at the
end: `shuf -o f f` works, and who reads `f` meanwhile sees the old lines or the new ones. What
cannot be replaced is written as GNU shuf does it: devices and pipes, files with several names
or another owner, and those in a directory where nothing may be made.
"""

import contextlib
import os
import stat

_PIECE_BYTES = 8 << 20  # of one write, so that Ctrl-C is soon seen


class Output:
    """A descriptor that is written front to back."""

    def __init__(self, fd: int, *, is_emptied: bool = False) -> None:
        """Write to a descriptor.

        is_emptied  whether a file loses what it holds, as soon as something is written or it ends
        """
        self._fd = fd
        self._is_emptied = is_emptied

    def is_file(self, fd: int) -> bool:
        """Whether it is the file of a descriptor."""
        return os.path.samestat(os.fstat(self._fd), os.fstat(fd))

    def write(self, data: bytes | memoryview) -> None:
        """Write all of `data`; raises OSError."""
        self._empty()
        left = memoryview(data)
        while left:
            try:
                left = left[os.write(self._fd, left[:_PIECE_BYTES]) :]
            except BlockingIOError:  # whoever opened it asked not to wait
                import select

                select.select([], [self._fd], [])

    def _empty(self) -> None:
        if self._is_emptied:
            self._is_emptied = False
            if stat.S_ISREG(os.fstat(self._fd).st_mode):
                os.ftruncate(self._fd, 0)

    def finish(self) -> None:
        """Show what was written; raises OSError."""
        self._empty()

    def abort(self) -> None:
        """Leave things as they were, as far as that can be; never raises."""


class NewFile(Output):
    """A file that takes its name at the end."""

    def __init__(self, final: str, old: os.stat_result | None) -> None:
        """Make it in the folder of its name; raises OSError.

        final  where it will be, all links followed
        old    what is there now
        """
        self._final, self._old = final, old
        self._hidden: str | None = None
        folder = os.path.dirname(final)
        try:
            os.stat("/proc/self/fd")  # what gives such a file its name
            fd = os.open(folder, os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, 0o666)
        except (AttributeError, OSError):  # no Linux, or a file system that knows no such files
            self._hidden = _hidden_beside(final)
            fd = os.open(self._hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        super().__init__(fd)
        if old is not None:
            try:
                os.fchmod(fd, stat.S_IMODE(old.st_mode))
                if (old.st_uid, old.st_gid) != (os.geteuid(), os.fstat(fd).st_gid):
                    os.fchown(fd, old.st_uid, old.st_gid)
            except OSError:
                self.abort()
                raise

    def finish(self) -> None:
        """Give the file its name; raises OSError."""
        if self._old is not None:  # these lines may be all that is left of the old ones
            os.fsync(self._fd)
        if self._hidden is None:
            self._hidden = _hidden_beside(self._final)
            # With a descriptor of a folder it is linkat, which follows /proc's link to the file.
            os.link(f"/proc/self/fd/{self._fd}", self._hidden, src_dir_fd=self._fd)
        os.replace(self._hidden, self._final)
        os.close(self._fd)

    def abort(self) -> None:
        if self._hidden is not None:
            with contextlib.suppress(OSError):
                os.unlink(self._hidden)
        with contextlib.suppress(OSError):
            os.close(self._fd)


def open_output(name: str | None) -> Output:
    """Return where a run writes to; raises OSError.

    name  None for standard output
    """
    if name is None:
        return Output(1)
    old: os.stat_result | None = None
    with contextlib.suppress(FileNotFoundError):
        old = os.stat(name)
    if _can_be_replaced(name, old):
        with contextlib.suppress(OSError):  # then the next line says why, or does without
            return NewFile(os.path.realpath(name), old)
    fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
    return Output(fd, is_emptied=True)


def _can_be_replaced(name: str, old: os.stat_result | None) -> bool:
    """Whether a new file in the place of what is there takes nothing from anybody."""
    if old is None:
        parent, last = os.path.split(name)
        return last not in ("", ".", "..") and os.path.isdir(parent or ".")
    if not stat.S_ISREG(old.st_mode) or old.st_nlink != 1 or not os.access(name, os.W_OK):
        return False
    final = os.path.realpath(name)
    if final.startswith(("/proc/", "/dev/")):  # a link to a descriptor, open already
        return False
    with contextlib.suppress(OSError):
        folder = os.stat(os.path.dirname(final))
        sticky = folder.st_mode & stat.S_ISVTX
        owners = (0, old.st_uid, folder.st_uid)
        return folder.st_dev == old.st_dev and not (sticky and os.geteuid() not in owners)
    return False


def _hidden_beside(final: str) -> str:
    folder, name = os.path.split(final)
    short = os.fsencode(name)[:200].decode("utf-8", "ignore")
    return os.path.join(folder, f".{short}.dbshuf-{os.urandom(4).hex()}")
