"""Which format an output has: by its name, by --format, by --compression."""

import os

from dbshuf.errors import UsageError
from dbshuf.sink.remote_path import OutputPath

FORMATS = (
    *(kind + packing for kind in ("txt", "csv", "tsv", "jsonl") for packing in ("", ".gz", ".zst")),
    "arrow",
    "parquet",
)

NAMES = {
    "txt": "text",
    "csv": "CSV",
    "tsv": "TSV",
    "jsonl": "JSON lines",
    "arrow": "Arrow",
    "parquet": "Parquet",
}

_KIND_OF_SUFFIX = {
    ".txt": "txt",
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".parquet": "parquet",
}
_GZIP_LEVELS = {f"gzip:{level}": level for level in range(1, 10)}
_DEFAULT_GZIP_LEVEL = 6
_SUFFIX_OF_PACKING = {"gzip": ".gz", "zstd": ".zst", "none": ""}

# What each file format compresses its own parts with, and the levels that there are.
_LEVELS: dict[str, dict[str, range | None]] = {
    "parquet": {
        "zstd": range(1, 23),
        "snappy": None,
        "gzip": range(1, 10),
        "lz4": None,
        "brotli": range(12),
        "none": None,
    },
    "arrow": {"lz4": None, "zstd": range(1, 23), "none": None},
}
_DEFAULT_CODEC = {"parquet": "zstd:1", "arrow": "none"}


def compressions() -> list[str]:
    """Return every name that --compression has, for any format."""
    names = [*_SUFFIX_OF_PACKING, *(name for levels in _LEVELS.values() for name in levels)]
    return list(dict.fromkeys(names))


def format_of(
    path: OutputPath | None,
    given: str | None,
    compression: str | None = None,
    *,
    unnamed: str = "txt",
) -> str:
    """Return the format of an output: the one `given`, else by the end of its name.

    path         None for stdout; suffixes in any case, all that are unknown are `unnamed`
    given        as of --format; it overrules the name
    compression  as of --compression; for text it may only say what the name leaves open
    Raises       UsageError for an unknown format or compression, and for two that contradict
    """
    named, named_packing = _said_by_name(path)
    if given is not None and given not in FORMATS:
        raise UsageError(f"unknown format `{given}`", hint=f"one of {', '.join(FORMATS)}")
    unnamed = unnamed if named_packing is None else "txt"
    kind, dot, rest = (given or (named or unnamed) + (named_packing or "")).partition(".")
    packing = dot + rest
    if kind in _LEVELS:
        if packing:
            raise UsageError(
                f"`{path}`: a file of the format {kind} is compressed inside, not as a whole",
                hint=f"name it `.{kind}`, and choose with --compression",
            )
        codec_of(kind, compression)
        return kind
    if compression is None:
        return kind + packing
    packed_as = "gzip" if compression in _GZIP_LEVELS else compression
    wanted = _SUFFIX_OF_PACKING.get(packed_as)
    if wanted is None:
        raise UsageError(
            f"--compression `{compression}` is not for {kind}",
            hint="one of gzip, zstd, none; gzip:1 to gzip:9; zstd is level 1 there",
        )
    said = packing or named_packing
    if said is not None and said != wanted:
        raise UsageError(
            f"--compression {compression} contradicts `{given if packing and given else path}`",
            hint="the end of the name says it: .gz is gzip, .zst is zstd, neither is none",
        )
    return kind + wanted


def gzip_level(compression: str | None) -> int:
    """Return the level of text in gzip, as `--compression` has it, or the default."""
    return _GZIP_LEVELS.get(compression or "", _DEFAULT_GZIP_LEVEL)


def _said_by_name(path: OutputPath | None) -> tuple[str | None, str | None]:
    """The kind and the packing (".gz", ".zst" or "") that a name says, None where it does not."""
    if path is None:
        return None, None
    stem, suffix = os.path.splitext(path.name.lower())
    if suffix in (".gz", ".zst"):
        return _KIND_OF_SUFFIX.get(os.path.splitext(stem)[1]), suffix
    kind = _KIND_OF_SUFFIX.get(suffix)
    return kind, None if kind is None else ""


def codec_of(format_: str, compression: str | None) -> tuple[str, int | None]:
    """Return the codec (lower case) and level that a Parquet or Arrow file is made with.

    compression  `zstd`, `zstd:9`; None: Parquet zstd at level 1, Arrow none
    Raises       UsageError for a codec or a level that the format does not have
    """
    levels = _LEVELS[format_]
    asked = _DEFAULT_CODEC[format_] if compression is None else compression
    name, colon, level = asked.partition(":")
    if name not in levels:
        raise UsageError(
            f"--compression `{compression}` is not for {format_}",
            hint=f"one of {', '.join(levels)}; a level as in zstd:9",
        )
    allowed = levels[name]
    if not colon:
        return name, 1 if name == "zstd" else None
    if allowed is None:
        raise UsageError(
            f"--compression `{compression}`: {name} has no levels",
            hint=f"as in --compression {name}",
        )
    if not (level.isascii() and level.isdecimal()) or int(level) not in allowed:
        raise UsageError(
            f"--compression `{compression}`: {level or 'nothing'} is no level of {name}",
            hint=f"from {allowed[0]} to {allowed[-1]}",
        )
    return name, int(level)
