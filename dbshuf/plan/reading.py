"""What is read: inputs or a store, what they hold, how large their rows are."""

from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING

from dbshuf.errors import UsageError
from dbshuf.options import SAME, Options, terminator_of
from dbshuf.plan.row_plan import (
    Shape,
    check_sql_early,
    make_shape,
    memory_and_readers,
)
from dbshuf.plan.spark_memory import executor_memory, with_task_windows
from dbshuf.source.formats import DATABASES, TEXT_KINDS, kind_of_inputs, one_of
from dbshuf.source.head import ENCODED_KINDS, check_encoding, common_header
from dbshuf.source.hive import with_folder_keys
from dbshuf.source.input import Input, closed_pipe, with_windows_within
from dbshuf.source.inputs import counted_inputs, resolve_inputs
from dbshuf.source.local_copy import with_copies
from dbshuf.source.survey import Survey, survey_inputs
from dbshuf.source.tables.opening import tables_of_inputs

if TYPE_CHECKING:
    from dbshuf.plan.mix import MixAsked, MixPart
    from dbshuf.store.schema import StoreInfo


@dataclass(frozen=True)
class ReadPlan:
    """What is read: inputs, or a store of them.

    mix, parts  of --mix: as it was asked for, and its sources with their inputs
    """

    inputs: tuple[Input, ...]
    store: "StoreInfo | None"
    shape: Shape
    terminator: bytes
    header: bytes
    tables: tuple[str, ...] = ()
    mix: "MixAsked | None" = None
    parts: "tuple[MixPart, ...]" = ()


def what_is_read(options: Options) -> ReadPlan:
    """Look at what the options name. Raises what can be known of it to fail."""
    mix = _mix_asked(options)
    if options.store is not None:
        from dbshuf.store.opening import open_store

        store = open_store(options.store)
        shape = make_shape(options, store.inputs, "lines", columns=store.written)
        return ReadPlan(store.inputs, store, shape, store.terminator, store.header)
    terminator = terminator_of(options)
    if options.paired:
        from dbshuf.plan.paired import paired_shape

        inputs, shape = paired_shape(options)
        assert shape.sides is not None
        return ReadPlan(inputs, None, shape, terminator, shape.sides.headers[0])
    counts: list[int] = []
    if mix is None:
        check_sql_early(options)
        inputs = resolve_inputs(options.inputs, options.include, options.exclude)
    else:
        names = [one.name for one in mix.sources]
        inputs, counts = counted_inputs(names, options.include, options.exclude)
        _check_no_pipe(inputs)
    if options.as_it_is:
        inputs = tuple(replace(one, codec=None, window_bytes=0, windows=None) for one in inputs)
    if options.engine == "spark":
        inputs = with_task_windows(inputs, *executor_memory(options))
    else:
        inputs = with_windows_within(inputs, *memory_and_readers(options))
    kind = _kind(options, inputs)
    inputs = with_copies(inputs, kind, options.temp_dir)
    rows = "lines" if kind in TEXT_KINDS else None
    inputs = with_folder_keys(inputs, options.hive, rows=rows)
    header = common_header(inputs, options.header, terminator)
    tables: tuple[str, ...] = ()
    if kind in DATABASES and options.table is None:
        tables = tables_of_inputs(inputs, kind)
    also = () if mix is None else [one.where for one in mix.sources]
    shape = make_shape(options, inputs, kind, also=also)
    found = ReadPlan(inputs, None, shape, terminator, header, tables)
    return found if mix is None else _mixed(found, mix, counts)


def _mix_asked(options: Options) -> "MixAsked | None":
    """Return the mix that is asked for, checked. Raises UsageError."""
    if not options.mix and (options.mix_by, options.mix_size) == (None, None):
        return None
    from dbshuf.plan.mix import mix_of

    return mix_of(options)


def _check_no_pipe(inputs: tuple[Input, ...]) -> None:
    """Raise UsageError for a source that can be read once."""
    pipe = closed_pipe(inputs)
    if pipe is not None:
        raise UsageError(
            f"--mix: `{pipe.name}` is no file, and a source is read several times",
            hint="write it to a file first",
        )


def _mixed(read: ReadPlan, mix: "MixAsked", counts: list[int]) -> ReadPlan:
    """Return what is read, with the inputs of each source."""
    from dbshuf.plan.mix import MixPart

    ends = list(accumulate(counts))
    shape = read.shape
    parts = tuple(
        MixPart(source, end - count, end, query)
        for source, count, end, query in zip(mix.sources, counts, ends, shape.parts, strict=True)
    )
    return replace(read, mix=mix, parts=parts)


def _kind(options: Options, inputs: tuple[Input, ...]) -> str:
    """Return what the inputs hold, as asked or by their first bytes."""
    kind = "lines"
    if options.input_format != "lines":
        kind = kind_of_inputs(inputs, options.input_format, table=options.table)
    if kind != "lines" and options.header:
        raise UsageError(
            f"--header is for lines, and the inputs are {kind}",
            hint="leave it out: the names of columns are kept anyway",
        )
    if kind not in TEXT_KINDS and options.zero_terminated:
        raise UsageError(
            f"--zero-terminated is for lines, and `{inputs[0].name}` is {one_of(kind)}",
            hint="leave it out",
        )
    if kind == "lines" and options.schema != SAME:
        raise UsageError(
            f"--schema {options.schema} is for rows with columns, and the inputs are lines",
            hint="leave it out, or say with --from what they are",
        )
    if kind in DATABASES and options.engine == "spark":  # before any is copied
        raise UsageError(
            "--engine spark cannot do this: a database is read through one engine on one machine",
            hint="export the table to Parquet, and shuffle that; or leave out --engine",
        )
    if kind in ENCODED_KINDS and not options.binary:
        check_encoding(inputs, kind)
    return kind


def survey_of(read: ReadPlan) -> Survey:
    shape = read.shape
    if shape.sides is not None:
        from dbshuf.plan.paired import paired_survey

        return paired_survey(read.inputs, shape.sides, read.terminator)
    columns = 0 if shape.schema is None else len(shape.schema)
    if read.store is not None:
        survey = read.store.survey()
    else:
        survey = survey_inputs(
            read.inputs,
            shape.kind,
            terminator=read.terminator,
            table=shape.table,
            schema=shape.asked,
            comparisons=()
            if shape.row_query is None or read.mix is not None
            else shape.row_query.comparisons,
        )
    if shape.whole_query is not None:
        return replace(survey, text_bytes=None, is_exact=False, columns=columns)
    return replace(survey, is_exact=survey.is_exact and not columns, columns=columns)
