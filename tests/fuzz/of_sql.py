"""SQL of --where, --select and --sql: within the fence and what DuckDB alone makes of it, or an
error in words."""

import json
import random
import sys
import tempfile
from pathlib import Path

import duckdb
import pyarrow as pa
from mutation import Target, damaged, joined
from query_tools import LINES, relation

from dbshuf.errors import DbshufError, QueryFailed, QueryInvalid
from dbshuf.query.binding import Binder
from dbshuf.query.evaluator import ChunkDatabase, ChunkRunner
from dbshuf.query.row_filter import _select_step, _where_step
from dbshuf.query.whole_statement import WholeQuery
from dbshuf.units import MIB

# What reaches out of the rows, or is not the same in every run, whatever dbshuf thinks of it.
_NAMES = """read_text read_blob read_csv read_csv_auto read_parquet parquet_scan read_json glob
sniff_csv parquet_metadata getenv getvariable current_setting now current_timestamp current_date
current_time get_current_timestamp today localtime localtimestamp transaction_timestamp random
gen_random_uuid uuid uuidv4 uuidv7 nextval currval setseed txid_current version pg_backend_pid
current_user current_database current_schema current_schemas in_search_path current_query query
query_table duckdb_settings duckdb_secrets which_secret pragma_database_list write_log sleep_ms
checkpoint force_checkpoint pg_sleep import_database to_wkb_file read_duckdb seq_scan"""
_OUTSIDE = frozenset(_NAMES.split())
# Of these what --sql may call: it reads no more than the rows, but the time and chance.
_CHANGING = """now current_timestamp current_date current_time get_current_timestamp today localtime
localtimestamp transaction_timestamp random gen_random_uuid uuid uuidv4 uuidv7"""
_UNSTEADY = frozenset(_CHANGING.split())
_OF_SQL = r"""line raw bytes source id select from lines
( ) ' " , ; -- /* */ * = > 1 '' 'a' x over and ::
int case when end [ ] { } ->> $1 ? \ é pragma in ( 1 , 2 ) union limit order by count(*) sum(bytes)
len(line) upper(line) line like 'a%' bytes > 20 line ~ '[a' cast( as date) try( array_agg( filter
unnest( struct_pack( lambda x : [x for x in [1]] $$a$$ E'\n' 1e999 9223372036854775808 0x1 null
list_transform([1], x -> x) (select 1) exists interval 1 day timestamp '2020-01-01' date_part('y',
columns(*) t.line lines.line #1 @ || % // ** not is distinct between collate nocase at time zone
age(timestamp '2020-01-01') format( printf( regexp_replace(line, 'a', 'b') json_extract(line, '$')
error( hash( repeat(line, 3) strftime( try_cast( row_number() over () file_exists("""
_WORDS = [*_OF_SQL.split(), "\0", "\n", "bytes > 20", "len(line) = 3", "'/etc/passwd'"]
_WORDS += [f"{name}({inner})" for name in sorted(_OUTSIDE) for inner in ("", "'/etc/passwd'", "1")]
_WORDS += ["current_date", "now() > id"]
_SOUND = ["bytes > 20", "line LIKE '%a%' AND id < 9", "upper(line) AS a, bytes", "line || source"]
_SOUND += ["CASE WHEN bytes = 1 THEN 'a' ELSE line END = 'a'", "hash(line) % 7 = 1", "source = 'a'"]
_TOKENS = [f" {word} ".encode() for word in _WORDS]
_ROWS = relation(["a", "bb", "", "é,1", "2020-01-01", '{"a": 1}'])
_OPEN: list[Binder] = []
_ALONE: list[duckdb.DuckDBPyConnection] = []


def _make_sql(rng: random.Random) -> tuple[str, bool]:
    if rng.randrange(2):
        text = joined(rng, [f"{word} " for word in _WORDS], 8).encode()
    else:
        text = rng.choice(_SOUND).encode()
    text = damaged(rng, text, _TOKENS, rng.choice(_SOUND).encode())
    return text.decode("utf-8", "replace"), rng.random() < 0.5


def _check_sql(given: tuple[str, bool]) -> bool:
    text, is_where = given
    if not _OPEN:
        _OPEN.append(Binder(LINES, option="--where"))
    try:
        step = _step(text, is_where)
    except QueryInvalid:
        return False
    assert not _names(f"SELECT {text}\n") & _OUTSIDE, text
    found = []
    for _ in range(2):
        runner = ChunkRunner(ChunkDatabase(64 * MIB), step)
        try:
            rows = _ROWS.select([name for name in LINES.names if name in step.columns] or ["id"])
            found.append(_columns(runner.run(rows, str)))
        except QueryFailed as error:
            found.append(error.message)
        except DbshufError as error:
            found.append(type(error).__name__)
        finally:
            runner.close()
    assert found[0] == found[1], found
    if not any(sign in text.lower() for sign in ("*", "columns", "lines", "id")):
        query = f"SELECT id FROM lines WHERE {text}\n" if is_where else f"SELECT {text}\nFROM lines"
        wanted = _by_duckdb(query)
        assert isinstance(found[0], str) if wanted is None else found[0] == wanted, (found, wanted)
    return True


def _columns(rows: pa.RecordBatch | pa.Table) -> list[list[str]]:
    """Return the values of each column as texts, so that NaN is what it is."""
    return [list(map(repr, column.to_pylist())) for column in rows.columns]


def _by_duckdb(query: str) -> list[list[str]] | None:
    """Return what DuckDB alone makes of a query; None if it fails."""
    try:
        return _columns(_alone().cursor().sql(query).to_arrow_table())
    except (duckdb.Error, pa.ArrowException, UnicodeError):
        return None


