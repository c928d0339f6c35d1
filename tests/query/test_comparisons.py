"""--where and the parts of an input that its statistics rule out: the same rows, less to read."""

import datetime
import itertools
import re

import duckdb
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import dbshuf
from dbshuf.errors import InputBroken

DAY = datetime.date(2020, 1, 1)
KINDS = {  # type, values, and how a constant of it is written
    "n": (pa.int64(), st.integers(-5, 5), str),
    "small": (pa.int8(), st.integers(-5, 5), str),
    "plus": (pa.uint32(), st.integers(0, 2**32 - 1), str),
    "text": (
        pa.string(),
        st.sampled_from(["", "a", "ab", "b", "ä", "z\u20ac", "Z"]),
        "'{}'".format,
    ),
    "kind": (pa.dictionary(pa.int32(), pa.string()), st.sampled_from(["x", "y"]), "'{}'".format),
    "day": (
        pa.date32(),
        st.integers(-3, 3).map(lambda d: DAY + datetime.timedelta(d)),
        "'{}'".format,
    ),
    "real": (pa.float64(), st.sampled_from([float("nan"), -1.5, 0.0, 2.0]), str),
}
WRITERS = ("arrow", "duckdb", "polars")
FILES = itertools.count()


@st.composite
def conditions(draw):
    """A condition of one to three parts, most of which compare a column with constants."""
    parts = []
    for _ in range(draw(st.integers(1, 3))):
        name = draw(st.sampled_from(sorted(KINDS)))
        _, values, text = KINDS[name]
        one, two = (text(draw(values.filter(lambda value: repr(value) != "nan"))) for _ in range(2))
        operator = draw(st.sampled_from(["=", "<", "<=", ">", ">=", "<>"]))
        parts.append(
            draw(
                st.sampled_from(
                    [
                        f"{name.upper()} {operator} {one}",
                        f"{one} {operator} lines.{name}",
                        f"{name} between {one} and {two}",
                        f"{name} in ({one}, {two})",
                        f"({name} = {one} or n > 3)",
                        f"not ({name} {operator} {one})",
                    ]
                )
            )
        )
    return " and ".join(parts)


@st.composite
def tables(draw):
    rows = draw(st.integers(1, 30))
    arrays = [
        pa.array(draw(st.lists(st.none() | values, min_size=rows, max_size=rows)), kind)
        for kind, values, _ in KINDS.values()
    ]
    return pa.table(arrays, list(KINDS)).sort_by(draw(st.sampled_from(["n", "day", "text"])))


def write(table, path, writer):
    if writer == "duckdb":
        with duckdb.connect() as connection:
            connection.from_arrow(table).write_parquet(str(path), row_group_size=2)
    elif writer == "polars":
        polars.from_arrow(table).write_parquet(path, row_group_size=3)
    else:
        pq.write_table(table, path, row_group_size=4)


def kept(path, condition):
    with dbshuf.stream(path, where=condition, seed=1) as reader:
        return reader.read_all().to_pylist()


@settings(
    max_examples=40,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(table=tables(), condition=conditions(), writer=st.sampled_from(WRITERS))
def test_the_rows_are_those_that_duckdb_gives(table, condition, writer, tmp_path):
    path = tmp_path / f"{next(FILES)}.parquet"
    write(table, path, writer)
    found = [list(map(repr, row.values())) for row in kept(path, condition)]
    with duckdb.connect() as connection:
        lines = connection.read_parquet(str(path))  # noqa: F841
        wanted = connection.sql(f"FROM lines WHERE {condition}").fetchall()
    assert sorted(found) == sorted(list(map(repr, row)) for row in wanted)


def damaged(path, group):
    """Write 400 rows in four groups; spoil the pages of all but one."""
    table = pa.table({"n": range(400), "text": [f"{i // 100}-{i}" for i in range(400)]})
    pq.write_table(table, path, row_group_size=100, compression="none")
    data, metadata = bytearray(path.read_bytes()), pq.read_metadata(path)
    for number in set(range(4)) - {group}:
        column = metadata.row_group(number).column(0)
        data[column.data_page_offset : column.data_page_offset + 4] = b"\xff" * 4
    path.write_bytes(data)


@pytest.mark.parametrize("strategy", ["memory", "partition", "spill"])
@pytest.mark.parametrize("condition", ["n >= 100 and n < 200", "text = '1-150'", "150 = n"])
def test_a_row_group_that_cannot_match_is_not_read(condition, strategy, tmp_path):
    path, out = tmp_path / "in.parquet", tmp_path / "out.parquet"
    damaged(path, 1)
    with pytest.raises(InputBroken):  # nothing rules the others out
        dbshuf.shuffle(path, out, where="n + 0 = 150", strategy="memory")
    dbshuf.shuffle(path, out, where=condition, strategy=strategy, seed=3)
    kept = pq.read_table(out)["n"].to_pylist()
    assert set(kept) == (set(range(100, 200)) if "and" in condition else {150})


def test_folders_that_cannot_match_are_not_read(tmp_path):
    for lang, day in (("en", "2024-01-01"), ("de", "2024-01-02")):
        folder = tmp_path / "in" / f"lang={lang}" / f"day={day}"
        folder.mkdir(parents=True)
        damaged(folder / "a.parquet", 1 if lang == "en" else 9)
    for condition in ("lang = 'en' and n = 150", "day <= date '2024-01-01' and n in (150)"):
        dbshuf.shuffle(tmp_path / "in", tmp_path / "o.jsonl", where=condition, seed=3)
        text = (tmp_path / "o.jsonl").read_text()
        assert re.fullmatch(r'\{"n": ?150,.*"lang": ?"en".*\}\n', text)


def test_no_row_at_all(tmp_path):
    pq.write_table(pa.table({"n": range(10)}), tmp_path / "in.parquet")
    found = dbshuf.shuffle(tmp_path / "in.parquet", tmp_path / "out.parquet", where="n > 99")
    assert found.rows == 0 == len(pq.read_table(tmp_path / "out.parquet"))
