"""Tables in files with all that their schemas say, and whether others are the same."""

import pyarrow as pa
import pyarrow.parquet as pq

from dbshuf.base.progress import NO_PROGRESS
from dbshuf.base.thrift import Reader
from dbshuf.options import Options
from dbshuf.pipeline.shuffle import run
from dbshuf.plan.make_plan import make_plan

MEMORY = "4GB"  # of the whole process, and here that is the test run with all it has loaded
OWN = (b"dbshuf.seed", b"dbshuf.order_version")


def table(schema, *rows):
    return pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema)


def write(path, rows, **options):
    if path.suffix == ".parquet":
        pq.write_table(rows, path, **options)
    else:
        with pa.ipc.new_file(path, rows.schema) as file:
            file.write_table(rows)
    return path


def read(path):
    if path.suffix == ".parquet":
        return pq.ParquetFile(path).read()
    return pa.ipc.open_file(path).read_all()


def traits(one):
    """All of a field but the names within a map, which the formats choose."""
    kind = one.type
    if pa.types.is_map(kind):
        kind = [traits(kind.key_field.with_name("")), traits(kind.item_field.with_name(""))]
    elif pa.types.is_struct(kind):
        kind = list(map(traits, kind))
    return one.name, one.nullable, one.metadata or None, kind


def assert_same(found, wanted):
    """The schema with all that it says, and the rows in any order."""
    found.validate(full=True)
    kept = {k: v for k, v in (found.schema.metadata or {}).items() if k not in OWN}
    assert (kept or None) == wanted.schema.metadata
    assert list(map(traits, found.schema)) == list(map(traits, wanted.schema))
    assert sorted(map(repr, found.to_pylist())) == sorted(map(repr, wanted.to_pylist()))


def exported(store, out):
    options = Options(inputs=(), store=str(store), output=str(out), seed="1", memory=MEMORY)
    run(make_plan(options), NO_PROGRESS)
    return read(out)


def footer_of(path):
    data = path.read_bytes()
    return data[-8 - int.from_bytes(data[-8:-4], "little") : -8]


def keys_of(path):
    return [one[1][1] for one in Reader(footer_of(path)).struct()[5][1][1]]
