"""The column of --number: right outputs pass, and a place that is another one is found."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import dbshuf
from dbshuf.errors import UsageError, VerifyFailed

ROWS = 3_000
GIVEN = {"seed": 5, "number": "place", "memory": "3GB"}
OUTPUTS = [
    ("out.parquet", {}),
    ("out.arrow", {}),
    ("out.csv", {}),
    ("out.tsv.gz", {}),
    ("out.jsonl", {}),
    ("out.jsonl.zst", {}),
    ("out/", {"shards": 3, "format": "jsonl"}),
    ("out/", {"shards": 3, "format": "csv"}),
    ("out.parquet", {"take": 500, "skip": 120}),
    ("out.csv", {"epochs": 3}),
    ("out.jsonl", {"split": "train=0.8,valid=0.2", "epochs": 2}),
    ("out/", {"shards": 2, "format": "parquet", "split": "train=0.8,valid=0.2"}),
    ("out/", {"shards": 2, "format": "parquet", "epochs": 2}),
    ("out.jsonl", {"weight": "n + 1"}),
]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """One table."""
    path = tmp_path_factory.mktemp("inputs") / "rows.parquet"
    pq.write_table(pa.table({"n": np.arange(ROWS), 'te"xt': [f"{n}}}" for n in range(ROWS)]}), path)
    return path


@pytest.mark.parametrize(("name", "options"), OUTPUTS, ids=str)
def test_numbered_rows_are_those_of_the_inputs_in_their_order(source, tmp_path, name, options):
    output = tmp_path / name
    dbshuf.shuffle(source, output, **options, **GIVEN)
    told = {key: one for key, one in options.items() if key != "shards"}
    found = dbshuf.verify(source, output, **told, **GIVEN)
    assert (found.places, found.order) == ("same", "same")


@pytest.mark.parametrize("name", ["out.parquet", "out.csv", "out.jsonl"])
@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (lambda places: places.__setitem__(1_500, 7), "is 7, and should be 1,500"),
        (lambda places: places.__setitem__(slice(10, 12), places[[11, 10]]), "should be 10"),
        (lambda places: places.__iadd__(1), "is 1, and should be 0"),
        (lambda places: places.__setitem__(ROWS - 1, ROWS), "is 3,000, and should be 2,999"),
    ],
)
def test_a_place_that_was_edited_is_found(source, tmp_path, name, edit, told):
    dbshuf.shuffle(source, tmp_path / "all.parquet", **GIVEN)
    rows = pq.read_table(tmp_path / "all.parquet")
    places = rows["place"].to_numpy().copy()
    edit(places)
    rows = rows.set_column(2, "place", pa.array(places))
    _write(rows, tmp_path / name)
    for asked in ({}, {"seed": 5}):
        with pytest.raises(VerifyFailed, match=told) as caught:
            dbshuf.verify(source, tmp_path / name, number="place", memory="3GB", **asked)
        result = caught.value.result
        assert (result.missing, result.added) == (0, 0)


def _write(rows, path):
    if path.suffix == ".parquet":
        pq.write_table(rows, path)
    elif path.suffix == ".csv":
        lines = [",".join(map(str, row.values())) for row in rows.to_pylist()]
        path.write_text("\n".join(['n,"te""xt",place', *lines, ""]))
    else:
        lines = [json.dumps(row, separators=(",", ":")) for row in rows.to_pylist()]
        path.write_text("\n".join([*lines, ""]))


@pytest.mark.parametrize("split", ["train", "valid"])
def test_a_place_is_found_that_stands_in_the_other_split_too(source, tmp_path, split):
    shares = {"split": "train=0.8,valid=0.2"}
    dbshuf.shuffle(source, tmp_path / "out.parquet", **shares, **GIVEN)
    path = tmp_path / f"out.{split}.parquet"
    rows = pq.read_table(path)
    places = rows["place"].to_numpy().copy()
    places[50] += 1 if places[51] > places[50] + 1 else -1
    if places[50] <= places[49]:
        places[49:51] = places[49] - 1, places[49]
    pq.write_table(rows.set_column(2, "place", pa.array(places)), path)
    with pytest.raises(VerifyFailed, match="place"):
        dbshuf.verify(source, tmp_path / "out.parquet", **shares, **GIVEN)


@pytest.mark.parametrize("epochs", [None, 2])
@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_places_that_rows_of_two_splits_have_exchanged_are_found(source, tmp_path, suffix, epochs):
    """Each split counts up as before, and each place is there as often: the order tells."""
    asked = {"split": "train=0.8,valid=0.2", "epochs": epochs}
    dbshuf.shuffle(source, tmp_path / "out.parquet", **asked, **GIVEN)
    paths = [tmp_path / f"out.{name}.parquet" for name in ("train", "valid")]
    tables = [pq.read_table(path) for path in paths]
    train, valid = (table["place"].to_numpy().copy() for table in tables)
    first = valid[: len(valid) // (epochs or 1)]
    at = int(np.flatnonzero(np.isin(train + 1, first))[7])
    other = int(np.flatnonzero(valid == train[at] + 1)[0])
    train[at], valid[other] = valid[other], train[at]
    for name, table, places in zip(("train", "valid"), tables, (train, valid), strict=True):
        rows = table.set_column(2, "place", pa.array(places))
        _write(rows, tmp_path / f"out.{name}.{suffix}")
    with pytest.raises(VerifyFailed, match="`place` of some rows of one split is that of rows of"):
        dbshuf.verify(source, tmp_path / f"out.{suffix}", **asked, **GIVEN)
    sampled = {**GIVEN, "sample": "50%"}
    assert dbshuf.verify(source, tmp_path / f"out.{suffix}", **asked, **sampled).places == "same"


def test_a_manifest_says_which_column_has_the_places(source, tmp_path):
    dbshuf.shuffle(source, tmp_path / "out", shards=2, format="jsonl", **GIVEN)
    assert dbshuf.verify(source, tmp_path / "out", order=True, memory="3GB").places == "same"


def test_a_lost_row_is_told_as_such(source, tmp_path):
    output = tmp_path / "out.jsonl"
    dbshuf.shuffle(source, output, **GIVEN)
    lines = output.read_bytes().splitlines(keepends=True)
    output.write_bytes(b"".join(lines[:700] + lines[701:]))
    with pytest.raises(VerifyFailed, match="1 row is missing and 0 rows are added"):
        dbshuf.verify(source, output, **GIVEN)


def test_a_column_that_is_not_there_is_told(source, tmp_path):
    dbshuf.shuffle(source, tmp_path / "out.parquet", **GIVEN)
    with pytest.raises(VerifyFailed, match="last column of the outputs is not `other`"):
        dbshuf.verify(source, tmp_path / "out.parquet", number="other", memory="3GB")
    dbshuf.shuffle(source, tmp_path / "out.txt", select="n::text as line", memory="3GB")
    with pytest.raises(UsageError, match="--number adds a column"):
        dbshuf.verify(
            source, tmp_path / "out.txt", select="n::text as line", number="n", memory="3GB"
        )
