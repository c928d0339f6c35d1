"""The files of an output against the list that was made with them: a manifest or SHA256SUMS."""

import hashlib
import math
import posixpath
import random
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from dbshuf.base.process_memory import usable_cores
from dbshuf.base.progress import Progress
from dbshuf.base.remote_names import is_remote, shown_url
from dbshuf.errors import InputMissing, InputUnreadable, ManifestInvalid, UsageError
from dbshuf.manifest.document import Manifest
from dbshuf.manifest.names import CARD_NAME, MANIFEST_NAME, SUCCESS_NAME, SUMS_NAME, SUMS_NAMES
from dbshuf.options import Options
from dbshuf.pipeline.verify.epochs import Epochs, epochs_in
from dbshuf.pipeline.verify.folders import Folder, file_of, folder_of, read_whole, readers_of
from dbshuf.plan.row_plan import memory_cap

_SHOWN_PROBLEMS = 20
_HEX_DIGITS = frozenset("0123456789abcdef")


@dataclass(frozen=True)
class _Listed:
    """A file as a list has it.

    bytes  None: the list does not say
    """

    name: str
    bytes: int | None
    sha256: str


@dataclass(frozen=True)
class Problem:
    """What is wrong with one file.

    kind  missing, added, size, sha256, unreadable or list
    """

    kind: str
    file: str
    what: str

    @property
    def shown(self) -> str:
        """It as people read it."""
        return f"`{self.file}` {self.what}"


