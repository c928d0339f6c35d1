"""The paths that a glob stands for: `*`, `?` and `[...]` within a name, `**` for any folders.

What Python's `glob` matches, with two differences. Where `**` leads to a folder again, by a link
or by another `**`, that is not walked again, or its files would be there twice and more, of a link
to a folder that it is in some 40 times. And a folder that cannot be read is an error: there its
files would be missing without a word (3.11 to 3.14).
"""

import glob
import os
import stat
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from dbshuf.source.input import fixed_part, unreadable

_ANY_FOLDERS = "**"


def matching(pattern: str) -> list[str]:
    """Return the paths that match, files and folders, by path bytes; raises InputUnreadable."""
    base = fixed_part(pattern)
    parts = [part for part in pattern[len(base) :].split("/") if part]
    if not parts or pattern.endswith("/"):  # folders alone
        return []
    if not base and pattern.startswith("/"):
        base = "/"
    return sorted(_Walk().matches(base, parts), key=os.fsencode)


class _Walk:
    """A look at the folders that a glob leads to."""

    def __init__(self) -> None:
        self._seen: set[tuple[int, int, int]] = set()  # by the parts that are left, and where

    def matches(self, base: str, parts: Sequence[str]) -> Iterator[str]:
        """Yield what in the folder `base` matches the parts of a pattern."""
        part, rest = parts[0], parts[1:]
        if part == _ANY_FOLDERS:
            while rest and rest[0] == _ANY_FOLDERS:
                rest = rest[1:]
            for folder in self._folders(base, len(rest)):
                yield from self.matches(folder, rest or ["*"])
            return
        for path in self._named(base, part):
            if not rest:
                yield path
            elif os.path.isdir(path):
                yield from self.matches(path, rest)

    def _folders(self, top: str, left: int) -> Iterator[str]:
        """Yield a folder and those below it, each once; links come after what lies there itself."""
        waiting = [top]
        while waiting:
            links = []
            stack = waiting[::-1]
            while stack:
                folder = stack.pop()
                if not self._is_new(folder, left):
                    continue
                yield folder
                inside = _folders_in(folder)
                links += [path for path, is_link in inside if is_link]
                stack += [path for path, is_link in reversed(inside) if not is_link]
            waiting = sorted(links, key=os.fsencode)

    def _is_new(self, folder: str, left: int) -> bool:
        """Whether this is a folder that was not walked so far for as many parts."""
        try:
            status = os.stat(folder or os.curdir)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise unreadable(folder or os.curdir, error) from error
        place = (left, status.st_dev, status.st_ino)
        is_new = stat.S_ISDIR(status.st_mode) and place not in self._seen
        self._seen.add(place)
        return is_new

    def _named(self, base: str, part: str) -> Iterator[str]:
        """Yield the paths in a folder whose names match, by their bytes."""
        try:
            if glob.has_magic(part):
                names = os.listdir(base or os.curdir)
            else:
                os.lstat(os.path.join(base, part))
                names = [part]
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise unreadable(base or os.curdir, error) from error
        is_hidden = part.startswith(".")
        for name in sorted(names, key=os.fsencode):
            if name == part or (
                (is_hidden or not name.startswith(".")) and fnmatchcase(name, part)
            ):
                yield os.path.join(base, name)


def _folders_in(folder: str) -> list[tuple[str, bool]]:
    """Return the folders in one that are not hidden, by their bytes, and whether each is a link."""
    try:
        with os.scandir(folder or os.curdir) as entries:
            shown = [one for one in entries if not one.name.startswith(".")]
    except OSError as error:
        raise unreadable(folder or os.curdir, error) from error
    shown.sort(key=lambda one: os.fsencode(one.name))
    return [
        (os.path.join(folder, one.name), one.is_symlink())
        for one in shown
        if (os.path.isdir(one) if one.is_symlink() else one.is_dir())  # a link to itself is none
    ]
