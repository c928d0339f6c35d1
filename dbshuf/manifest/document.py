"""The manifest: what a run read and wrote, with checksums; `schema.json` describes its file.

The file is JSON in ASCII with an entry a line. Its last field is the checksum of itself: the
SHA-256 of all bytes of the file before the line of `"manifest_sha256"`, so
`head -n -2 _manifest.json | sha256sum` prints it. Nothing in it tells when or where the run was:
one run of the same inputs, options and versions has one manifest.
"""

import hashlib
import json
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from os import PathLike
from typing import Any, TypeVar

from dbshuf.errors import InputMissing, InputUnreadable, ManifestInvalid

MANIFEST_VERSION = 1

T = TypeVar("T", "InputEntry", "OutputEntry", "RowSums")

_OWN_SUM = '  "manifest_sha256": "'
_HEX_DIGITS = 64
_END = '"\n}\n'


@dataclass(frozen=True)
class InputEntry:
    """One input, as it was read.

    name     as the run was given it, or found it; a URL without credentials and query
    size     bytes as they lie on disk or at the host; None: a pipe, or not told
    time     nanoseconds since 1970 of the last change; None: not told
    rows     that were read of it, before --where; None: nobody counted them
    sha256   of its bytes as they lie there, compressed or not; None: see `unhashed`
    unhashed why there is no sha256; None where there is one
    version  what the host of an object calls this state of it: its ETag, else its size and time
    """

    name: str
    size: int | None
    time: int | None
    rows: int | None
    sha256: str | None
    unhashed: str | None = None
    version: str | None = None


@dataclass(frozen=True)
class OutputEntry:
    """One output file.

    name    below the directory of the output, `/` between folders; of a single file its last
            part; `-` is standard output
    bytes   of the file
    """

    name: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class RowSums:
    """Checksums of the rows as a set, by `base/row_checksum.py`: 16 hex digits each.

    rows_in, sum_in    of the rows that were ordered, behind --where and --select; None: one
                       statement of an engine made and ordered them, and nobody saw them
    rows_out, sum_out  of the rows that were written
    """

    function: str
    rows_in: int | None
    sum_in: str | None
    rows_out: int
    sum_out: str


@dataclass(frozen=True)
class Manifest:
    """All that a run says of itself.

    versions   package -> its version
    unit       "line" or "row", what was shuffled
    strategy   what ordered the rows
    options    as the user gave them, without what was left out; secrets are "(redacted)"
    mix        what each source of a mix has and gives; None: there was no mix
    epoch_seeds  of --epochs, the seed of each order that the outputs hold; None: `seed` is that
    """

    versions: dict[str, str]
    order_version: int
    seed: str
    unit: str
    strategy: str
    options: dict[str, Any]
    inputs: Sequence[InputEntry]
    outputs: Sequence[OutputEntry]
    row_sums: RowSums
    manifest_version: int = field(default=MANIFEST_VERSION)
    mix: dict[str, Any] | None = None
    epoch_seeds: list[str] | None = None

    def pieces(self) -> Iterator[bytes]:
        """Yield the bytes of the file, its own checksum last."""
        digest = hashlib.sha256()
        for line in self._lines():
            piece = line.encode("ascii")
            digest.update(piece)
            yield piece
        yield f"{_OWN_SUM}{digest.hexdigest()}{_END}".encode("ascii")

    def dump(self) -> bytes:
        return b"".join(self.pieces())

    def _lines(self) -> Iterator[str]:
        yield "{\n"
        yield f'  "manifest_version": {self.manifest_version},\n'
        names = ["versions", "order_version", "seed", "unit", "strategy", "options"]
        for name in names if self.epoch_seeds is None else [*names, "epoch_seeds"]:
            yield f'  "{name}": {json.dumps(getattr(self, name))},\n'
        if self.mix is not None:
            yield f'  "mix": {json.dumps(self.mix)},\n'
        yield from _listed("inputs", self.inputs)
        yield from _listed("outputs", self.outputs)
        yield f'  "row_sums": {json.dumps(asdict(self.row_sums))},\n'

    @classmethod
    def read(cls, path: "str | PathLike[str]") -> "Manifest":
        """Return the manifest that a file holds, checked against its own sum.

        Raises  InputMissing, InputUnreadable, ManifestInvalid
        """
        try:
            with open(path, "rb") as file:
                if stat.S_ISCHR(os.fstat(file.fileno()).st_mode):  # of which some never end
                    raise InputUnreadable(f"`{path}` is a device", hint="name a file")
                data = file.read()
        except FileNotFoundError as error:
            raise InputMissing(f"there is no manifest `{path}`", hint="check the path") from error
        except OSError as error:
            raise InputUnreadable(
                f"`{path}` cannot be read: {error.strerror}", hint="name the file of a manifest"
            ) from error
        return cls.parse(data, str(path))

    @classmethod
    def parse(cls, data: bytes, shown: str) -> "Manifest":
        """Return the manifest of the bytes of a file, which messages call `shown`.

        Raises  ManifestInvalid
        """
        check_whole(data, shown)
        try:
            found = json.loads(data)
            version = found["manifest_version"]
            if version != MANIFEST_VERSION:
                raise ManifestInvalid(
                    f"`{shown}` is a manifest of version {version}, and this dbshuf reads"
                    f" version {MANIFEST_VERSION}",
                    hint="read it with the dbshuf that wrote it, or a newer one",
                )
            del found["manifest_sha256"]
            found["inputs"] = [_typed(InputEntry(**entry)) for entry in found["inputs"]]
            found["outputs"] = [_typed(OutputEntry(**entry)) for entry in found["outputs"]]
            for entry in found["outputs"]:
                os.fsencode(entry.name)
            found["row_sums"] = _typed(RowSums(**found["row_sums"]))
            return cls(**found)
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise ManifestInvalid(
                f"`{shown}` is no manifest of dbshuf: {type(error).__name__}: {error}"
            ) from error


def _typed(entry: T) -> T:
    """Return an entry whose values are of the types of their fields. Raises TypeError."""
    for one in fields(entry):
        value = getattr(entry, one.name)
        if not isinstance(value, one.type):  # type: ignore[arg-type]
            raise TypeError(f"{one.name} is {value!r}")
    return entry


def _listed(name: str, entries: Iterable[InputEntry | OutputEntry]) -> Iterator[str]:
    yield f'  "{name}": ['
    comma = ""
    for entry in entries:
        yield f"{comma}\n    {json.dumps(asdict(entry))}"
        comma = ","
    yield "\n  ],\n" if comma else "],\n"


def check_whole(data: bytes, shown: str, hint: str = "fetch it again, or run again") -> None:
    """Raise ManifestInvalid unless a file ends with the checksum of what is before it."""
    begin = len(data) - len(_OWN_SUM) - _HEX_DIGITS - len(_END)
    tail = data[max(begin, 0) :]
    if begin < 0 or not (tail.startswith(_OWN_SUM.encode()) and tail.endswith(_END.encode())):
        raise ManifestInvalid(
            f"`{shown}` is no whole manifest: it does not end with its own checksum",
            hint=f"it is cut short or edited: {hint}",
        )
    said = tail[len(_OWN_SUM) :][:_HEX_DIGITS].decode("ascii", "replace")
    found = hashlib.sha256(data[:begin]).hexdigest()
    if said != found:
        raise ManifestInvalid(
            f"`{shown}` was changed: its own SHA-256 is {found}, and it says {said}",
            hint=hint,
        )