@dataclass(frozen=True)
class FilesVerified:
    """What a check of files found.

    listed_in           the manifest, or the list of sums
    files, text_bytes   that are listed and there
    hashed_files        of those, how many were read and hashed, and
    hashed_bytes        how much that was
    """

    listed_in: str
    files: int
    text_bytes: int
    hashed_files: int
    hashed_bytes: int
    problems: tuple[Problem, ...]
    elapsed_s: float = 0.0

    @property
    def is_same(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    @property
    def verdict(self) -> str:
        """What is wrong, in one sentence."""
        kinds = [one.kind for one in self.problems]
        words = {"size": "of another size", "sha256": "of other bytes", "list": "listed otherwise"}
        counts = [f"{kinds.count(kind):,} {words.get(kind, kind)}" for kind in dict.fromkeys(kinds)]
        return f"the files are not those of `{self.listed_in}`: {', '.join(counts)}"

    @property
    def details(self) -> list[str]:
        """The first problems, a line each."""
        shown = [one.shown for one in self.problems[:_SHOWN_PROBLEMS]]
        more = len(self.problems) - len(shown)
        return [*shown, *([f"and {more:,} more; --json has them all"] if more else [])]

    @property
    def hint(self) -> str:
        """What to do about it."""
        return "fetch the files again, or run the shuffle again: its seed is in the manifest"

    def to_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return {"same": self.is_same} | asdict(self)


def verify_files(
    output: str | None,
    reporter: Progress,
    *,
    manifest: str | None = None,
    sample: float | None = None,
    threads: int | None = None,
    memory: str | int | None = None,
) -> FilesVerified:
    """Check the files of an output: that all are there, of their sizes and sums, and no others.

    output    a directory, a file of a manifest that lies elsewhere, or the manifest itself; a
              directory of epochs has the manifest of each
    manifest  None: in the directory
    sample    share of the files that are read and hashed, drawn at random; sizes are looked at
              of all
    memory    that the process may have, which says how many objects are read at once
    Raises    ManifestInvalid, InputMissing, InputUnreadable, UsageError; what a store raises
    """
    started = time.monotonic()
    wanted = _lists_of(output, manifest)
    problems: list[Problem] = list(wanted.problems)
    present: list[tuple[_Listed, int]] = []
    for one in wanted.listed:
        _look(wanted.folder, one, present, problems)
    read = present
    if sample is not None and present:
        count = math.ceil(sample * len(present))
        read = random.SystemRandom().sample(present, count)
    reporter.stage("hash", sum(size for _, size in read))
    asked = threads or usable_cores()
    readers = readers_of(wanted.folder, asked, memory_cap(Options(memory=memory, threads=asked)))
    with ThreadPoolExecutor(readers) as pool:
        try:
            check = partial(_hash_problem, wanted.folder, advance=reporter.advance)
            problems += filter(None, pool.map(check, [one for one, _ in read]))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    order = {one.name: number for number, one in enumerate(wanted.listed)}
    problems.sort(key=lambda one: order.get(one.file, len(order)))
    return FilesVerified(
        listed_in=wanted.listed_in,
        files=len(present),
        text_bytes=sum(size for _, size in present),
        hashed_files=len(read),
        hashed_bytes=sum(size for _, size in read),
        problems=tuple(problems),
        elapsed_s=time.monotonic() - started,
    )


@dataclass(frozen=True)
class _Lists:
    """What the files of a folder are held against.

    listed_in  for people
    problems   that show before any of these files is looked at
    """

    folder: Folder
    listed: Sequence[_Listed]
    listed_in: str
    problems: Sequence[Problem] = ()


def _lists_of(output: str | None, manifest: str | None) -> _Lists:
    """Return what the files of an output are held against."""
    epochs = None if output is None or manifest is not None else epochs_in(output)
    if epochs is not None:
        return _lists_of_epochs(epochs)
    folder, beside, name = _places(output, manifest)
    listed = _listed_in(beside, name)
    is_file = output is not None and folder_of(output) is None and (folder, name) != file_of(output)
    if output is not None and is_file and len(listed) == 1:  # it may have another name by now
        listed = [replace(listed[0], name=file_of(output)[1])]
    problems: list[Problem] = []
    if beside == folder and name in (MANIFEST_NAME, *SUMS_NAMES):
        problems += _added(folder.names(), listed)
        problems += _beside(folder, name, listed)
    return _Lists(folder, listed, beside.shown(name), problems)


def _lists_of_epochs(epochs: Epochs) -> _Lists:
    """Return the lists of all epochs, names with the folder of each before them."""
    listed: list[_Listed] = []
    problems: list[Problem] = []
    for folder, found in zip(epochs.folders, epochs.manifests, strict=True):
        if found is None:
            problems.append(Problem("missing", f"{folder}/{MANIFEST_NAME}", "is missing"))
            continue
        own = _listed_of(found, epochs.folder.within(folder).shown(MANIFEST_NAME))
        problems += [
            replace(one, file=f"{folder}/{one.file}")
            for one in _beside(epochs.folder.within(folder), MANIFEST_NAME, own)
        ]
        listed += [replace(one, name=f"{folder}/{one.name}") for one in own]
    for folder, seed, expected in epochs.misplaced:
        what = f"is of the seed `{seed}`, and this epoch has `{expected}`"
        problems.append(Problem("list", f"{folder}/{MANIFEST_NAME}", what))
    problems += _added(epochs.folder.names(), listed, epochs.folders)
    return _Lists(epochs.folder, listed, epochs.folder.shown(f"*/{MANIFEST_NAME}"), problems)


def manifest_of(output: str, manifest: str | None) -> Manifest:
    """Return the manifest of an output. Raises as `verify_files`."""
    if manifest is None:
        _, folder, name = _places(output, manifest)
    else:  # of splits that are files there is none of the output's own name
        folder, name = file_of(manifest)
    if name in SUMS_NAMES:
        raise InputMissing(
            f"there is no `{MANIFEST_NAME}` in `{output}`", hint="name one with --manifest FILE"
        )
    return Manifest.parse(read_whole(folder, name), folder.shown(name))


def known_manifest(output: str, manifest: str | None) -> Manifest | None:
    """Return the manifest of an output, if there is one. Raises as `manifest_of`."""
    if manifest is None:
        folder = folder_of(output)
        if folder is None or not folder.has(MANIFEST_NAME):
            return None
    return manifest_of(output, manifest)


def _places(output: str | None, manifest: str | None) -> tuple[Folder, Folder, str]:
    """Return the folder that names are below, and where the list of them is."""
    if output is None:
        assert manifest is not None
        beside, name = file_of(manifest)
        return beside, beside, name
    folder = folder_of(output)
    shown = shown_url(output) if is_remote(output) else output
    if folder is not None:
        if manifest is not None:
            return folder, *file_of(manifest)
        found = next((name for name in (MANIFEST_NAME, *SUMS_NAMES) if folder.has(name)), None)
        if found is None:
            hint = "name the manifest with --manifest, or compare rows: dbshuf verify INPUTS..."
            raise InputMissing(
                f"`{shown}` has no {MANIFEST_NAME} and no {SUMS_NAME}", hint=f"{hint} {shown}"
            )
        return folder, folder, found
    folder, name = file_of(output)
    if not folder.has(name):
        raise InputMissing(f"no such file or directory: `{shown}`", hint="check the path")
    if manifest is not None:
        return folder, *file_of(manifest)
    if name.endswith(".json") or name in SUMS_NAMES:
        return folder, folder, name
    raise UsageError(
        f"`{shown}` is a file, and there is nothing to hold it against",
        hint=f"add --manifest FILE, or name its inputs: dbshuf verify INPUTS... {shown}",
    )


def _listed_in(folder: Folder, name: str) -> list[_Listed]:
    """Return what a manifest or a list of sums lists, with names that stay in their folder."""
    data, shown = read_whole(folder, name), folder.shown(name)
    if name in SUMS_NAMES:
        return _checked(list(_sums_in(data, shown)), shown)
    return _listed_of(Manifest.parse(data, shown), shown)


def _listed_of(manifest: Manifest, shown: str) -> list[_Listed]:
    listed = [_Listed(one.name, one.bytes, one.sha256) for one in manifest.outputs]
    return _checked(listed, shown)


def _checked(listed: list[_Listed], shown: str) -> list[_Listed]:
    for one in listed:
        if one.name == "-":
            raise UsageError(
                f"the output of `{shown}` went to standard output, and is no file",
                hint="compare rows: dbshuf verify INPUTS... OUTPUT",
            )
        parts = PurePosixPath(one.name).parts
        if not parts or parts[0] == "/" or ".." in parts or "\0" in one.name:
            raise ManifestInvalid(f"`{shown}` names `{one.name}`, which is outside of its folder")
    return listed


def _sums_in(data: bytes, shown: str) -> Iterator[_Listed]:
    """Yield the files of a list as `sha256sum` writes it."""
    text = data.decode("utf-8", "surrogateescape")
    for number, line in enumerate(text.removesuffix("\n").split("\n"), 1):
        is_escaped = line.startswith("\\")
        digest, _, name = line[is_escaped:].partition(" ")
        if len(digest) != 64 or not _HEX_DIGITS.issuperset(digest) or name[:1] not in (" ", "*"):
            raise ManifestInvalid(
                f"`{shown}` at line {number}: no SHA-256 and name",
                hint="it is cut short or edited: fetch it again",
            )
        yield _Listed(_unescaped(name[1:]) if is_escaped else name[1:], None, digest)


def _unescaped(name: str) -> str:
    pieces = [piece.replace("\\n", "\n").replace("\\r", "\r") for piece in name.split("\\\\")]
    return "\\".join(pieces)


def _look(
    folder: Folder, one: _Listed, present: list[tuple[_Listed, int]], problems: list[Problem]
) -> None:
    """Note one file as present, or what is wrong with it that shows without reading it."""
    try:
        size = folder.size(one.name)
    except InputMissing as error:
        problems.append(Problem("missing", one.name, error.message))
        return
    except InputUnreadable as error:
        problems.append(Problem("unreadable", one.name, error.message))
        return
    if one.bytes is not None and size != one.bytes:
        what = f"has {size:,} bytes, and had {one.bytes:,}"
        problems.append(Problem("size", one.name, what))
    else:
        present.append((one, size))


def _added(
    names: Sequence[str], listed: Sequence[_Listed], folders: Sequence[str] = ("",)
) -> Iterator[Problem]:
    """Yield the files of an output that no list has; `folders` are those that have lists."""
    marks = (*SUMS_NAMES, CARD_NAME)
    known = {one.name for one in listed}
    known |= {posixpath.join(folder, mark) for folder in folders for mark in marks}
    for name in names:
        if name not in known:
            yield Problem("added", name, "is not listed")


def _beside(folder: Folder, list_name: str, listed: Sequence[_Listed]) -> Iterator[Problem]:
    """Yield what is wrong with what a run leaves beside its shards."""
    if list_name in SUMS_NAMES:
        return
    if not folder.has(SUCCESS_NAME):
        yield Problem("missing", SUCCESS_NAME, "is missing: the run did not end")
    sums_name = next((name for name in SUMS_NAMES if folder.has(name)), None)
    if sums_name is None:
        yield Problem("missing", SUMS_NAME, "is missing")
        return
    shown = folder.shown(sums_name)
    sums = {one.name: one.sha256 for one in _sums_in(read_whole(folder, sums_name), shown)}
    for one in listed:
        if sums.get(one.name) != one.sha256:
            yield Problem("list", one.name, f"has another sum, or none, in {sums_name}")


def _hash_problem(folder: Folder, one: _Listed, *, advance: Any) -> Problem | None:
    """Read a file; return what is wrong with its bytes."""
    digest = hashlib.sha256()
    try:
        for piece in folder.pieces(one.name):
            digest.update(piece)
            advance(len(piece))
    except InputMissing as error:
        return Problem("missing", one.name, error.message)
    except InputUnreadable as error:
        return Problem("unreadable", one.name, error.message)
    if digest.hexdigest() == one.sha256:
        return None
    return Problem(
        "sha256", one.name, f"has the SHA-256 {digest.hexdigest()}, and had {one.sha256}"
    )
