"""--include and --exclude: which files of directories and globs are taken.

A pattern without a slash is the name of a file or of a folder, anywhere below the directory;
one with a slash is a path from there. `*` and `?` stop at a slash, `**` does not. What matches
a folder matches all that is in it, and a slash at the end matches folders alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from dbshuf.errors import UsageError

_HINT = "as in --include '*.parquet' or --exclude 'drafts/'"


@dataclass(frozen=True)
class Pattern:
    """One pattern: a glob a name of the path, `**` for any number of them."""

    globs: tuple[str, ...]
    is_of_folders: bool

    def matches(self, path: str, *, is_folder: bool = False) -> bool:
        """Whether a path is meant, or a folder that it is in."""
        names = path.split("/")
        return self._begins(self.globs, names if not is_folder else [*names, ""])

    def _begins(self, globs: tuple[str, ...], names: Sequence[str]) -> bool:
        """Whether the first of the names match all globs; what lies below is meant too."""
        if not globs:
            return bool(names) or not self.is_of_folders
        if globs[0] == "**":
            rest = globs[1:]
            if not rest:
                return len(names) > self.is_of_folders
            return any(self._begins(rest, names[start:]) for start in range(len(names)))
        is_alike = bool(names) and names[0] != "" and fnmatchcase(names[0], globs[0])
        return is_alike and self._begins(globs[1:], names[1:])


@dataclass(frozen=True)
class PathFilter:
    """What the user wants of directories: all that `include` names, but what `exclude` does."""

    include: tuple[Pattern, ...] = ()
    exclude: tuple[Pattern, ...] = ()

    def takes(self, path: str) -> bool:
        """Whether a file is taken; its path starts at the directory that the user named."""
        if any(pattern.matches(path) for pattern in self.exclude):
            return False
        return not self.include or any(pattern.matches(path) for pattern in self.include)

    def enters(self, path: str) -> bool:
        """Whether a folder may hold files that are taken."""
        return not any(pattern.matches(path, is_folder=True) for pattern in self.exclude)


def path_filter(include: Sequence[str], exclude: Sequence[str]) -> PathFilter:
    """Return what both options say; raises UsageError for a pattern that matches nothing."""
    return PathFilter(
        tuple(_pattern(text, "--include") for text in include),
        tuple(_pattern(text, "--exclude") for text in exclude),
    )


def _pattern(text: str, option: str) -> Pattern:
    globs = tuple(part for part in text.split("/") if part not in ("", "."))
    if not globs or ".." in globs:
        raise UsageError(f"{option} `{text}` matches nothing", hint=_HINT)
    is_path = len(globs) > 1 or text.startswith(("/", "./"))
    return Pattern(globs if is_path else ("**", *globs), text.endswith("/"))
