"""JSON lines whose objects have no keys: rows without columns, and objects all the same."""

import pyarrow.parquet as pq
import pytest

import dbshuf
from dbshuf.api import ingest
from dbshuf.errors import SchemaMismatch


@pytest.fixture(name="keyless")
def keyless_(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text("{}\n{ }\n{}\n")
    return path


@pytest.mark.parametrize("strategy", ["memory", "partition", "spill"])
@pytest.mark.parametrize("where", [None, "position > 0"])
def test_rows_without_columns_are_refused(keyless, tmp_path, strategy, where):
    output = tmp_path / "out.parquet"
    with pytest.raises(SchemaMismatch, match="no object has a key"):
        dbshuf.shuffle(keyless, output, input_format="json", strategy=strategy, where=where)
    assert not output.exists()


@pytest.mark.parametrize("where", [None, "position > 0"])
def test_as_json_lines_they_need_no_columns(keyless, tmp_path, where):
    output = tmp_path / "out.jsonl"
    dbshuf.shuffle(keyless, output, input_format="json", where=where)
    assert sorted(output.read_text().split("\n")[:-1]) == ["{ }", "{}", "{}"][: 2 if where else 3]


@pytest.mark.parametrize("name", ["out.parquet", "out.jsonl"])
def test_white_space_alone_holds_no_object(tmp_path, name):
    (tmp_path / "in.jsonl").write_text(" \n\r\n")
    with pytest.raises(SchemaMismatch, match=r"in\.jsonl"):
        dbshuf.shuffle(tmp_path / "in.jsonl", tmp_path / name, input_format="json")


def test_a_store_of_rows_without_columns_is_refused(keyless, tmp_path):
    with pytest.raises(SchemaMismatch, match="no object has a key"):
        ingest(tmp_path / "s.duckdb", keyless, input_format="json")
    assert not (tmp_path / "s.duckdb").exists()


def test_objects_without_keys_beside_others_are_rows_of_nulls(keyless, tmp_path):
    """In columns; as JSON they stay what they are."""
    other, output = tmp_path / "other.jsonl", tmp_path / "out.parquet"
    other.write_text('{"a": 1}\n')
    dbshuf.shuffle([keyless, other], output, input_format="json")
    assert sorted(pq.read_table(output)["a"].to_pylist(), key=str) == [1, None, None, None]


def test_sql_can_give_them_columns(keyless, tmp_path):
    output = tmp_path / "out.csv"
    dbshuf.shuffle(keyless, output, input_format="json", select="position")
    assert sorted(output.read_text().split()) == ["0", "3", "7", "position"]


def test_no_lines_at_all_are_no_rows(tmp_path):
    (tmp_path / "in.jsonl").touch()
    dbshuf.shuffle(tmp_path / "in.jsonl", tmp_path / "out.jsonl", input_format="json")
    assert (tmp_path / "out.jsonl").read_bytes() == b""
