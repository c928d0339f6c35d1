"""Rows keep the schema that they came with, whatever way they take from a file to a file."""

import base64
import json
import uuid
from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe
import pytest
from pyarrow import feather
from schema_tools import MEMORY, assert_same, exported, keys_of, read, table, write

import dbshuf
from dbshuf.api import ingest
from dbshuf.errors import InputUnreadable

field = pa.field


def typed():
    """Every trait of a column that plain types leave out."""
    schema = pa.schema(
        [
            field("required", pa.int64(), False),
            field("known", pa.string(), metadata={"unit": "m", "PARQUET:field_id": "7"}),
            field("large", pa.large_string(), False),
            field("category", pa.dictionary(pa.int32(), pa.string())),
            field("tags", pa.large_list(field("element", pa.large_string(), False))),
            field("numbers", pa.list_(field("element", pa.uint16(), False)), False),
            field("pair", pa.struct([field("a", pa.int8(), False), field("b", pa.large_binary())])),
            field("named", pa.map_(pa.string(), field("value", pa.int32(), False))),
            field("at", pa.timestamp("ms", "Europe/Paris")),
            field("price", pa.decimal128(7, 2), False),
            field("wide", pa.decimal256(50, 2)),
            field("who", pa.uuid()),
            field("doc", pa.json_(pa.large_string())),
            field("vector", pa.list_(field("element", pa.float32(), False), 2)),
            field("half", pa.float16()),
        ],
        metadata={"made by": "me"},
    )
    when = datetime(2020, 5, 17, tzinfo=UTC)
    return table(
        schema,
        [1, "x", "a", "red", ["p", "q"], [1, 2], {"a": 1, "b": b"z"}, [("k", 1)], when,
         Decimal("1.25"), Decimal("2.50"), uuid.UUID(int=1), "{}", [1, 2], 1.5],
        [2, None, "b", None, None, [], None, None, None,
         Decimal("-3.00"), None, None, None, None, None],
        [3, "y", "c", "blue", [], [3], {"a": 2, "b": None}, [], when,
         Decimal("99999.99"), Decimal("1.00"), uuid.UUID(int=2), "[1]", [3, 4], 2.5],
    )  # fmt: skip


@pytest.mark.parametrize("strategy", ["memory", "partition"])
@pytest.mark.parametrize("end", ["parquet", "arrow"])
@pytest.mark.parametrize("begin", ["parquet", "arrow"])
def test_a_file_leaves_with_the_schema_it_came_with(tmp_path, begin, end, strategy):
    source = write(tmp_path / f"in.{begin}", typed())
    out = tmp_path / f"out.{end}"
    dbshuf.shuffle(source, out, seed=1, memory=MEMORY, strategy=strategy)
    assert_same(read(out), read(source))


def test_a_stream_has_the_schema_of_its_input(tmp_path):
    source = write(tmp_path / "in.parquet", typed())
    with dbshuf.stream(source, seed=1, memory=MEMORY) as reader:
        assert_same(reader.read_all(), read(source))


@pytest.mark.parametrize(
    "options", [{"where": "required > 1"}, {"shards": 2}, {"split": "train=0.5,valid=0.5"}]
)
def test_some_rows_keep_the_schema(tmp_path, options):
    source = write(tmp_path / "in.parquet", typed())
    out = tmp_path / ("out" if "shards" in options else "out.parquet")
    dbshuf.shuffle(source, out, seed=1, memory=MEMORY, format="parquet", **options)
    rows = pa.concat_tables(
        map(
            read, sorted(tmp_path.rglob("*out*/*.parquet")) or sorted(tmp_path.glob("out*.parquet"))
        )
    )
    wanted = read(source)
    if "where" in options:
        wanted = wanted.filter(pc.field("required") > 1)
    assert_same(rows, wanted)


