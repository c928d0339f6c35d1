"""--paired: files whose rows go where the rows of the inputs go, each to an output of its own."""

import glob
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from dbshuf.errors import UsageError
from dbshuf.options import SAME, SIDE_NAME, Options, terminator_of
from dbshuf.plan.row_plan import Shape, memory_cap
from dbshuf.sink import OutputPath, RemotePath, SideOutput, format_of, output_path
from dbshuf.source.formats import kind_of_inputs, one_of
from dbshuf.source.head import check_encoding, common_header
from dbshuf.source.hive import with_folder_keys
from dbshuf.source.input import Input, with_windows_within
from dbshuf.source.inputs import STDIN, counted_inputs
from dbshuf.source.lines.paired import Sides
from dbshuf.source.lines.sides import side_bytes
from dbshuf.source.survey import Survey, survey_inputs

if TYPE_CHECKING:
    from dbshuf.query.row_filter import RowQuery

_PACKED = (".gz", ".zst", ".bz2", ".xz", ".lz4")
_COLUMN_BYTES = 5  # beside a value, as of typed rows


def paired_shape(options: Options) -> tuple[tuple[Input, ...], Shape]:
    """Look at all sides; return their inputs, one side after the other, and the rows they make.

    Raises  UsageError, QueryInvalid, HeaderMismatch, NotUtf8 and what resolving names raises
    """
    query = paired_where(options)
    names = (options.inputs or (STDIN,), *((one,) for one in options.paired))
    every = [name for group in names for name in group]
    inputs, found = counted_inputs(every, options.include, options.exclude)
    first = len(every) - len(options.paired)
    counts = (sum(found[:first]), *found[first:])
    inputs = with_windows_within(inputs, memory_cap(options), len(counts))
    inputs = with_folder_keys(inputs, options.hive, rows="lines")
    sides = Sides(tuple(map(_shown, names)), counts, (b"",) * len(counts))
    groups = sides.of(inputs)
    for name, group in zip(sides.names, groups, strict=True):
        kind = options.input_format or kind_of_inputs(group, None, table=options.table)
        if kind != "lines":
            raise UsageError(
                f"--paired pairs lines, and `{name}` is {one_of(kind)}",
                hint="join the tables into one first: its columns stay together anyway",
            )
    if not options.binary:
        check_encoding(inputs, "lines")
    terminator = terminator_of(options)
    headers = tuple(common_header(group, options.header, terminator) for group in groups)
    sides = replace(sides, headers=headers)
    shape = Shape("lines", None, SAME, query, None, sides.schema, is_strict=False, sides=sides)
    return inputs, shape


def paired_where(options: Options) -> "RowQuery | None":
    """Return what --where asks for. Raises QueryInvalid, UsageError."""
    if options.allow_files:
        raise UsageError(
            "--allow-files is for --sql, and there is none",
            hint="leave it out, or name an --sql FILE",
        )
    if options.where is None:
        return None
    from dbshuf.query.relation import with_sides
    from dbshuf.query.row_filter import RowQuery

    columns = with_sides(1 + len(options.paired))
    return RowQuery(options.where, None, columns, seed=options.seed)


def _shown(names: Sequence[str]) -> str:
    first = "standard input" if not names or names[0] == STDIN else names[0]
    return first if len(names) < 2 else f"{first} and {len(names) - 1:,} more"


def paired_survey(inputs: Sequence[Input], sides: Sides, terminator: bytes) -> Survey:
    """Sample all sides: a row is as long as the lines of all of them, and a little more."""
    found = [survey_inputs(one, "lines", terminator=terminator) for one in sides.of(inputs)]
    mean = sum(one.mean_line_bytes for one in found) + _COLUMN_BYTES * len(found)
    rows = [one.text_bytes / one.mean_line_bytes for one in found if one.text_bytes is not None]
    return Survey(
        mean_line_bytes=mean,
        longest_line_bytes=sum(one.longest_line_bytes for one in found),
        text_bytes=int(max(rows) * mean) if rows else None,
        is_exact=False,
        columns=len(found),
    )


def reading_bytes(inputs: Sequence[Input], sides: Sides, survey: Survey) -> int:
    """Return the memory (bytes) of what reads all sides, beside the batches of rows."""
    count = len(sides.counts)
    windows = [max(one.window_bytes for one in group) for group in sides.of(inputs)]
    mean = survey.mean_line_bytes / count  # the shorter lines are, the more offsets there are
    return sum(windows) + count * side_bytes(count, mean)


