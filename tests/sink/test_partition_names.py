"""Names of folders of values: as Spark writes them, and nothing that a reader takes for another."""

import datetime
from urllib.parse import unquote

import pyarrow as pa
import pytest

from dbshuf.errors import RowUnfit, UsageError
from dbshuf.sink.partition_names import check_partition_columns, value_folder, without_columns

SCHEMA = pa.schema({"lang": pa.string(), "n": pa.int32(), "x": pa.float64(), "_u": pa.string()})
SPARK = "\"#%'*/:=?\\{[]^\x7f" + "".join(map(chr, range(1, 32)))  # of its own source


def test_values_have_the_folders_that_spark_gives_them():
    """Plain ones as they are; what it escapes in upper-case hex; null under its name."""
    found = {value: value_folder("lang", value, str) for value in ("en", "é雪", "a b", "x+y~")}
    assert found == {value: f"lang={value}" for value in found}
    for one in SPARK:
        assert value_folder("lang", one, str) == f"lang=%{ord(one):02X}"
    every = "".join(map(chr, range(1, 500)))
    folder = value_folder("a/b", every[:80], str)
    assert "/" not in folder
    assert unquote(folder.partition("=")[2]) == every[:80]
    assert value_folder("a/b=c", 7, str) == "a%2Fb%3Dc=7"
    assert value_folder("n", -5, str) == "n=-5"
    assert value_folder("b", True, str) == "b=true"
    assert value_folder("d", datetime.date(2024, 2, 29), str) == "d=2024-02-29"
    assert value_folder("d", None, str) == "d=__HIVE_DEFAULT_PARTITION__"


@pytest.mark.parametrize("value", ["", "__HIVE_DEFAULT_PARTITION__", "x" * 300, "雪" * 90])
def test_a_value_that_would_be_read_as_another_is_refused_at_its_row(value):
    """Neither null for a text, nor a name that no file system takes."""
    with pytest.raises(RowUnfit, match="at row 7: --partition-by `lang`: "):
        value_folder("lang", value, lambda: "`in.parquet` at row 7")


@pytest.mark.parametrize(
    ("names", "schema", "message"),
    [
        (("lang",), None, "lines of text have no columns"),
        (("lung",), SCHEMA, "the rows have no such column"),
        (("lang", "lang"), SCHEMA, "is given twice"),
        (("x",), SCHEMA, "values of double name no folders"),
        (("_u",), SCHEMA, "readers pass over folders"),
        (("n",), pa.schema({"n": pa.int8()}), "none would be left"),
        (("n",), pa.schema({"n": pa.int8(), "N": pa.int8()}), "several columns have that name"),
    ],
)
def test_columns_that_make_no_folders_are_refused(names, schema, message):
    """Before any row is read, with what there is."""
    with pytest.raises(UsageError, match=message):
        check_partition_columns(names, schema)


def test_what_metadata_say_of_a_column_goes_with_it():
    """Files do not claim a column that lies in their folder."""
    schema = SCHEMA.with_metadata({b"pandas": b'{"columns": ["lang"]}', b"mine": b"kept"})
    assert without_columns(schema, ("lang",)).names == ["n", "x", "_u"]
    assert without_columns(schema, ("lang",)).metadata == {b"mine": b"kept"}