def test_spill_keeps_what_is_not_null_and_what_is_said_of_it(tmp_path):
    large = field("s", pa.large_string())
    schema = pa.schema([field("n", pa.int64(), False, {"unit": "s"}), large])
    source = write(tmp_path / "in.parquet", table(schema, [1, "a"], [2, None]))
    dbshuf.shuffle(source, tmp_path / "out.parquet", seed=1, memory="4GB", strategy="spill")
    assert_same(read(tmp_path / "out.parquet"), read(source))


def test_a_store_gives_back_the_schema(tmp_path):
    rows = typed().drop_columns(["who", "doc", "wide", "half", "vector"])
    source = write(tmp_path / "in.parquet", rows)
    ingest(tmp_path / "store.duckdb", source, memory=MEMORY)
    assert_same(exported(tmp_path / "store.duckdb", tmp_path / "out.parquet"), read(source))


def test_a_store_says_of_a_column_what_holds_for_all_its_inputs(tmp_path):
    """The second ingest has a null where the first input's column could have none."""
    strict = pa.schema([field("n", pa.int64(), False, {"unit": "s"})], metadata={"a": "1"})
    loose = pa.schema([field("n", pa.int64(), True, {"unit": "s"})], metadata={"a": "2"})
    one = write(tmp_path / "1.parquet", table(strict, [1]))
    two = write(tmp_path / "2.parquet", table(loose, [None]))
    ingest(tmp_path / "store.duckdb", one, memory=MEMORY)
    ingest(tmp_path / "store.duckdb", two, memory=MEMORY)
    found = exported(tmp_path / "store.duckdb", tmp_path / "out.parquet")
    assert found.schema.field("n").nullable
    assert found.schema.field("n").metadata == {b"unit": b"s"}
    assert b"a" not in found.schema.metadata


def test_several_inputs_leave_with_what_all_of_them_say(tmp_path):
    one = pa.schema(
        [field("n", pa.int64(), False), field("s", pa.large_string())], {"same": "1", "other": "1"}
    )
    two = pa.schema([field("s", pa.string()), field("n", pa.int64())], {"same": "1", "other": "2"})
    write(tmp_path / "1.parquet", table(one, [1, "a"]))
    write(tmp_path / "2.parquet", table(two, ["b", None]))
    paths = [tmp_path / "1.parquet", tmp_path / "2.parquet"]
    dbshuf.shuffle(paths, tmp_path / "out.parquet", seed=1, memory=MEMORY)
    found = read(tmp_path / "out.parquet").schema
    assert found.field("n").nullable
    assert found.field("s").type == pa.string()
    assert found.metadata[b"same"] == b"1"
    assert b"other" not in found.metadata


GEO = {"version": "1.1.0", "primary_column": "g", "columns": {"g": {"encoding": "WKB"}}}
SAYINGS = {
    "user": "kept",
    "geo": json.dumps(GEO),
    "huggingface": json.dumps({"info": {"features": {"g": {"dtype": "binary", "_type": "Value"}}}}),
    "writer's columns": '{"fields": [{"name": "n"}]}',
}


def test_keys_of_a_file_stay_and_those_that_speak_of_columns_go_with_a_select(tmp_path):
    schema = pa.schema([field("n", pa.int64()), field("g", pa.binary())], metadata=SAYINGS)
    source = write(tmp_path / "in.parquet", table(schema, [1, b"x"], [2, b"y"]))
    out = tmp_path / "out.parquet"
    for options, kept in (
        ({}, set(SAYINGS)),
        ({"where": "n > 0"}, set(SAYINGS)),
        ({"select": "n as m"}, {"user"}),
        ({"sql": "select id, n from lines"}, {"user"}),
    ):
        dbshuf.shuffle(source, out, seed=1, memory=MEMORY, **options)
        found = pq.ParquetFile(out).metadata.metadata
        names = {key.decode() for key in found if not key.startswith(b"dbshuf.")}
        assert names - {"ARROW:schema"} == kept, options
        assert {name: found[name.encode()].decode() for name in kept} == {
            name: SAYINGS[name] for name in kept
        }
        raw = keys_of(out)
        assert raw.count(b"ARROW:schema") == 1
        assert len(raw) == len(set(raw))


