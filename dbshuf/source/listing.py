"""The files that a directory or a glob stands for, in an order that no machine changes.

A directory is everything below it: links are followed, every folder is walked once, and what
is hidden, special (a pipe, a device, a socket) or not chosen is left out; so is a --work-dir,
which may have been made since the run in it has looked for its inputs.
"""

import contextlib
import os
import stat
from collections import Counter
from collections.abc import Iterator

from dbshuf.base.filenames import are_of_work_dir, is_of_work_dir
from dbshuf.errors import NoInputFiles
from dbshuf.manifest.names import is_mark
from dbshuf.source.include import PathFilter
from dbshuf.source.input import fixed_part, unreadable
from dbshuf.source.path_glob import matching


class Listing:
    """One look at what a name on the command line stands for; counts what is left out."""

    def __init__(self, name: str, path_filter: PathFilter) -> None:
        self._name, self._filter = name, path_filter
        self._left_out: Counter[str] = Counter()
        self._seen: set[tuple[int, int]] = set()

    def files_below(self) -> list[str]:
        """Return the files of a directory by path bytes.

        A folder that several links lead to is read where it lies, if that is below the
        directory, else by the first of the links. A link to a folder that it is in is none.
        Raises  NoInputFiles, InputUnreadable
        """
        found: list[str] = []
        folders = [self._name]
        while folders:
            links: list[str] = []
            for folder in folders:
                found += self._files_of(folder, links)
            folders = sorted(links, key=os.fsencode)
        if not found:
            raise self._nothing(f"directory `{self._name}` holds no files")
        return sorted(found, key=os.fsencode)

    def files_matching(self) -> list[str]:
        """Return the files that match a glob by path bytes.

        Raises  NoInputFiles, InputUnreadable
        """
        start = fixed_part(self._name)
        found = []
        for path in matching(self._name):
            if _is_in_work_dir(path):
                self._left_out["kept"] += 1
            elif not os.path.isdir(path) and self._is_taken(path, path[len(start) :].lstrip("/")):
                found.append(path)
        if not found:
            raise self._nothing(f"no file matches `{self._name}`", "hidden files need a dot there")
        return found

    def _files_of(self, top: str, links: list[str]) -> Iterator[str]:
        """Yield the files below a folder, and collect the links to folders."""
        stack = [top]
        while stack:
            folder = stack.pop()
            try:
                if not self._is_new(folder):
                    continue
                with os.scandir(folder) as entries:
                    inside = list(entries)
            except OSError as error:
                raise unreadable(str(error.filename or folder), error) from error
            names = {entry.name for entry in inside}
            if are_of_work_dir(names):
                self._left_out["kept"] += 1
                continue
            for entry in inside:
                is_folder = os.path.isdir(entry)  # a link to itself is none
                if is_hidden(entry.name, is_folder=is_folder) or is_mark(entry.name, names):
                    self._left_out["hidden"] += 1
                elif not is_folder:
                    if self._is_taken(entry.path, self._below(entry.path)):
                        yield entry.path
                elif not self._filter.enters(self._below(entry.path)):
                    self._left_out["excluded"] += 1
                elif not entry.is_symlink():
                    stack.append(entry.path)
                elif not _leads_back(entry.path, folder):
                    links.append(entry.path)

    def _is_new(self, folder: str) -> bool:
        """Whether a folder was not walked so far."""
        status = os.stat(folder)
        place = (status.st_dev, status.st_ino)
        is_new = place not in self._seen
        self._seen.add(place)
        return is_new

    def _is_taken(self, path: str, below: str) -> bool:
        """Whether a file is one of the inputs; a link to nothing is, and an error later."""
        try:
            is_special = not stat.S_ISREG(os.stat(path).st_mode)
        except OSError:
            is_special = False
        why = "special" if is_special else "" if self._filter.takes(below) else "excluded"
        if why:
            self._left_out[why] += 1
        return not why

    def _below(self, path: str) -> str:
        return path[len(self._name) :].lstrip("/")

    def _nothing(self, message: str, hint: str = "") -> NoInputFiles:
        """The error where nothing is left, with what was left out."""
        words = {
            "hidden": "hidden (`.` or `_` in front)",
            "special": "no regular files",
            "excluded": "not chosen by --include and --exclude",
            "kept": "of a --work-dir",
        }
        counts = [f"{self._left_out[why]:,} {word}" for why, word in words.items()]
        shown = ", ".join(text for text in counts if not text.startswith("0 "))
        if shown:
            hint = "name what is to be read, or a glob that matches it"
        if self._left_out["excluded"]:
            hint = "check the patterns of --include and --exclude"
        message += f" to read: {shown}" if shown else ""
        return NoInputFiles(message, hint=hint or "check the path")


def is_hidden(name: str, *, is_folder: bool) -> bool:
    """Whether Spark and Arrow leave a name out of what they read.

    They mark so what is no data: `_SUCCESS`, `_temporary/`, `.part-0.crc`. A folder
    `_lang=en` holds rows, as Spark has it: its name is a column's.
    """
    return name.startswith(".") or (name.startswith("_") and not (is_folder and "=" in name))


def _is_in_work_dir(path: str) -> bool:
    """Whether a file is one that a run keeps in a --work-dir."""
    folder, name = os.path.split(path)
    if not is_of_work_dir(name):
        return False
    with contextlib.suppress(OSError):
        return are_of_work_dir(os.listdir(folder or os.curdir))
    return False


def _leads_back(path: str, parent: str) -> bool:
    """Whether a link leads to a folder that it is in."""
    here, there = os.path.realpath(parent), os.path.realpath(path)
    return os.path.commonpath([here, there]) == there
