"""The files of an output against the list that was made with them: a manifest or SHA256SUMS."""

import hashlib
import math
import os
import random
import stat
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from dbshuf.base.process_memory import usable_cores
from dbshuf.base.progress import Progress
from dbshuf.base.remote_names import is_remote, shown_url
from dbshuf.errors import InputMissing, InputUnreadable, ManifestInvalid, UsageError
from dbshuf.manifest.document import Manifest
from dbshuf.manifest.names import CARD_NAME, MANIFEST_NAME, SUCCESS_NAME, SUMS_NAME, SUMS_NAMES
from dbshuf.units import MIB

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
) -> FilesVerified:
    """Check the files of an output: that all are there, of their sizes and sums, and no others.

    output    a directory, a file of a manifest that lies elsewhere, or the manifest itself
    manifest  None: in the directory
    sample    share of the files that are read and hashed, drawn at random; sizes are looked at
              of all
    Raises    ManifestInvalid, InputMissing, InputUnreadable, UsageError
    """
    started = time.monotonic()
    folder, list_path = _places(output, manifest)
    listed = _listed_in(list_path)
    is_file = output is not None and Path(output) != list_path and not Path(output).is_dir()
    if is_file and len(listed) == 1:  # it may have another name by now
        listed = [replace(listed[0], name=Path(str(output)).name)]
    problems: list[Problem] = []
    present: list[tuple[_Listed, int]] = []
    for one in listed:
        _look(folder, one, present, problems)
    if list_path.parent == folder and list_path.name in (MANIFEST_NAME, *SUMS_NAMES):
        problems += _beside(folder, list_path, listed)
    wanted = present
    if sample is not None and present:
        count = math.ceil(sample * len(present))
        wanted = random.SystemRandom().sample(present, count)
    reporter.stage("hash", sum(size for _, size in wanted))
    with ThreadPoolExecutor(threads or usable_cores()) as pool:
        try:
            check = partial(_hash_problem, folder, advance=reporter.advance)
            problems += filter(None, pool.map(check, [one for one, _ in wanted]))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    order = {one.name: number for number, one in enumerate(listed)}
    problems.sort(key=lambda one: order.get(one.file, len(order)))
    return FilesVerified(
        listed_in=str(list_path),
        files=len(present),
        text_bytes=sum(size for _, size in present),
        hashed_files=len(wanted),
        hashed_bytes=sum(size for _, size in wanted),
        problems=tuple(problems),
        elapsed_s=time.monotonic() - started,
    )


def manifest_of(output: str, manifest: str | None) -> Manifest:
    """Return the manifest of an output. Raises as `verify_files`."""
    _, path = _places(output, manifest)
    if path.name in SUMS_NAMES:
        raise InputMissing(
            f"there is no `{MANIFEST_NAME}` in `{output}`", hint="name one with --manifest FILE"
        )
    return Manifest.read(path)


def check_one_order(output: str, manifest: str | None) -> None:
    """Raise UsageError where the manifest of an output says that it has several orders."""
    path = Path(output, MANIFEST_NAME) if manifest is None else Path(manifest)
    if path.is_file() and "split" in Manifest.read(path).options:
        raise UsageError(
            f"`{output}` is of --split, and each split has an order of its own",
            hint="pass --no-order: the rows are compared without",
        )


def _hint_of(path: Path, output: str) -> str:
    """Return what to do about a folder without a manifest: of epochs, one of them has it."""
    epochs = sorted(one.name for one in path.glob("epoch-*") if (one / MANIFEST_NAME).exists())
    if epochs:
        return f"each of its {len(epochs):,} epochs has its own, as in {path / epochs[0]}/"
    return (
        f"name the manifest with --manifest FILE, or compare rows: dbshuf verify INPUTS... {output}"
    )


def _places(output: str | None, manifest: str | None) -> tuple[Path, Path]:
    """Return the folder that names are below, and the list of them."""
    for name in (output, manifest):
        if name is not None and is_remote(name):
            raise UsageError(
                f"`{shown_url(name)}`: files are checked on this machine only",
                hint="download them first, or compare rows: dbshuf verify INPUTS... OUTPUT",
            )
    if output is None:
        assert manifest is not None
        return Path(manifest).parent, Path(manifest)
    path = Path(output)
    if not path.exists():
        raise InputMissing(f"no such file or directory: `{output}`", hint="check the path")
    if path.is_dir():
        if manifest is not None:
            return path, Path(manifest)
        found = [path / name for name in (MANIFEST_NAME, *SUMS_NAMES) if (path / name).exists()]
        if not found:
            raise InputMissing(
                f"`{output}` has no {MANIFEST_NAME} and no {SUMS_NAME}",
                hint=_hint_of(path, output),
            )
        return path, found[0]
    if manifest is not None:
        return path.parent, Path(manifest)
    if path.suffix == ".json" or path.name in SUMS_NAMES:
        return path.parent, path
    raise UsageError(
        f"`{output}` is a file, and there is nothing to hold it against",
        hint=f"add --manifest FILE, or name its inputs: dbshuf verify INPUTS... {output}",
    )


