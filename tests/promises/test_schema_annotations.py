"""What a Parquet footer says and pyarrow has no words for stays, or is an error that says so."""

import io
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from schema_tools import MEMORY, assert_same, exported, footer_of, read, table, write

import dbshuf
from dbshuf.api import ingest
from dbshuf.base.parquet_types import tree
from dbshuf.base.thrift import BINARY, I32, LIST, STRUCT, Reader, value_bytes

field = pa.field


def elements_of(path):
    return Reader(footer_of(path)).struct()[2][1][1]


def annotated(path, rows, notes, **options):
    """Write rows and say of leaves, by their names, what pyarrow has no words for."""
    made = io.BytesIO()
    pq.write_table(rows, made, store_schema=False, **options)
    data = made.getvalue()
    size = int.from_bytes(data[-8:-4], "little")
    footer = Reader(data[-8 - size : -8]).struct()
    for element in footer[2][1][1]:
        element.update(notes.get(element[4][1].decode(), {}))
    whole = value_bytes(STRUCT, footer)
    path.write_bytes(data[: -8 - size] + whole + len(whole).to_bytes(4, "little") + b"PAR1")
    return path


def logical(number, **fields):
    """LogicalType is a union of structs: one field, whose number is the type."""
    return {10: (STRUCT, {number: (STRUCT, {int(k[1:]): v for k, v in fields.items()})})}


ANNOTATIONS = {
    "geometry": logical(17, _1=(BINARY, b"OGC:CRS84")),
    "geography": logical(18),
    "not yet known": logical(77),
    "enum": {6: (I32, 4)} | logical(4),
    "bson": {6: (I32, 20)} | logical(13),
    "interval": {6: (I32, 21)},
    "in a list": logical(17),
    "variant": logical(16, _1=(3, 1)),
}


def annotated_input(path):
    variant = pa.struct([field("metadata", pa.binary(), False), field("value", pa.binary(), False)])
    schema = pa.schema(
        [
            field("geometry", pa.binary()),
            field("geography", pa.binary()),
            field("not yet known", pa.binary(), False),
            field("enum", pa.binary()),
            field("bson", pa.binary()),
            field("interval", pa.binary(12)),
            field("places", pa.list_(pa.struct([field("in a list", pa.binary())]))),
            field("variant", variant),
        ]
    )
    rows = [
        [text, text, text, text, text, text * 6, [{"in a list": text}],
         {"metadata": b"\x01\x00\x00", "value": b"\x00"}]
        for text in (b"ab", b"zz", b"\xff\x00")
    ]  # fmt: skip
    return annotated(path, table(schema, *rows), ANNOTATIONS)


@pytest.mark.parametrize("through_store", [False, True])
def test_logical_types_that_pyarrow_does_not_know_stay(tmp_path, through_store):
    source, out = annotated_input(tmp_path / "in.parquet"), tmp_path / "out.parquet"
    if through_store:
        ingest(tmp_path / "store.duckdb", source, memory=MEMORY)
        exported(tmp_path / "store.duckdb", out)
    else:
        dbshuf.shuffle(source, out, seed=1, memory=MEMORY)
    said = [
        {element[4][1]: {k: element[k] for k in (1, 2, 3, 6, 10) if k in element}
         for element in elements_of(path)[1:]}
        for path in (source, out)
    ]  # fmt: skip
    assert said[0] == said[1]
    assert_same(read(out), read(source))


def test_values_without_an_order_have_no_statistics(tmp_path):
    """A reader that knows Geometry would take bytes in another order for its bounds."""
    source, out = annotated_input(tmp_path / "in.parquet"), tmp_path / "out.parquet"
    dbshuf.shuffle(source, out, seed=1, memory=MEMORY)
    group = pq.ParquetFile(out).metadata.row_group(0)
    has = {}
    for number in range(group.num_columns):
        column = group.column(number)
        has[column.path_in_schema] = column.is_stats_set and column.statistics.has_min_max
    ordered = {name for name, is_set in has.items() if is_set}
    assert ordered == {"enum", "bson", "variant.metadata", "variant.value"}


def test_a_schema_that_is_no_tree_is_refused():
    with pytest.raises(ValueError, match="no tree"):
        tree([{4: (BINARY, b"root"), 5: (I32, 3)}, {4: (BINARY, b"a")}])
    assert LIST == 9


def test_a_footer_that_pyarrow_dies_of_is_an_error_or_is_read(tmp_path):
    """A look at a column's part of a footer ended the process where its counts do not agree."""
    path = write(tmp_path / "in.parquet", pa.table({"a": [1, None], "b": ["x", "y"]}))
    data = path.read_bytes()
    size = int.from_bytes(data[-8:-4], "little")
    footer = Reader(footer_of(path)).struct()
    for chunk in footer[4][1][1][0][1][1][1]:
        statistics = chunk[3][1][16][1]
        statistics[3] = (LIST, (6, [1, 2, 3, 4, 5]))  # definition levels of each height
    whole = value_bytes(STRUCT, footer)
    path.write_bytes(data[: -8 - size] + whole + len(whole).to_bytes(4, "little") + b"PAR1")
    script = """
import sys, dbshuf
for options in ({}, {"select": "b"}, {"sql": "select b from lines"}):
    try:
        dbshuf.shuffle(sys.argv[1], sys.argv[2], seed=1, memory="1GB", **options)
    except dbshuf.DbshufError as error:
        print(type(error).__name__)
"""
    run = [sys.executable, "-c", script, str(path), str(tmp_path / "out.parquet")]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) <= {"InputBroken"}
