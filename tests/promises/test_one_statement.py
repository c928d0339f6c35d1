"""--sql and export: one DuckDB statement, whose rows are those of every other strategy."""

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import dbshuf
from dbshuf.base.begin_anew import QueryTooLarge
from dbshuf.base.progress import NO_PROGRESS
from dbshuf.errors import CheckFailed, QueryFailed, StoreInvalid
from dbshuf.options import Options
from dbshuf.pipeline.shuffle import run
from dbshuf.plan.make_plan import make_plan
from dbshuf.query.whole_statement import WholeQuery

QUERIES = [
    "select id, line from lines",
    "select line from lines order by line desc, id",
    "select ID, source, bytes from lines where bytes % 3 = 0",
    "with l as (from lines) select a.id, b.line from l a join l b on a.id = b.id",
    "select line from lines union all select line from lines order by all",
    "select id, row_number() over (partition by bytes order by id) as n from lines",
    "select bytes, count(*) as n from lines group by bytes order by bytes",
    'select id, 1 as dbshuf_row, line as "dbshuf key" from lines -- the end',
    "select line from lines where false",
    "pivot (select bytes % 2 as m, source from lines) on m in (0, 1) using count(*)",
]


@pytest.fixture
def corpus(tmp_path):
    """A few thousand lines, of which many are equal."""
    path = tmp_path / "in.txt"
    path.write_text("".join(f"{n % 911} {'x' * (n % 50)}\n" for n in range(6000)))
    return path


def shuffled(corpus, name, **options):
    """The bytes of an output, and what was done."""
    output = corpus.parent / name
    done = dbshuf.shuffle(corpus, output, seed=5, memory="4GB", format="jsonl", **options)
    return output.read_bytes(), done


@pytest.mark.parametrize("sql", QUERIES)
def test_one_statement_gives_the_bytes_of_the_partition(sql, corpus):
    """With ids and without, `lines` read once and twice."""
    one, done = shuffled(corpus, "one.jsonl", sql=sql)
    assert done.strategy == "spill"
    parted, done = shuffled(corpus, "parted.jsonl", sql=sql, strategy="partition")
    assert done.strategy == "partition"
    assert one == parted


def test_duckdb_is_another_name_of_spill(corpus):
    """Of lines and of --sql."""
    for sql in (None, QUERIES[0]):
        found, done = shuffled(corpus, "a.jsonl", strategy="duckdb", sql=sql)
        assert done.strategy == "spill"
        assert found == shuffled(corpus, "b.jsonl", strategy="memory", sql=sql)[0]


def planned(corpus, **options):
    """The plan for a text file."""
    given = {"inputs": (str(corpus),), "output": str(corpus.parent / "o.txt"), **options}
    return make_plan(Options(**given))


def test_a_plan_says_what_orders_the_result_and_why(corpus):
    """For people and for programs."""
    plan = planned(corpus, sql=QUERIES[0], memory="4GB")
    assert "spill: one DuckDB statement makes and orders rows" in plan.describe()
    told = plan.to_json()
    assert (told["strategy"], told["buckets"]) == ("spill", 1)
    assert told["reason"].startswith("one DuckDB statement")
    assert told["memory"]["duckdb_bytes"] > 400_000_000
    wide = corpus.parent / "wide.txt"
    wide.write_text(("y" * 20_000 + "\n") * 100)
    told = planned(wide, sql=QUERIES[0], memory="4GB").to_json()
    assert told["strategy"] == "partition"
    assert "too wide for DuckDB's merge" in told["reason"]


def failing(after, error=QueryTooLarge):
    """What `WholeQuery.ordered` is where DuckDB has too little memory after some batches."""
    whole = WholeQuery.ordered

    def ordered(self, feed, **options):
        for number, item in enumerate(whole(self, feed, **options)):
            if number == after:
                break
            yield item
        raise error("too little memory")

    return ordered


@pytest.mark.parametrize("after", [0, 1])
def test_what_proves_too_wide_for_the_merge_is_partitioned(after, corpus, monkeypatch):
    """Before the first rows, and after some: none is lost, none comes twice."""
    text = "".join(f"{n} some more words\n" for n in range(60_000))
    corpus.write_text(text)
    expected, _ = shuffled(corpus, "a.jsonl", sql=QUERIES[0], strategy="partition")
    monkeypatch.setattr(WholeQuery, "ordered", failing(after))
    found, done = shuffled(corpus, "b.jsonl", sql=QUERIES[0])
    assert done.strategy == "partition"
    assert found == expected
    with pytest.raises(QueryTooLarge):
        shuffled(corpus, "c.jsonl", sql=QUERIES[0], strategy="spill")