def _listed_in(path: Path) -> list[_Listed]:
    """Return what a manifest or a list of sums lists, with names that stay in their folder."""
    if path.name in SUMS_NAMES:
        listed = list(_sums_in(path))
    else:
        outputs = Manifest.read(path).outputs
        listed = [_Listed(one.name, one.bytes, one.sha256) for one in outputs]
    for one in listed:
        if one.name == "-":
            raise UsageError(
                f"the output of `{path}` went to standard output, and is no file",
                hint="compare rows: dbshuf verify INPUTS... OUTPUT",
            )
        parts = PurePosixPath(one.name).parts
        if not parts or parts[0] == "/" or ".." in parts or "\0" in one.name:
            raise ManifestInvalid(f"`{path}` names `{one.name}`, which is outside of its folder")
    return listed


def _sums_in(path: Path) -> Iterator[_Listed]:
    """Yield the files of a list as `sha256sum` writes it."""
    try:
        text = path.read_bytes().decode("utf-8", "surrogateescape")
    except FileNotFoundError as error:
        raise InputMissing(f"there is no list of sums `{path}`") from error
    except OSError as error:
        raise InputUnreadable(f"`{path}` cannot be read: {error.strerror}") from error
    for number, line in enumerate(text.removesuffix("\n").split("\n"), 1):
        is_escaped = line.startswith("\\")
        digest, _, name = line[is_escaped:].partition(" ")
        if len(digest) != 64 or not _HEX_DIGITS.issuperset(digest) or name[:1] not in (" ", "*"):
            raise ManifestInvalid(
                f"`{path}` at line {number}: no SHA-256 and name",
                hint="it is cut short or edited: fetch it again",
            )
        yield _Listed(_unescaped(name[1:]) if is_escaped else name[1:], None, digest)


def _unescaped(name: str) -> str:
    pieces = [piece.replace("\\n", "\n").replace("\\r", "\r") for piece in name.split("\\\\")]
    return "\\".join(pieces)


def _look(
    folder: Path, one: _Listed, present: list[tuple[_Listed, int]], problems: list[Problem]
) -> None:
    """Note one file as present, or what is wrong with it that shows without reading it."""
    try:
        status = os.stat(folder / one.name)
    except (FileNotFoundError, NotADirectoryError):
        problems.append(Problem("missing", one.name, "is missing"))
        return
    except OSError as error:
        problems.append(Problem("unreadable", one.name, f"cannot be read: {error.strerror}"))
        return
    if not stat.S_ISREG(status.st_mode):
        problems.append(Problem("missing", one.name, "is no regular file"))
    elif one.bytes is not None and status.st_size != one.bytes:
        what = f"has {status.st_size:,} bytes, and had {one.bytes:,}"
        problems.append(Problem("size", one.name, what))
    else:
        present.append((one, status.st_size))


def _beside(folder: Path, list_path: Path, listed: Sequence[_Listed]) -> Iterator[Problem]:
    """Yield what is wrong with the other files of a directory of shards."""
    known = {one.name for one in listed} | {MANIFEST_NAME, *SUMS_NAMES, SUCCESS_NAME, CARD_NAME}
    for below, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "_")))
        for name in sorted(names):
            shown = os.path.relpath(os.path.join(below, name), folder)
            if shown not in known and not name.startswith((".", "_")):
                yield Problem("added", shown, "is not listed")
    if list_path.name in SUMS_NAMES:
        return
    if not (folder / SUCCESS_NAME).exists():
        yield Problem("missing", SUCCESS_NAME, "is missing: the run did not end")
    sums_name = next((name for name in SUMS_NAMES if (folder / name).exists()), None)
    if sums_name is None:
        yield Problem("missing", SUMS_NAME, "is missing")
        return
    sums = {one.name: one.sha256 for one in _sums_in(folder / sums_name)}
    for one in listed:
        if sums.get(one.name) != one.sha256:
            yield Problem("list", one.name, f"has another sum, or none, in {sums_name}")


def _hash_problem(folder: Path, one: _Listed, *, advance: Any) -> Problem | None:
    """Read a file; return what is wrong with its bytes."""
    digest, buffer = hashlib.sha256(), memoryview(bytearray(MIB))
    try:
        with open(folder / one.name, "rb", buffering=0) as file:
            while count := file.readinto(buffer):
                digest.update(buffer[:count])
                advance(count)
    except OSError as error:
        return Problem("unreadable", one.name, f"cannot be read: {error.strerror}")
    if digest.hexdigest() == one.sha256:
        return None
    return Problem(
        "sha256", one.name, f"has the SHA-256 {digest.hexdigest()}, and had {one.sha256}"
    )
