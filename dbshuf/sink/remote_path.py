"""The name of an output in an object store: the twin of a local path."""

import posixpath
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from dbshuf.base.remote_names import is_remote_output
from dbshuf.remote.names import remote_name


@dataclass(frozen=True)
class RemotePath:
    """An object, or all objects under a prefix.

    root   the bucket: `s3://bucket`
    key    as a listing gives it, never quoted; with a slash at its end, or empty: a directory
    """

    root: str
    key: str

    def __str__(self) -> str:
        return f"{self.root}/{self.key}"

    @property
    def name(self) -> str:
        return posixpath.basename(self.key)

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.name).suffix

    @property
    def suffixes(self) -> list[str]:
        return PurePosixPath(self.name).suffixes

    def with_name(self, name: str) -> "RemotePath":
        return replace(self, key=self.parent_prefix + name)

    def is_dir(self) -> bool:
        """Whether it is named as a directory is."""
        return not self.name

    @property
    def prefix(self) -> str:
        """What the keys in it begin with, if it is a directory."""
        return self.key if self.is_dir() else f"{self.key}/"

    @property
    def parent_prefix(self) -> str:
        """What the keys begin with that lie beside it, if it is no directory."""
        return self.key[: len(self.key) - len(self.name)]


OutputPath = Path | RemotePath


def output_path(name: str) -> OutputPath:
    """Return what the name of an output names. Raises UsageError for a URL without a bucket."""
    if not is_remote_output(name):
        return Path(name)
    found = remote_name(name)
    return RemotePath(found.root, found.key)