def paired_outputs(options: Options, sides: Sides) -> tuple[OutputPath, tuple[SideOutput, ...]]:
    """Return the first output, or the directory of all shards, and the outputs of all sides.

    Raises  UsageError
    """
    asked = [str(options.output), *options.more_outputs]
    if (options.shards, options.shard_rows) != (None, None):
        return _folders(asked, options, sides)
    folder = next((one for one in asked if one.endswith("/")), None)
    if folder is not None:
        raise UsageError(
            f"-o {folder} is a directory, and no shards were asked for",
            hint="add --shards N or --shard-rows N, or name a file for each",
        )
    if len(asked) == 1 and SIDE_NAME in asked[0]:
        asked *= len(sides.names)
    if len(asked) != len(sides.names):
        raise UsageError(
            f"{len(sides.names)} files are paired, and -o names {len(asked)}",
            hint=f"name one for each, in the order of the files, or all: -o 'out/{SIDE_NAME}'",
        )
    given = (options.inputs, *((one,) for one in options.paired))
    names = [
        one.replace(SIDE_NAME, _name(names)) if SIDE_NAME in one else one
        for one, names in zip(asked, given, strict=True)
    ]
    paths = [output_path(name) for name in names]
    _check_apart(paths)
    found = [
        SideOutput(source, "", path, format_of(path, options.format, options.compression), header)
        for source, path, header in zip(_sources(options), paths, sides.headers, strict=True)
    ]
    return paths[0], tuple(found)


def _folders(
    asked: Sequence[str], options: Options, sides: Sides
) -> tuple[OutputPath, tuple[SideOutput, ...]]:
    """Return the directory of all shards, and the folder of each side in it."""
    top, folder = os.path.split(asked[0].rstrip("/"))
    if len(asked) > 1 or not top or SIDE_NAME in top or SIDE_NAME not in folder:
        raise UsageError(
            "shards of paired files lie in a folder for each file, in one directory",
            hint=f"name it so: -o 'out/{SIDE_NAME}'",
        )
    form = format_of(None, options.format, options.compression)
    given = (options.inputs, *((one,) for one in options.paired))
    names = [folder.replace(SIDE_NAME, _name(one)) for one in given]
    path = output_path(top)
    _check_apart([output_path(os.path.join(top, name)) for name in names])
    found = [
        SideOutput(source, name, None, form, header)
        for source, name, header in zip(_sources(options), names, sides.headers, strict=True)
    ]
    return path, tuple(found)


def _sources(options: Options) -> list[str]:
    """Return the name of each side's input, of the first side its first one."""
    return [options.inputs[0] if options.inputs else "-", *options.paired]


def _check_apart(paths: Sequence[OutputPath]) -> None:
    """Raise UsageError for two outputs with one name, and for one elsewhere."""
    for path in paths:
        if isinstance(path, RemotePath):
            raise UsageError(
                f"--paired writes all files or none, and `{path}` is in an object store",
                hint="write files here, and upload them",
            )
    real = Counter(os.path.realpath(str(path)) for path in paths)
    name, count = real.most_common(1)[0]
    if count > 1 and not name.startswith("/dev/"):
        raise UsageError(
            f"{count} of the paired files would go to one output, `{name}`",
            hint="name an output for each: -o a.out -o b.out",
        )


def _name(names: Sequence[str]) -> str:
    """Return what {name} is of a side: its name without folders, and without .gz and the like.

    Raises  UsageError where there is not one name
    """
    name = os.path.basename(names[0].rstrip("/")) if len(names) == 1 else ""
    is_pattern = bool(name) and glob.has_magic(name) and not os.path.lexists(names[0])
    stem, suffix = os.path.splitext(name)
    name = stem if stem and suffix.lower() in _PACKED else name
    if name in ("", STDIN, ".", "..") or is_pattern:
        raise UsageError(
            f"{SIDE_NAME} is the name of one file or directory, and there is none for"
            f" {_quoted(names)}",
            hint="name an output for each: -o a.out -o b.out",
        )
    return name


def _quoted(names: Sequence[str]) -> str:
    return f"`{_shown(names)}`" if names else "standard input"