def test_rows_that_are_numbered_as_they_come_are_not_begun_anew_in_the_middle(corpus, monkeypatch):
    """Another run might number them otherwise."""
    corpus.write_text("".join(f"{n} some more words\n" for n in range(60_000)))
    monkeypatch.setattr(WholeQuery, "ordered", failing(1))
    with pytest.raises(QueryTooLarge):
        shuffled(corpus, "b.jsonl", sql="select line from lines")
    assert not (corpus.parent / "b.jsonl").exists()


def test_a_row_that_the_statement_loses_is_noticed(corpus, monkeypatch):
    """Where a query keeps all rows, there are as many as were read."""
    whole = WholeQuery.ordered

    def ordered(self, feed, **options):
        for keys, batch in whole(self, feed, **options):
            yield keys[1:], batch.slice(1)

    monkeypatch.setattr(WholeQuery, "ordered", ordered)
    with pytest.raises(CheckFailed, match="hold 6,000 rows, but 5,999 were read"):
        shuffled(corpus, "a.jsonl", sql=QUERIES[0])


def test_a_row_without_an_id_and_an_id_of_two_rows_are_errors(corpus):
    """As with every strategy."""
    for strategy in ("auto", "spill", "partition"):
        with pytest.raises(QueryFailed, match=r"row.* of the result has no id"):
            shuffled(corpus, "a.jsonl", sql="select nullif(id, 0) as id, line from lines",
                     strategy=strategy)  # fmt: skip
        with pytest.raises(QueryFailed, match="the id 5 comes twice"):
            shuffled(corpus, "a.jsonl", sql="select 5::ubigint as id, line from lines",
                     strategy=strategy)  # fmt: skip
    assert not (corpus.parent / "a.jsonl").exists()


@pytest.fixture
def store(corpus):
    """The same lines in a store."""
    path = corpus.parent / "s.duckdb"
    dbshuf.ingest(path, corpus, memory="4GB")
    return path


def exported(store, name, **options):
    """The bytes of an export, and the plan of it."""
    output = store.parent / name
    given = {"store": str(store), "output": str(output), "seed": "5", "memory": "4GB", **options}
    return run(make_plan(Options(**given)), NO_PROGRESS), output.read_bytes()


def test_an_export_is_one_statement_with_the_bytes_of_a_shuffle(corpus, store):
    """Of its inputs; and `auto` says so."""
    dbshuf.shuffle(corpus, corpus.parent / "plain.txt", seed=5, memory="4GB")
    plain = (corpus.parent / "plain.txt").read_bytes()
    for strategy in ("auto", "spill", "memory", "partition"):
        done, found = exported(store, "out.txt", strategy=strategy, force=True)
        assert done.strategy == ("spill" if strategy == "auto" else strategy)
        assert found == plain


CHANGES = {
    "insert into lines values (1, 'in.txt', 'more')": "holds 6,001 rows",
    "delete from lines where id = 0": "holds 5,999 rows",
    "update lines set id = null where id = 0": "holds 5,999 rows",
    "update lines set line = line || 'x' where id = 0": "of 176,231 bytes",
    "update store set json_structure = 'source'": "the table `store` is changed",
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_store_that_was_changed_by_something_else_is_noticed(change, store):
    """Nothing is published."""
    with duckdb.connect(str(store)) as connection:
        connection.execute(change)
    for strategy in ("auto", "partition"):
        with pytest.raises(StoreInvalid, match=CHANGES[change]):
            exported(store, "out.txt", strategy=strategy)
    assert not (store.parent / "out.txt").exists()


def test_typed_rows_of_a_store_leave_as_they_are(tmp_path):
    """Types that DuckDB hands back as others are made what they were."""
    table = pa.table(
        {
            "n": pa.array(range(5000), pa.int16()),
            "d": pa.array([None if n % 7 == 0 else n for n in range(5000)], pa.decimal128(20, 2)),
            "l": pa.array([[n, None] for n in range(5000)]),
            "t": pa.array([f"t{n % 13}" for n in range(5000)]),
        }
    )
    pq.write_table(table, tmp_path / "in.parquet")
    dbshuf.ingest(tmp_path / "s.duckdb", tmp_path / "in.parquet", memory="4GB")
    done, one = exported(tmp_path / "s.duckdb", "one.parquet")
    assert done.strategy == "spill"
    _, parted = exported(tmp_path / "s.duckdb", "parted.parquet", strategy="partition")
    assert one == parted
