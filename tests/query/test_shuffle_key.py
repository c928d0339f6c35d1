"""shuffle_key in the user's SQL: dbshuf's own order, wherever SQL is taken."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from paths import ORDER_VECTORS
from query_tools import LINES, refused, relation, run_rows, run_whole

from dbshuf.base.key import row_keys
from dbshuf.query import RowQuery

VECTORS = json.loads(ORDER_VECTORS.read_text())
IDS = np.arange(300, dtype=np.uint64)


def keys(seed):
    """The frozen keys of the ids 0 to 299."""
    return row_keys(IDS, seed).tolist()


@pytest.mark.parametrize("seed", ["42", "", "it's ü"])
def test_it_is_the_frozen_key_in_every_option(seed, tmp_path):
    """Of one argument it takes the seed of the run, of two any."""
    batch = relation(["x"] * 300)
    select = "shuffle_key(id) as own, shuffle_key('7', id) as other, shuffle_key('07', id) as third"
    expected = [
        {"own": own, "other": other, "third": third}
        for own, other, third in zip(keys(seed), keys("7"), keys("07"), strict=True)
    ]
    assert run_rows(None, select, batch, seed=seed)[1] == expected
    kept, _ = run_rows("SHUFFLE_KEY(id) < shuffle_key('7', id)", None, batch, seed=seed)
    assert kept == [n for n, row in enumerate(expected) if row["own"] < row["other"]]
    text = f"select id, {select} from lines where id < 300"
    for more in ("", " and bytes <= (select max(bytes) from lines)"):  # copied to disk, too
        found, _ = run_whole(text + more, [batch], tmp_path / f"run{more[:1]}", seed=seed)
        assert [row for _, row in sorted(found, key=lambda one: one[0])] == expected


def test_it_meets_the_vectors_of_the_order(tmp_path):
    """As every other form of the key does."""
    for seed in {one["seed"] for one in VECTORS["keys"]}:
        ids, keys = zip(
            *((int(one["id"]), int(one["key"])) for one in VECTORS["keys"] if one["seed"] == seed),
            strict=True,
        )
        batch = pa.RecordBatch.from_pydict({"id": pa.array(ids, pa.uint64())})
        _, rows = run_rows(None, "shuffle_key(id) as k", batch, seed=seed)
        assert [row["k"] for row in rows] == list(keys)


def test_a_random_filter_is_told_of_it():
    """The way to what somebody who writes random() wants."""
    for text in ("random() < 0.01", "uuid() is null", "hash(random()) % 2 = 0"):
        error = refused(lambda t=text: RowQuery(t, None, LINES), "not the same in every run")
        assert "shuffle_key(id)" in error.hint


def test_some_rows_of_each_group_are_the_same_on_every_memory_cap(cli, home):
    """The stratified sample of the README, from Parquet."""
    lang = [("en", "de", "fr")[n % 3] for n in range(20_000)]
    table = pa.table({"lang": lang, "n": range(20_000)})
    pq.write_table(table, home / "in.parquet", row_group_size=3000)
    (home / "few.sql").write_text(
        "select id, lang, n from lines"
        " qualify row_number() over (partition by lang order by shuffle_key(id)) <= 1000"
    )
    order = row_keys(np.arange(20_000, dtype=np.uint64), "5")
    want = {
        n
        for part in range(3)
        for n in sorted(range(part, 20_000, 3), key=lambda n: order[n])[:1000]
    }
    got = []
    for memory, threads in (("1GB", 1), ("2GB", 4)):
        line = ("--sql", "few.sql", "--seed", 5, "--memory", memory, "--threads", threads)
        ran = cli("shuffle", "in.parquet", *line, "-o", "out.parquet")
        assert ran.code == 0, ran.err
        got.append(pq.read_table(home / "out.parquet").to_pylist())
    assert got[0] == got[1]
    assert {row["n"] for row in got[0]} == want
    assert [row["n"] for row in got[0]] == sorted(want, key=lambda n: order[n])


def test_the_seed_that_is_drawn_is_the_one_that_is_used(cli, home, corpus):
    """A run can be repeated with the seed that it printed."""
    corpus("in.txt", b"".join(b"%d\n" % n for n in range(5000)))
    where = ("shuffle", "in.txt", "--where", "shuffle_key(id) < 1::ubigint << 61")
    first = cli(*where, "-o", "first.txt")
    assert first.code == 0, first.err
    again = cli(*where, "-o", "again.txt", "--seed", first.err.rsplit("seed ", 1)[1].strip())
    assert again.code == 0, again.err
    text = (home / "first.txt").read_bytes()
    assert 400 < text.count(b"\n") < 900
    assert text == (home / "again.txt").read_bytes()


def test_query_takes_a_seed_of_its_own(cli, corpus):
    """Its rows are in no order of a seed, so none is drawn."""
    corpus("in.txt", b"a\nb\nc\n")
    want = b"".join(b"%d\n" % key for key in row_keys(np.array([0, 2, 4], np.uint64), "9").tolist())
    sql = "select shuffle_key({}id) as k from lines order by id"
    ran = cli("query", "in.txt", sql.format(""), "--seed", "9")
    assert ran.out.replace(b'"', b"") == b"k\n" + want, ran.err
    ran = cli("query", "in.txt", sql.format("'9', "))
    assert ran.out.replace(b'"', b"") == b"k\n" + want, ran.err
    assert cli("query", "in.txt", sql.format("")).code == 19


def test_export_has_both_forms_as_shuffle_does(cli, home, corpus):
    """The store gives the same bytes as its inputs."""
    corpus("in.txt", b"".join(b"%d\n" % n for n in range(3000)))
    assert cli("ingest", "s.duckdb", "in.txt").code == 0
    options = ("--where", "shuffle_key(id) < shuffle_key('x', id)", "--seed", 3)
    for line in (("shuffle", "in.txt", "-o", "a.txt"), ("export", "s.duckdb", "-o", "b.txt")):
        ran = cli(*line, *options)
        assert ran.code == 0, ran.err
    assert (home / "a.txt").read_bytes() == (home / "b.txt").read_bytes()