def _alone() -> duckdb.DuckDBPyConnection:
    if not _ALONE:
        one = duckdb.connect(config={"threads": 1, "enable_external_access": False})
        one.execute("SET GLOBAL TimeZone = 'UTC'")
        one.register("feed", pa.Table.from_batches([_ROWS]))
        one.execute("CREATE TABLE lines AS FROM feed")
        one.unregister("feed")
        _ALONE.append(one)
    return _ALONE[0]


def _names(query: str) -> set[str]:
    """Return the functions and tables that a query names."""
    tree = _alone().execute("SELECT json_serialize_sql($1)", [query]).fetchone()
    nodes = list(_nodes(json.loads(tree[0])))
    return {str(node.get(key, "")).lower() for node in nodes for key in _NAMING}


_NAMING = ("function_name", "table_name")
_FROM = [
    "FROM lines",
    "FROM lines a JOIN lines b USING (id)",
    "FROM (FROM lines)",
    "",
    "FROM lines",
]
_FROM += ["FROM lines, unnest([1, 2]) t(x)", "FROM range(3) t(bytes)", "FROM lines WHERE bytes > 1"]
_HEADS = ["WITH a AS (SELECT 1 AS x)", "WITH RECURSIVE a AS (SELECT 1 UNION ALL SELECT 2)", "", ""]
_ENDS = [
    "ORDER BY id",
    "GROUP BY ALL",
    "LIMIT 3",
    "UNION ALL SELECT 1",
    "QUALIFY true",
    ";",
    "",
    "",
]
_ENDS += [
    "WHERE len(line) > 1",
    "HAVING count(*) > 1",
    "USING SAMPLE 1 ROWS",
    "-- end",
    "WINDOW w AS ()",
]
_WHOLE = ["SELECT line, id", "SELECT *", "SELECT count(*) AS n", "SELECT bytes, max(line) AS m"]
_WHOLE += ["SELECT DISTINCT source", "SELECT upper(line) AS line, id", "FROM lines SELECT line"]
_WHOLE += ["SELECT row_number() OVER (ORDER BY id) AS n", "SELECT list(line ORDER BY id) AS l"]
_OTHER = """COPY lines TO 'made'|ATTACH 'made'|CREATE TABLE t AS FROM lines|INSTALL json|LOAD json
SET threads = 1|PRAGMA version|CALL pragma_version()|EXPORT DATABASE 'made'|DROP TABLE lines|BEGIN
INSERT INTO lines VALUES (1)|DELETE FROM lines|UPDATE lines SET bytes = 1|VACUUM|CHECKPOINT
EXPLAIN ANALYZE FROM lines|PREPARE p AS SELECT 1|EXECUTE p|USE main|DESCRIBE lines|SHOW TABLES
SUMMARIZE lines|VALUES (1)|TABLE lines|FROM '/etc/passwd'|FROM duckdb_settings()|FROM "/etc/passwd"
SELECT * FROM read_text('/etc/passwd')|FROM glob('*')|PIVOT lines ON source USING count(*)
FROM query('SELECT 1')|FROM query_table('lines')|FROM sqlite_master|FROM information_schema.tables
SELECT getenv('HOME') AS h FROM lines|FROM lines SELECT now() AS n"""
_STATEMENTS = _OTHER.replace("\n", "|").split("|")


def _make_whole(rng: random.Random) -> str:
    if rng.randrange(4) == 0:
        text = rng.choice(_STATEMENTS)
    else:
        text = " ".join(map(rng.choice, (_HEADS, _WHOLE, _FROM, _ENDS)))
    if rng.randrange(3):
        other = rng.choice((*_STATEMENTS, *_WHOLE)).encode()
        text = damaged(rng, text.encode(), _TOKENS, other).decode("utf-8", "replace")
    return f"{text}{rng.choice(('', ';', ' '))}"


def _check_whole(text: str) -> bool:
    """One statement that reads gets through, and gives the rows that DuckDB alone gives."""
    with tempfile.TemporaryDirectory(dir=".") as folder:
        try:
            query = WholeQuery(text, LINES, id_is_data=True)
        except QueryInvalid:
            return False
        try:
            found = sorted(zip(*_columns_of_rows(query, Path(folder)), strict=True))
        except DbshufError:
            found = None
    assert not Path("made").exists()
    (one,) = _alone().extract_statements(text)
    assert one.type == duckdb.StatementType.SELECT, one.type
    named = _names(text)
    if "with" not in text.lower():  # a common table that nobody names is never bound
        assert not named & (_OUTSIDE - _UNSTEADY), named
    assert not any("/" in name for name in named), named
    wanted = _by_duckdb(text)
    if not named & _UNSTEADY and "sample" not in text.lower():
        assert found == (wanted and sorted(zip(*wanted, strict=True))), (found, wanted)
    return True


def _columns_of_rows(query: WholeQuery, folder: Path) -> list[list[str]]:
    feed = [_ROWS.select([name for name in LINES.names if name in query.columns])]
    rows = query.rows(lambda: iter(feed), memory_bytes=128 * MIB, threads=1, folder=folder)
    return _columns(pa.Table.from_batches([one.batch for one in rows], query.schema))


def _step(text: str, is_where: bool):
    binder = _OPEN[0]
    return (_where_step("--where", text, binder) if is_where else _select_step(text, binder))[0]


def _nodes(node: object):
    if isinstance(node, dict):
        yield node
        for child in node.values():
            yield from _nodes(child)
    elif isinstance(node, list):
        for child in node:
            yield from _nodes(child)


sys.setrecursionlimit(3000)
TARGETS = {
    "sql": Target(0.0015, _make_sql, _check_sql),
    "sql-whole": Target(0.0005, _make_whole, _check_whole),
}
