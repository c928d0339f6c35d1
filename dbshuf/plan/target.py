"""What is written, as the options ask for it."""

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from dbshuf.base.key import POSITION_BITS, POSITION_LIMIT, id_of, id_of_first
from dbshuf.errors import UsageError
from dbshuf.options import Options
from dbshuf.plan.grouping import order_words
from dbshuf.plan.order_by import is_counted, option_of
from dbshuf.plan.reading import ReadPlan
from dbshuf.plan.row_plan import Shape
from dbshuf.plan.sample import Sample, sample_of
from dbshuf.plan.splits import Splits, member_of, parse_splits
from dbshuf.sink import OutputPath, RemotePath, SideOutput, Target, format_of, output_path
from dbshuf.sink.memory import ROW_GROUP_BYTES
from dbshuf.source.formats import DATABASES
from dbshuf.source.input import Input
from dbshuf.units import parse_bytes

if TYPE_CHECKING:
    import pyarrow as pa

    from dbshuf.order.strata import Strata


def target_of(
    options: Options, read: ReadPlan, seed: str, cap: int, strata: "Strata | None" = None
) -> Target:
    """Return the target of the options; `strata` says the splits of --split with --stratify."""
    shape = read.shape
    path, sides = _places(options, shape)
    as_format = sides[0].format if sides else _format(options, path)
    splits = None if options.split is None else parse_splits(options.split, options.split_seed)
    schema, written = _columns(options, shape, None if sides else as_format)
    shard_bytes = options.shard_bytes
    target = Target(
        path=path,
        format=as_format,
        header=b"" if options.is_answer else read.header,  # an answer has columns of its own
        terminator=read.terminator,
        binary=options.binary,
        shards=options.shards if sides else _shards(options, path),
        shard_bytes=None if shard_bytes is None else parse_bytes(shard_bytes, "--shard-bytes"),
        shard_rows=options.shard_rows,
        force=options.force,
        seed=seed,
        locate=_locator(options, read, order_words(options, seed)),
        threads=options.threads,
        memory_bytes=cap,
        schema=schema,
        written=written,
        holds_json=shape.keeps_json,
        compression=options.compression,
        row_group_bytes=_row_group_bytes(options, as_format),
        bloom=options.bloom,
        cdc=options.cdc,
        number=options.number,
        first_number=options.skip,
        epochs=options.epochs or 1,
        partition_by=options.partition_by,
        sides=sides,
    )
    target = _parted(target, options, read, splits, strata)
    _check_databases_stay(target, options, read)
    return target


def _check_databases_stay(target: Target, options: Options, read: ReadPlan) -> None:
    """Raise UsageError for an output that would replace a database, of which it holds a part."""
    inputs = read.inputs if read.shape.kind in DATABASES else ()
    names = [options.store, *(one.path for one in inputs)]
    for path in target.files:
        for name in names:
            if isinstance(path, RemotePath) or not (name and os.path.exists(path)):
                continue
            if os.path.exists(name) and os.path.samefile(name, path):
                raise UsageError(
                    f"the output would replace the database `{name}`, which it is read from",
                    hint="name another file with --output",
                )


def _parted(
    target: Target,
    options: Options,
    read: ReadPlan,
    splits: Splits | None,
    strata: "Strata | None",
) -> Target:
    """Return the target with what parts its rows: splits, groups, and how many there are."""
    sample = sample_of(options) or Sample()
    counts_rows = option_of(options) is not None and is_counted(options)
    target = replace(
        target,
        in_groups=options.group is not None,
        key_end=sample.end,
        all_rows=_all_rows(options, sample, counts_rows=counts_rows),
        counts_rows=counts_rows and options.shards is not None,
    )
    if splits is None:
        return target
    if strata is not None and sample.stratify is not None:
        return replace(target, split_names=splits.names, member_of=strata.part_of)
    members = member_of(
        splits,
        order_words(options, target.seed),
        read.inputs,
        schema=read.shape.schema,
        by=options.split_by or options.group,
        copies=read.mix is not None,
    )
    return replace(target, split_names=splits.names, member_of=members)


def _columns(
    options: Options, shape: Shape, as_format: str | None
) -> "tuple[pa.Schema | None, pa.Schema | None]":
    """Return the columns of the rows, and as they are written. Raises UsageError.

    as_format  that holds the column of --number; None: it is one of each side of paired files
    """
    schema, written = shape.schema, shape.written
    if schema is not None and written is not None:
        from dbshuf.base.column_names import as_called

        schema, written = as_called(schema, written), as_called(written, written)
    return (
        (schema, written) if as_format is None else _numbered(options, schema, written, as_format)
    )