def test_an_index_that_numbered_the_rows_does_not_number_them_in_another_order(tmp_path):
    pandas = {"index_columns": [{"kind": "range", "start": 5, "stop": 7, "step": 1}, "n"]}
    schema = pa.schema([field("n", pa.int64())], metadata={"pandas": json.dumps(pandas)})
    source = write(tmp_path / "in.parquet", table(schema, [1], [2]))
    dbshuf.shuffle(source, tmp_path / "out.parquet", seed=1, memory=MEMORY)
    found = read(tmp_path / "out.parquet").schema.metadata[b"pandas"]
    assert json.loads(found)["index_columns"] == ["n"]


def test_decimals_in_integers_stay_integers(tmp_path):
    schema = pa.schema([field("d", pa.decimal128(7, 2)), field("e", pa.decimal128(17, 2), False)])
    rows = table(schema, [Decimal("1.25"), Decimal("-2.50")], [None, Decimal("3.00")])
    source = write(tmp_path / "in.parquet", rows, store_decimal_as_integer=True)
    dbshuf.shuffle(source, tmp_path / "out.parquet", seed=1, memory=MEMORY)
    found = pq.ParquetFile(tmp_path / "out.parquet").schema
    assert [found.column(i).physical_type for i in (0, 1)] == ["INT32", "INT64"]
    assert_same(read(tmp_path / "out.parquet"), read(source))


@pytest.mark.parametrize("kind", ["parquet", "arrow", "sqlite"])
def test_times_and_decimals_out_of_their_range_are_read(tmp_path, kind):
    """pyarrow and others read them: TIMETZ before midnight UTC, a digit too many."""
    times = pa.array([-13_899_000, 5], pa.int32()).view(pa.time32("ms"))
    decimals = pa.array([123456, 1], pa.decimal128(7, 0)).view(pa.decimal128(5, 0))
    rows = pa.table({"t": times, "d": decimals})
    source = write(tmp_path / f"in.{kind.replace('sqlite', 'arrow')}", rows)
    if kind == "sqlite":
        ingest(tmp_path / "store.sqlite", source, memory=MEMORY)
        exported(tmp_path / "store.sqlite", tmp_path / "out.arrow")
    else:
        dbshuf.shuffle(source, tmp_path / "out.arrow", seed=1, memory=MEMORY)
    found = read(tmp_path / "out.arrow")
    assert sorted(found["t"].combine_chunks().view(pa.int32()).to_pylist()) == [-13_899_000, 5]
    assert sorted(found["d"].to_pylist()) == [Decimal(1), Decimal(123456)]


class ToyKms(pe.KmsClient):
    """Keys that are wrapped in nothing."""

    def __init__(self, config):
        super().__init__()

    def wrap_key(self, key_bytes, master_key_identifier):
        return base64.b64encode(key_bytes)

    def unwrap_key(self, wrapped_key, master_key_identifier):
        return base64.b64decode(wrapped_key)


@pytest.mark.parametrize("plaintext_footer", [True, False])
@pytest.mark.parametrize("strategy", ["memory", "partition", "spill"])
def test_an_encrypted_file_is_an_error_that_says_so(tmp_path, plaintext_footer, strategy):
    rows = pa.table({"open": [1, 2], "secret": ["a", "b"]})
    config = pe.EncryptionConfiguration(
        footer_key="foot", column_keys={"column": ["secret"]}, plaintext_footer=plaintext_footer
    )
    properties = pe.CryptoFactory(ToyKms).file_encryption_properties(
        pe.KmsConnectionConfig(), config
    )
    write(tmp_path / "in.parquet", rows, encryption_properties=properties)
    with pytest.raises(InputUnreadable, match="encrypted"):
        dbshuf.shuffle(
            tmp_path / "in.parquet", tmp_path / "out.parquet", memory=MEMORY, strategy=strategy
        )


def test_a_file_without_rows_keeps_its_schema(tmp_path):
    source = write(tmp_path / "in.parquet", typed().slice(0, 0))
    for end in ("parquet", "arrow"):
        dbshuf.shuffle(source, tmp_path / f"out.{end}", seed=1, memory=MEMORY)
        assert_same(read(tmp_path / f"out.{end}"), read(source))


