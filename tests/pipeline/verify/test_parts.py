"""Outputs in parts: folders of values, splits, epochs and mixes, each with the rows that it should
have, in their order, and nothing that was done to one of them passes.
"""

import datetime
import os
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import dbshuf
from dbshuf.base.key import epoch_seed
from dbshuf.errors import InputMissing, ManifestInvalid, UsageError, VerifyFailed
from dbshuf.pipeline.verify import order

ROWS = 600
TOLD = {"memory": "3GB", "threads": 2}
SPLIT = "train=0.7,valid=0.3"


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Rows whose values come back from folders: null, and texts that look like something else."""
    path = tmp_path_factory.mktemp("parts") / "in.parquet"
    langs = ["en", "7", None, "é/x"]
    columns = {
        "lang": pa.array([langs[i % 4] for i in range(ROWS)]).dictionary_encode(),
        "t": pa.array([f"row {i // 2}" for i in range(ROWS)]),  # every text twice
        "year": pa.array([2018 + i % 2 for i in range(ROWS)], pa.int16()),
        "day": pa.array([datetime.date(2024, 2, 28 + i // 400) for i in range(ROWS)]),
        "ok": pa.array([i < 500 for i in range(ROWS)]),
    }
    pq.write_table(pa.table(columns), path)
    return path


def failure(*args, **options):
    with pytest.raises(VerifyFailed) as caught:
        dbshuf.verify(*args, **TOLD, **options)
    return caught.value.result


def files_in(folder):
    return sorted(path for path in folder.rglob("part-*") if path.is_file())


# --- folders of values -----------------------------------------------------------------


@pytest.mark.parametrize("form", ["parquet", "arrow", "csv.gz", "jsonl.zst"])
def test_rows_in_folders_of_values_are_those_of_the_inputs_in_the_order_of_the_seed(
    table, tmp_path, form
):
    """Of every type that names folders; where no manifest says so, files with columns tell it."""
    columns = ["lang", "day", "ok", "year"]
    dbshuf.shuffle(
        table, f"{tmp_path}/out/", seed=7, partition_by=columns, shards=2, format=form, **TOLD
    )
    found = dbshuf.verify(table, tmp_path / "out", order=True, **TOLD)
    assert (found.rows_out, found.order) == (ROWS, "same")
    for name in os.listdir(tmp_path / "out"):
        if name[0] == "_":
            (tmp_path / "out" / name).unlink()
    told = {"partition_by": columns} if form.startswith("jsonl") else {}
    found = dbshuf.verify(table, tmp_path / "out", seed=7, **told, **TOLD)
    assert (found.rows_out, found.order) == (ROWS, "same")
    sampled = dbshuf.verify(table, tmp_path / "out", sample=0.3, **told, **TOLD)
    assert 0 < sampled.rows_in < ROWS


def edited(path, change):
    rows = pq.ParquetFile(path).read()
    pq.write_table(change(rows), path)


def other_row(rows):
    return pa.table({**rows[:1].to_pydict(), "t": ["other"]}, schema=rows.schema)


def moved(one, other):
    other.parent.mkdir(exist_ok=True)
    one.rename(other)


def exchanged(one, other):
    spare = one.with_name("spare")
    one.rename(spare)
    other.rename(one)
    spare.rename(other)


# What is done to files, two of `lang=7` and two of `lang=__HIVE...`; and how many rows are missing
# and added then, where that is always the same.
DAMAGE = {
    "dropped": (lambda a, *_: edited(a, lambda t: t[1:]), 1, 0),
    "doubled": (lambda a, *_: edited(a, lambda t: pa.concat_tables([t, t[:1]])), 0, 1),
    "edited": (lambda a, *_: edited(a, lambda t: pa.concat_tables([t[1:], other_row(t)])), 1, 1),
    "rows changed places": (
        lambda a, *_: edited(a, lambda t: t.take([1, 0, *range(2, len(t))])),
        *(0, 0),
    ),
    "files changed places": (lambda a, b, *_: exchanged(a, b), 0, 0),
    "files of two folders changed places": (lambda a, b, c, *_: exchanged(a, c), None, None),
    "a file in another folder": (lambda a, b, c, *_: moved(a, c.with_name("p")), None, None),
    "a file in a new folder": (
        lambda a, *_: moved(a, a.parent.parent / "lang=fr/p"),
        *(None, None),
    ),
    "a file in no folder": (lambda a, *_: moved(a, a.parent.parent / "p"), None, None),
    "a file of NULL in no folder": (
        lambda a, b, c, *_: moved(c, a.parent.parent / "p"),
        *(None, None),
    ),
    "a file twice": (lambda a, *_: shutil.copy(a, a.with_name("p")), 0, None),
    "a file is gone": (lambda a, *_: a.unlink(), None, 0),
    "a folder is gone": (lambda a, *_: shutil.rmtree(a.parent), None, 0),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_what_was_done_to_folders_of_values_is_found(table, tmp_path, what):
    dbshuf.shuffle(table, f"{tmp_path}/out/", seed=7, partition_by="lang", shards=2, **TOLD)
    change, missing, added = DAMAGE[what]
    change(*files_in(tmp_path / "out")[:4])
    found = failure(table, tmp_path / "out", order=True)
    if missing is not None:
        assert found.missing == missing
    if added is not None:
        assert found.added == added
    if (missing, added) == (0, 0):
        assert found.order.startswith("row 0 of `lang=7`, ")
    else:
        assert found.missing or found.added
        assert found.order is None


def test_files_of_one_folder_are_open_at_a_time(tmp_path, monkeypatch):
    """However many values there are."""
    rows = pa.table({"n": pa.array([i % 50 for i in range(500)]), "t": pa.array(range(500))})
    pq.write_table(rows, tmp_path / "in.parquet")
    dbshuf.shuffle(tmp_path / "in.parquet", f"{tmp_path}/out/", partition_by="n", seed=7, **TOLD)
    in_file_order, is_open, most = order._in_file_order, [], []

    def counted(*given):
        is_open.append(given)
        most.append(len(is_open))
        try:
            yield from in_file_order(*given)
        finally:
            is_open.pop()

    monkeypatch.setattr(order, "_in_file_order", counted)
    dbshuf.verify(tmp_path / "in.parquet", tmp_path / "out", order=True, **TOLD)
    assert (len(most), max(most)) == (50, 1)


def test_a_manifest_that_is_cut_short_is_no_manifest(table, tmp_path):
    dbshuf.shuffle(table, f"{tmp_path}/out/", partition_by="lang", **TOLD)
    manifest = tmp_path / "out/_manifest.json"
    os.truncate(manifest, manifest.stat().st_size - 10)
    with pytest.raises(ManifestInvalid, match="no whole manifest"):
        dbshuf.verify(table, tmp_path / "out", **TOLD)


def test_columns_that_the_rows_have_not_are_refused(table, tmp_path):
    dbshuf.shuffle(table, f"{tmp_path}/out/", partition_by="lang", **TOLD)
    with pytest.raises(UsageError, match="--partition-by `no`: the rows have no such column"):
        dbshuf.verify(table, tmp_path / "out", partition_by="no", **TOLD)


# --- splits ----------------------------------------------------------------------------


@pytest.fixture
def lines(tmp_path):
    for part in range(2):
        text = "".join(f"{part} {number // 2}\n" for number in range(ROWS))
        (tmp_path / f"in{part}").write_text(text)
    return [tmp_path / "in0", tmp_path / "in1"]


@pytest.mark.parametrize(
    "options", [{}, {"split_seed": "s"}, {"split_by": "bytes"}, {"stratify": "bytes"}], ids=str
)
def test_each_split_has_its_rows_in_their_order(lines, tmp_path, options):
    """In folders as the manifest says it; in files as that does, or the options, given again."""
    told, manifest = {"split": SPLIT, **options}, tmp_path / "run.json"
    dbshuf.shuffle(lines, tmp_path / "out", seed=7, shards=2, **told, **TOLD)
    dbshuf.shuffle(lines, tmp_path / "o.txt.gz", seed=7, manifest=manifest, **told, **TOLD)
    found = dbshuf.verify(lines, tmp_path / "o.txt.gz", manifest=manifest, order=True, **TOLD)
    assert found.order == "same"
    assert dbshuf.verify(lines, tmp_path / "out", order=True, **TOLD).order == "same"
    assert dbshuf.verify(lines, tmp_path / "o.txt.gz", seed=7, **told, **TOLD).order == "same"
    if "stratify" in options:
        with pytest.raises(UsageError, match="by an order of all"):
            dbshuf.verify(lines, tmp_path / "out", **TOLD)
    else:
        assert dbshuf.verify(lines, tmp_path / "out", **TOLD).rows_out == 2 * ROWS
    other = told | {"split": "train=0.6,valid=0.4"}
    assert failure(lines, tmp_path / "o.txt.gz", seed=7, **other)
    assert failure(lines, tmp_path / "out", seed=8).order.startswith("row 0 of `train`, ")


def test_a_row_in_another_split_and_two_that_changed_places_are_found(lines, tmp_path):
    train, valid = (tmp_path / f"o.{name}.txt" for name in ("train", "valid"))
    told = {"split": SPLIT, "seed": 7}
    dbshuf.shuffle(lines, tmp_path / "o.txt", **told, **TOLD)
    whole = train.read_bytes(), valid.read_bytes()
    first, rest = whole[0].split(b"\n", 1)
    train.write_bytes(rest)
    valid.write_bytes(first + b"\n" + whole[1])
    found = failure(lines, tmp_path / "o.txt", **told)
    assert (found.missing, found.added) == (1, 1)
    second, rest = rest.split(b"\n", 1)
    train.write_bytes(b"\n".join([second, first, rest]))
    valid.write_bytes(whole[1])
    assert failure(lines, tmp_path / "o.txt", **told).order.startswith("row 0 of `train`, ")
    valid.unlink()
    with pytest.raises(InputMissing, match=r"o\.valid\.txt"):
        dbshuf.verify(lines, tmp_path / "o.txt", **told, **TOLD)


def test_folders_of_values_in_each_split_are_told_apart(table, tmp_path):
    """And JSON lines, whose columns an expression looks at, are what the shuffle wrote of them."""
    dbshuf.shuffle(
        table, f"{tmp_path}/out/", seed=7, split=SPLIT, split_by="t", partition_by="lang", **TOLD
    )
    assert dbshuf.verify(table, tmp_path / "out", order=True, **TOLD).order == "same"
    exchanged(tmp_path / "out/train/lang=en", tmp_path / "out/valid/lang=en")
    found = failure(table, tmp_path / "out", order=True)
    assert found.missing == found.added > 0
    (tmp_path / "in.jsonl").write_text('{"a": 1, "b": 2}\n{"a": 2, "b": 2}\n')
    told = {"split": "x=0.5,y=0.5", "split_by": "a", "input_format": "json", "seed": 7}
    dbshuf.shuffle(tmp_path / "in.jsonl", tmp_path / "o.jsonl", **told, **TOLD)
    assert dbshuf.verify(tmp_path / "in.jsonl", tmp_path / "o.jsonl", **told, **TOLD).rows_out == 2
    told = {"weight": "a", "input_format": "json", "seed": 7}
    dbshuf.shuffle(tmp_path / "in.jsonl", tmp_path / "w.jsonl", **told, **TOLD)
    assert dbshuf.verify(tmp_path / "in.jsonl", tmp_path / "w.jsonl", **told, **TOLD).rows_out == 2


# --- epochs ----------------------------------------------------------------------------


@pytest.fixture
def epochs(lines, tmp_path):
    """Two epochs, a folder each."""
    dbshuf.shuffle(lines, f"{tmp_path}/ep/", seed=7, epochs=2, shards=2, **TOLD)
    return tmp_path / "ep"


def test_every_epoch_has_all_rows_in_the_order_of_its_own_seed(lines, epochs):
    found = dbshuf.verify(lines, epochs, order=True, **TOLD)
    assert (found.rows_in, found.rows_out, found.order) == (4 * ROWS, 4 * ROWS, "same")
    assert dbshuf.verify(lines, epochs, seed=7, **TOLD).order == "same"
    assert dbshuf.verify_files(epochs).files == 4
    for name in ("_manifest.json", "SHA256SUMS", "_SUCCESS"):
        (epochs / "epoch-0" / name).unlink()
        (epochs / "epoch-1" / name).unlink()
    assert dbshuf.verify(lines, epochs, epochs=2, seed=7, **TOLD).order == "same"
    assert "epoch-0" in failure(lines, epochs, epochs=2, seed=8).order


def test_what_was_done_to_epochs_is_found(lines, epochs):
    part = epochs / "epoch-1/part-00001-of-00002.txt"
    whole = part.read_bytes()
    part.write_bytes(whole.split(b"\n", 1)[1])
    found = failure(lines, epochs)
    assert (found.missing, found.added) == (1, 0)
    assert found.first_missing[0].place["file"] == str(lines[0]) or found.first_missing
    assert kinds(epochs) == [("size", "epoch-1/part-00001-of-00002.txt")]
    part.write_bytes(whole)
    exchanged(epochs / "epoch-0", epochs / "epoch-1")
    assert failure(lines, epochs, seed=7).order.startswith("row 0 of the outputs, ")
    assert ("list", "epoch-1/_manifest.json") in kinds(epochs)
    exchanged(epochs / "epoch-0", epochs / "epoch-1")
    (epochs / "more.txt").write_text("")
    (epochs / "epoch-1/_SUCCESS").unlink()
    assert kinds(epochs) == [("missing", "epoch-1/_SUCCESS"), ("added", "more.txt")]
    with pytest.raises(VerifyFailed, match="files of no epoch, as `more"):
        dbshuf.verify(lines, epochs, **TOLD)
    (epochs / "more.txt").unlink()
    shutil.rmtree(epochs / "epoch-0")
    with pytest.raises(VerifyFailed, match=r"of 2 epochs of .* 1 is missing"):
        dbshuf.verify(lines, epochs, **TOLD)
    assert ("missing", "epoch-0/_manifest.json") in kinds(epochs)


def kinds(output):
    with pytest.raises(VerifyFailed) as caught:
        dbshuf.verify_files(output)
    return [(one.kind, one.file) for one in caught.value.result.problems]


def test_epochs_in_one_file_follow_each_other(lines, tmp_path):
    """As --epochs says, or the manifest; and not in another order."""
    told = {"seed": 7, **TOLD}
    dbshuf.shuffle(lines, tmp_path / "o.txt", epochs=3, manifest=tmp_path / "m.json", **told)
    found = dbshuf.verify(lines, tmp_path / "o.txt", epochs=3, **told)
    assert (found.rows_in, found.rows_out, found.order) == (6 * ROWS, 6 * ROWS, "same")
    told = {"manifest": tmp_path / "m.json"}
    assert dbshuf.verify(lines, tmp_path / "o.txt", order=True, **told, **TOLD).order == "same"
    parts = []
    for epoch in (0, 2, 1):
        dbshuf.shuffle(lines, tmp_path / "e.txt", seed=epoch_seed("7", epoch), **TOLD)
        parts.append((tmp_path / "e.txt").read_bytes())
    (tmp_path / "o.txt").write_bytes(b"".join(parts))
    found = failure(lines, tmp_path / "o.txt", order=True, **told)
    assert found.order.startswith(f"row {2 * ROWS:,} of the outputs, ")
    (tmp_path / "o.txt").write_bytes(b"".join(parts[:2]))
    assert failure(lines, tmp_path / "o.txt", **told).missing == 2 * ROWS
    with pytest.raises(UsageError, match="SQL may give each epoch other rows"):
        dbshuf.verify(lines, tmp_path / "o.txt", where="shuffle_key(id) > 9", **told, **TOLD)


# --- mixes -----------------------------------------------------------------------------


def test_a_mix_has_of_each_source_what_its_seed_takes_as_often(lines, tmp_path):
    mix = [f"{lines[0]}=0.75x2", f"{lines[1]}=300rows"]
    asked = {"mix": mix, **TOLD}
    dbshuf.shuffle(output=tmp_path / "o.txt", seed=7, manifest=tmp_path / "m.json", **asked)
    found = dbshuf.verify((), tmp_path / "o.txt", seed=7, **asked)
    assert (found.rows_in, found.rows_out, found.order) == (1200, 1200, "same")
    told = {"manifest": tmp_path / "m.json"}
    assert dbshuf.verify((), tmp_path / "o.txt", **told, **asked).order is None
    with pytest.raises(UsageError, match="drawn by its seed"):
        dbshuf.verify((), tmp_path / "o.txt", **asked)
    less = {**told, "mix": [mix[0], f"{lines[1]}=200rows"]}
    with pytest.raises(VerifyFailed, match="in1`: asked 200 rows, and in the manifest 300 rows"):
        dbshuf.verify((), tmp_path / "o.txt", **less, **TOLD)
    text = (tmp_path / "o.txt").read_bytes()
    begin = text.index(b"\n0 ") + 1  # a copy of a row, of which there are others
    end = text.index(b"\n", begin) + 1
    (tmp_path / "o.txt").write_bytes(text[:begin] + text[end:])
    found = failure((), tmp_path / "o.txt", seed=7, mix=mix)
    assert (found.missing, found.added) == (1, 0)
    assert found.first_missing[0].place["file"] == str(lines[0])


def test_a_mix_in_splits_of_typed_rows_is_compared_too(table, tmp_path):
    other = tmp_path / "other.parquet"
    pq.write_table(pq.read_table(table).slice(100, 50), other)
    asked = {"mix": [f"{table}=0.5 where year = 2018", f"{other}=0.5x9"], **TOLD}
    dbshuf.shuffle(output=f"{tmp_path}/out/", seed=7, split=SPLIT, format="csv", **asked)
    found = dbshuf.verify((), tmp_path / "out", order=True, **asked)
    assert (found.rows_out, found.order) == (600, "same")
