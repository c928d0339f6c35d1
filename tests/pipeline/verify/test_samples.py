"""Samples of the inputs against outputs: the rows that the seed chooses, and no others."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import dbshuf
from dbshuf.errors import UsageError, VerifyFailed

SEED, ROWS = 5, 20_000
CHECKED = {"seed": SEED, "memory": "3GB"}
SAMPLES = [
    {"take": 500},
    {"take": 500, "skip": 300},
    {"sample": "5%"},
    {"with_replacement": 700},
    {"take": 20, "per": "n % 7"},
    {"sample": "5%", "stratify": "n % 7"},
    {"take": 400, "weight": "n + 1"},
]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """One table as Parquet, and as lines."""
    folder = tmp_path_factory.mktemp("inputs")
    rows = pa.table({"n": np.arange(ROWS), "text": [f"text {n % 999}" for n in range(ROWS)]})
    pq.write_table(rows, folder / "rows.parquet", row_group_size=3_000)
    dbshuf.shuffle(folder / "rows.parquet", folder / "lines.jsonl", seed=1, memory="3GB")
    return folder


def as_told(sample):
    """The options of `verify` for those of `shuffle`."""
    return {"sampled" if name == "sample" else name: told for name, told in sample.items()}


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_the_rows_of_a_sample_are_those_that_the_seed_chooses(inputs, tmp_path, sample):
    source, output = inputs / "rows.parquet", tmp_path / "out.parquet"
    written = dbshuf.shuffle(source, output, **sample, **CHECKED)
    found = dbshuf.verify(source, output, **as_told(sample), **CHECKED)
    assert (found.rows_in, found.order) == (written.rows, "same")
    rows = pq.read_table(output)
    pq.write_table(rows.slice(0, rows.num_rows - 1), output)
    with pytest.raises(VerifyFailed) as caught:
        dbshuf.verify(source, output, **as_told(sample), **CHECKED)
    assert (caught.value.result.missing, caught.value.result.added) == (1, 0)


@pytest.mark.parametrize("sample", SAMPLES[:4], ids=str)
def test_a_manifest_says_which_sample_was_taken_by_which_seed(inputs, tmp_path, sample):
    source, output = inputs / "lines.jsonl", tmp_path / "out"
    dbshuf.shuffle(
        source, output, shards=3, input_format="lines", format="txt", **sample, **CHECKED
    )
    asked = {"input_format": "lines", "format": "txt", "memory": "3GB"}
    assert dbshuf.verify(source, output, **asked).order is None
    assert dbshuf.verify(source, output, order=True, **asked).order == "same"
    with pytest.raises(VerifyFailed):  # the rows that another seed chooses
        dbshuf.verify(source, output, **{**asked, "seed": 6})


def test_every_epoch_has_the_sample_of_its_own_seed(inputs, tmp_path):
    source = inputs / "rows.parquet"
    asked = {"take": 50, "epochs": 3, "format": "parquet", **CHECKED}
    for name in (f"{tmp_path}/folders/", f"{tmp_path}/one.parquet"):
        dbshuf.shuffle(source, name, **asked)
        found = dbshuf.verify(source, name, **asked)
        assert (found.rows_in, found.order) == (150, "same")


def test_rows_in_another_place_are_told_with_where_they_stand(inputs, tmp_path):
    source, output = inputs / "lines.jsonl", tmp_path / "out.txt"
    dbshuf.shuffle(source, output, take=10, input_format="lines", **CHECKED)
    lines = output.read_bytes().splitlines(keepends=True)
    output.write_bytes(b"".join([*lines[1:], b"none of them\n"]))
    with pytest.raises(VerifyFailed) as caught:
        dbshuf.verify(source, output, take=10, input_format="lines", show_rows=True, **CHECKED)
    (missing,) = caught.value.result.first_missing
    begin = source.read_bytes().index(lines[0])
    assert missing.place == {"file": str(source), "byte": begin}
    assert missing.content == lines[0].decode().removesuffix("\n")
    assert [one.content for one in caught.value.result.first_added] == ["none of them"]


def test_nothing_is_guessed_where_nobody_says_the_seed_or_the_weights(inputs, tmp_path):
    source, output = inputs / "rows.parquet", tmp_path / "out"
    with pytest.raises(UsageError, match="a sample is drawn by its seed, and nobody says it"):
        dbshuf.verify(source, source, take=1, memory="3GB")
    asked = {"take": 9, "weight": "n + 1", **CHECKED}
    dbshuf.shuffle(source, output, shards=2, format="parquet", **asked)
    with pytest.raises(UsageError, match="ordered by --weight n"):
        dbshuf.verify(source, output, memory="3GB")
    assert dbshuf.verify(source, output, weight="n + 1", memory="3GB").rows_out == 9
