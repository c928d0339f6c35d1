"""The objects that a URL stands for: one, all below a prefix, or those that match a glob."""

import posixpath
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

from dbshuf.errors import InputMissing
from dbshuf.manifest.names import MANIFEST_NAME, is_mark
from dbshuf.remote.names import RemoteName, remote_name
from dbshuf.remote.object_store import ObjectInfo, ObjectStore
from dbshuf.remote.opening import store_of
from dbshuf.source.include import PathFilter
from dbshuf.source.listing import Listing, is_hidden
from dbshuf.source.remote_object import RemoteObject

_MAGIC = re.compile(r"[*?[]")


Found = tuple[RemoteObject, str]  # with the prefix or glob; empty if it was named itself


def objects_of(url: str, chosen: PathFilter) -> list[Found]:
    """Return what a URL stands for, by the bytes of their keys.

    An object of that very name comes first, then a prefix of names, then a glob.
    Raises  UsageError, InputMissing, NoInputFiles, ExtraMissing, RemoteDenied, RemoteFailed
    """
    name = remote_name(url)
    store = store_of(name)
    if not name.is_listed:
        return [(_object(name, store, store.stat(name.key)), "")]
    if name.key and not name.key.endswith("/"):
        try:
            return [(_object(name, store, store.stat(name.key)), "")]
        except InputMissing:
            pass
    return RemoteListing(name, store, chosen).found()


def _object(name: RemoteName, store: ObjectStore, info: ObjectInfo) -> RemoteObject:
    return RemoteObject(store, info, name.shown(info.key))


class RemoteListing(Listing):
    """One look at what a prefix or a glob stands for; hidden names are left out as of folders."""

    def __init__(self, name: RemoteName, store: ObjectStore, chosen: PathFilter) -> None:
        super().__init__(name.shown(), chosen)
        self._remote_name, self._store = name, store

    def found(self) -> list[Found]:
        """Return the objects; raises NoInputFiles or InputMissing where there are none."""
        key = self._remote_name.key
        prefix = key if not key or key.endswith("/") else f"{key}/"
        listed = self._listed(prefix)
        if listed or prefix == key:
            return self._below_prefix(prefix, listed)
        if not _MAGIC.search(key):
            raise InputMissing(
                f"no such object: `{self._name}`", hint="check the name, or quote a glob"
            )
        return self._matching(key)

    def _listed(self, prefix: str) -> list[ObjectInfo]:
        return [one for one in self._store.list(prefix) if not one.key.endswith("/")]

    def _below_prefix(self, prefix: str, listed: Sequence[ObjectInfo]) -> list[Found]:
        name, taken = self._remote_name, []
        marked = {posixpath.dirname(one.key) for one in listed if one.key.endswith(MANIFEST_NAME)}
        for one in listed:
            below = one.key[len(prefix) :]
            *folders, last = below.split("/")
            beside = (MANIFEST_NAME,) if posixpath.dirname(one.key) in marked else ()
            if (
                any(is_hidden(part, is_folder=True) for part in folders)
                or is_hidden(last, is_folder=False)
                or is_mark(last, beside)
            ):
                self._left_out["hidden"] += 1
            elif not self._filter.takes(below):
                self._left_out["excluded"] += 1
            else:
                taken.append((_object(name, self._store, one), name.shown(prefix)))
        if not taken:
            raise self._nothing(f"`{name.shown(prefix)}` holds no objects")
        return taken

    def _matching(self, pattern: str) -> list[Found]:
        name, taken = self._remote_name, []
        fixed = _MAGIC.split(pattern, maxsplit=1)[0]
        folder = fixed.rpartition("/")[0]
        for one in self._listed(fixed):
            if not _matches(pattern.split("/"), one.key.split("/")):
                continue
            if self._filter.takes(one.key[len(folder) :].lstrip("/")):
                taken.append((_object(name, self._store, one), self._name))
            else:
                self._left_out["excluded"] += 1
        if not taken:
            raise self._nothing(f"no object matches `{self._name}`", "hidden ones need a dot there")
        return taken


def _matches(globs: Sequence[str], names: Sequence[str]) -> bool:
    """Whether a key is one of a glob's, as `glob.glob` has it for paths."""
    if not globs:
        return not names
    if globs == ["**"]:
        return not any(name.startswith(".") for name in names)
    if globs[0] == "**":
        if _matches(globs[1:], names):
            return True
        return len(names) > 1 and not names[0].startswith(".") and _matches(globs, names[1:])
    if not names or (names[0].startswith(".") and not globs[0].startswith(".")):
        return False
    return fnmatchcase(names[0], globs[0]) and _matches(globs[1:], names[1:])
