"""What is read: inputs or a store, what they hold, how large their rows are."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dbshuf.errors import UsageError
from dbshuf.options import Options, terminator_of
from dbshuf.plan.row_plan import (
    Shape,
    check_sql_early,
    make_shape,
)
from dbshuf.source.formats import DATABASES, TEXT_KINDS, kind_of_inputs
from dbshuf.source.head import ENCODED_KINDS, check_encoding, common_header
from dbshuf.source.hive import with_folder_keys
from dbshuf.source.input import Input
from dbshuf.source.inputs import resolve_inputs
from dbshuf.source.survey import Survey, survey_inputs
from dbshuf.source.tables.opening import tables_of_inputs

if TYPE_CHECKING:
    from dbshuf.store.schema import StoreInfo


@dataclass(frozen=True)
class ReadPlan:
    """What is read: inputs, or a store of them."""

    inputs: tuple[Input, ...]
    store: "StoreInfo | None"
    shape: Shape
    terminator: bytes
    header: bytes
    tables: tuple[str, ...] = ()


def what_is_read(options: Options) -> ReadPlan:
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
    check_sql_early(options)
    inputs = resolve_inputs(options.inputs, options.include, options.exclude)
    if options.as_it_is:
        inputs = tuple(replace(one, codec=None, window_bytes=0) for one in inputs)
    kind = _kind(options, inputs)
    rows = "lines" if kind in TEXT_KINDS else None
    inputs = with_folder_keys(inputs, options.hive, rows=rows)
    header = common_header(inputs, options.header, terminator)
    tables: tuple[str, ...] = ()
    if kind in DATABASES and options.table is None:
        tables = tables_of_inputs(inputs, kind)
    return ReadPlan(inputs, None, make_shape(options, inputs, kind), terminator, header, tables)


def _kind(options: Options, inputs: tuple[Input, ...]) -> str:
    """Return what the inputs hold, as asked or by their first bytes."""
    kind = "lines"
    if options.input_format != "lines":
        kind = kind_of_inputs(inputs, options.input_format, table=options.table)
    if kind != "lines" and options.header:
        raise UsageError(f"--header is for lines, and the inputs are {kind}")
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
            comparisons=() if shape.row_query is None else shape.row_query.comparisons,
        )
    if shape.whole_query is not None:
        return replace(survey, text_bytes=None, is_exact=False, columns=columns)
    return replace(survey, is_exact=survey.is_exact and not columns, columns=columns)