def _places(options: Options, shape: Shape) -> tuple[OutputPath | None, tuple[SideOutput, ...]]:
    """Return the output, and those of all sides of paired files. Raises UsageError."""
    if shape.sides is None:
        is_stdout = options.output in (None, "-")
        return None if is_stdout else output_path(str(options.output)), ()
    from dbshuf.plan.paired import paired_outputs

    path, sides = paired_outputs(options, shape.sides)
    if options.number is not None:
        from dbshuf.sink.numbered import numbered_sides

        sides = numbered_sides(sides, options.number, binary=options.binary)
    return path, sides


def _format(options: Options, path: OutputPath | None) -> str:
    """Return the format of the output; folders of values are of Parquet unless it is said."""
    unnamed = "parquet" if options.partition_by else "txt"
    return format_of(path, options.format, options.compression, unnamed=unnamed)


def _numbered(
    options: Options, schema: "pa.Schema | None", written: "pa.Schema | None", as_format: str
) -> "tuple[pa.Schema | None, pa.Schema | None]":
    """Return the columns with that of --number. Raises UsageError."""
    if options.number is None:
        return schema, written
    from dbshuf.sink.numbered import check_numbered, line_schema, numbered_schema

    if options.work_dir is not None:
        raise UsageError(
            "--work-dir goes on where a run was stopped, and --number counts from the first row",
            hint="leave out one of the two",
        )
    check_numbered(as_format.partition(".")[0])
    found = numbered_schema(schema or line_schema(binary=options.binary), options.number)
    return found, None if written is None else numbered_schema(written, options.number)


def _all_rows(options: Options, sample: Sample, *, counts_rows: bool) -> int | None:
    """Return the rows that --shards cuts into equal counts: those of --take.

    counts_rows  whether all rows are cut so, once they are known
    Raises  UsageError where the rows that are left are no range of the key known beforehand
    """
    if counts_rows or (sample.first_rows is None and not sample.skip):
        return None
    if options.shards is not None and (sample.take is None or options.split is not None):
        cut = "--skip leaves out its front" if sample.take is None else "--split cuts a sample"
        raise UsageError(
            f"--shards {options.shards} cuts the whole order by its keys, and {cut}",
            hint="use --shard-rows or --shard-bytes",
        )
    return sample.take


def _row_group_bytes(options: Options, as_format: str) -> int | None:
    """Return --row-group-bytes; None where memory decides.

    A run in --work-dir may go on under another --memory, and writes what it would have written.
    """
    if options.row_group_bytes is not None:
        return parse_bytes(options.row_group_bytes, "--row-group-bytes")
    return ROW_GROUP_BYTES if options.work_dir is not None and as_format == "parquet" else None


def _shards(options: Options, path: OutputPath | None) -> int | None:
    """Return --shards, or 1 for folders of splits, epochs and values that are uncut."""
    is_cut = (options.shards, options.shard_bytes, options.shard_rows) != (None, None, None)
    is_folder = str(options.output).endswith("/") or (path is not None and path.is_dir())
    has_folders = options.split is not None or options.epochs is not None
    is_folder = (has_folders and is_folder) or bool(options.partition_by)
    return 1 if is_folder and not is_cut else options.shards


def _locator(options: Options, read: ReadPlan, words: tuple[int, int]) -> Callable[[int], str]:
    """Return what tells of a row's key where the row came from, for messages."""
    if options.with_replacement is not None:
        return _drawn
    unit = "byte" if read.shape.is_text else "row"
    return partial(_locate, read.inputs, words, unit, copies=read.mix is not None)


def _drawn(key: int) -> str:
    """Name a row that was drawn: its key is that of the draw."""
    return "a row that was drawn"


def _locate(
    inputs: tuple[Input, ...], words: tuple[int, int], unit: str, key: int, *, copies: bool
) -> str:
    """Name the row that has a key, for messages; or, of `copies`, the row that it is one of."""
    row = id_of(key, words)
    if copies:
        row = id_of_first(row, len(inputs))
    if row >> POSITION_BITS >= len(inputs):  # a query gave the id
        return f"the row with the id {row}"
    return f"`{inputs[row >> POSITION_BITS].name}` at {unit} {row % POSITION_LIMIT}"