@pytest.mark.parametrize("kind", [pa.string_view(), pa.binary_view(), pa.list_view(pa.int8())])
def test_views_stay_views_in_arrow(tmp_path, kind):
    values = [[1], None, [2, 3]] if pa.types.is_list_view(kind) else ["a", None, "b" * 40]
    values = [v.encode() if pa.types.is_binary_view(kind) and v else v for v in values]
    source = write(tmp_path / "in.arrow", pa.table({"v": pa.array(values, kind)}))
    dbshuf.shuffle(source, tmp_path / "out.arrow", seed=1, memory=MEMORY)
    assert_same(read(tmp_path / "out.arrow"), read(source))


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (pa.float16(), [1.5, 0.0]),
        (pa.decimal32(5, 2), [Decimal("1.25"), Decimal("-2.50")]),
        (pa.string_view(), ["a", "b" * 40]),
        (pa.list_(field("element", pa.int8())), [[1], [2, 3]]),
        (pa.struct([field("a", pa.int8())]), [{"a": 1}, {"a": None}]),
    ],
)
def test_a_dictionary_of_any_values_is_one_in_arrow_unless_they_are_nested(tmp_path, kind, values):
    """Within another type, too, it is read: there, and of nested values, as these are."""
    numbers = pa.array([0, 1, None, 1, 0], pa.int16())
    column = pa.DictionaryArray.from_arrays(numbers, pa.array(values, kind))
    pair = pa.StructArray.from_arrays([column], ["x"])
    source = write(tmp_path / "in.arrow", pa.table({"d": column, "s": pair}))
    dbshuf.shuffle(source, tmp_path / "out.arrow", seed=1, memory=MEMORY)
    found, plain = read(tmp_path / "out.arrow"), [None, *values, *values]
    assert found.schema.types[0] == (kind if pa.types.is_nested(kind) else column.type)
    assert sorted(found["d"].to_pylist(), key=str) == sorted(plain, key=str)
    assert sorted(found["s"].to_pylist(), key=str) == sorted(({"x": v} for v in plain), key=str)


@pytest.mark.parametrize("codec", ["uncompressed", "zstd"])
def test_a_dictionary_that_is_too_large_for_an_arrow_file_is_written_as_plain_values(
    tmp_path, codec
):
    """What readers hold of a file has an end; it was refused after all had been read."""
    values = [f"{number:02}" * 600_000 for number in range(15)]
    large = pa.table({"n": range(15), "d": pa.array(values).dictionary_encode()})
    small = pa.table({"n": [15], "d": pa.array(["few"]).dictionary_encode()})
    feather.write_feather(large, tmp_path / "a.arrow", compression=codec)
    feather.write_feather(small, tmp_path / "b.arrow", compression=codec)
    inputs = [tmp_path / "a.arrow", tmp_path / "b.arrow"]
    dbshuf.shuffle(inputs, tmp_path / "out.arrow", seed=1, memory="3GB")
    found = read(tmp_path / "out.arrow").sort_by("n")
    assert found.schema.field("d").type == pa.string()
    assert found["d"].to_pylist() == [*values, "few"]


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_an_order_of_categories_is_not_claimed_where_it_is_not_kept(tmp_path, kind):
    values = pa.array(["low", "high", "mid"])
    places = pa.array([1, 0, 2, None], pa.int8())
    rows = pa.table({"c": pa.DictionaryArray.from_arrays(places, values, ordered=True)})
    source = write(tmp_path / f"in.{kind}", rows)
    dbshuf.shuffle(source, tmp_path / f"out.{kind}", seed=1, memory=MEMORY)
    found = read(tmp_path / f"out.{kind}")
    assert pa.types.is_dictionary(found.schema.field("c").type)
    assert not found.schema.field("c").type.ordered
    assert sorted(map(str, found["c"].to_pylist())) == ["None", "high", "low", "mid"]
