"""SQL of --where and --select: one expression within the fence, or an error in words."""

import json
import random
import sys

import duckdb
from mutation import Target, damaged, joined
from query_tools import LINES, relation

from dbshuf.errors import DbshufError, QueryFailed, QueryInvalid
from dbshuf.query.binding import Binder
from dbshuf.query.evaluator import ChunkDatabase, ChunkRunner
from dbshuf.query.row_filter import _select_step, _where_step
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
_PARSER: list[duckdb.DuckDBPyConnection] = []


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
        _PARSER.append(duckdb.connect())
    try:
        step = _step(text, is_where)
    except QueryInvalid:
        return False
    tree = _PARSER[0].execute("SELECT json_serialize_sql($1)", [f"SELECT {text}\n"]).fetchone()
    named = [node.get("function_name", "") for node in _nodes(json.loads(tree[0]))]
    called = {str(name).lower() for name in named}
    assert not called & _OUTSIDE, called
    found = []
    for _ in range(2):
        runner = ChunkRunner(ChunkDatabase(64 * MIB), step)
        try:
            rows = _ROWS.select([name for name in LINES.names if name in step.columns] or ["id"])
            found.append(runner.run(rows, str).to_pylist())
        except QueryFailed as error:
            found.append(error.message)
        except DbshufError as error:
            found.append(type(error).__name__)
        finally:
            runner.close()
    assert repr(found[0]) == repr(found[1]), found
    return True


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
TARGETS = {"sql": Target(0.0015, _make_sql, _check_sql)}
