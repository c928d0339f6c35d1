"""JSON lines whose objects have no keys: rows without columns."""

import pytest

import dbshuf
from dbshuf.errors import SchemaMismatch
from dbshuf.ingest import ingest


@pytest.fixture(name="keyless")
def keyless_(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text("{}\n{ }\n{}\n")
    return path


@pytest.mark.parametrize("strategy", ["memory", "partition", "spill"])
@pytest.mark.parametrize("where", [None, "position > 0"])
def test_rows_without_columns_are_refused(keyless, tmp_path, strategy, where):
    output = tmp_path / "out.jsonl"
    with pytest.raises(SchemaMismatch, match="no object has a key"):
        dbshuf.shuffle(keyless, output, input_format="json", strategy=strategy, where=where)
    assert not output.exists()


def test_a_store_of_rows_without_columns_is_refused(keyless, tmp_path):
    with pytest.raises(SchemaMismatch, match="no object has a key"):
        ingest(tmp_path / "s.duckdb", keyless, input_format="json")
    assert not (tmp_path / "s.duckdb").exists()


def test_objects_without_keys_beside_others_are_rows_of_nulls(keyless, tmp_path):
    other, output = tmp_path / "other.jsonl", tmp_path / "out.jsonl"
    other.write_text('{"a": 1}\n')
    dbshuf.shuffle([keyless, other], output, input_format="json")
    assert sorted(output.read_text().splitlines()) == ['{"a":1}'] + ['{"a":null}'] * 3


def test_sql_can_give_them_columns(keyless, tmp_path):
    output = tmp_path / "out.csv"
    dbshuf.shuffle(keyless, output, input_format="json", select="position")
    assert sorted(output.read_text().split()) == ['"position"', "0", "3", "7"]


def test_no_lines_at_all_are_no_rows(tmp_path):
    (tmp_path / "in.jsonl").touch()
    dbshuf.shuffle(tmp_path / "in.jsonl", tmp_path / "out.jsonl", input_format="json")
    assert (tmp_path / "out.jsonl").read_bytes() == b""
