"""JSON lines as rows, beside Python's reading, and SQL over typed rows, beside DuckDB alone."""

import datetime
import itertools
import json
import math
import random
import re
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
from mutation import Target, damaged, joined
from of_sql import _OUTSIDE, _UNSTEADY, _columns, _names
from plain_readers import Unsound, assert_holds, json_objects
from query_tools import decoded, place

from dbshuf.errors import DbshufError, QueryInvalid
from dbshuf.query.json_keys import TWICE
from dbshuf.query.json_scan import json_structure
from dbshuf.query.row_filter import RowQuery
from dbshuf.source.inputs import resolve_inputs

_LEAVES = r"""null true false 0 -0 1 -1 0.1 1e2 1E+5 -1.5e-7 9223372036854775807 9223372036854775808
18446744073709551615 18446744073709551616 -9223372036854775809 1e308 123456789012345678901234567890
"" "a" "1" "é" "\u00e9" "\ud83d\ude00" "\n" "2020-01-01" "true" "null" "[1]" [] {} [[]] [null]
[1,2] [1,"x"] [1.5,2] ["a"] [{"x":1}] {"x":1} {"x":"y"} {"x":null} {"y":[1,{"x":2}]}"""
_KEYS = ['"a"', '"b"', '"é"', '"a b"', '"x"', '"\\u0061"']
_SPACES = ["", "", "", " ", "\t", "  "]
_TOKENS = [one.encode() for one in (*_LEAVES.split(), *_KEYS, *'{}[]:,"\\-+.eE01', "\n", "\r\n")]
_TOKENS += [b"\xff", b"\0", "\u2028".encode(), "\ufeff".encode(), b'"\\ud800"', b"1e999", b"NaN"]


def _make_json(rng: random.Random) -> bytes:
    leaves, lines = _LEAVES.split(), []
    for _ in range(rng.choice((1, 2, 2, 3, 5))):
        pairs = [
            f"{rng.choice(_SPACES)}{key}:{rng.choice(_SPACES)}{rng.choice(leaves)}"
            for key in rng.sample(_KEYS, rng.randrange(4))
        ]
        lines.append(f"{{{','.join(pairs)}}}")
    text = "\n".join(lines).encode() + rng.choice((b"", b"\n"))
    return damaged(rng, text, _TOKENS) if rng.randrange(3) == 0 else text


def _check_json(text: bytes) -> bool:
    """Columns hold the values that Python reads, or no line is taken for an object."""
    Path("rows.jsonl").write_bytes(text)
    try:
        lines = [one for one in text.decode().split("\n") if one.strip(" \t\r")]
        wanted = json_objects(lines)
    except (Unsound, UnicodeDecodeError):
        wanted = None
    try:
        structure = json_structure(resolve_inputs(["rows.jsonl"]), b"\n", needs="nothing")
        _, rows = decoded(lines if wanted is not None else ["{}"], structure)
    except DbshufError:
        assert wanted is None or _is_refused(wanted, text), wanted
        return False
    assert wanted is not None, structure
    kinds = json.loads(structure)
    kinds.pop(TWICE, None)
    if kinds:
        for row, value in zip(rows.to_pylist(), wanted, strict=True):
            assert_holds(row, value, kinds)
    return bool(kinds)


def _is_refused(rows: list[dict], text: bytes) -> bool:
    """Whether Python's json takes what is none: halves of pairs, numbers beyond a double."""
    return b"\\ud" in text.lower() or any(map(_has_infinity, rows))


def _has_infinity(value: object) -> bool:
    if isinstance(value, dict):
        return any(map(_has_infinity, value.values()))
    if isinstance(value, list):
        return any(map(_has_infinity, value))
    return isinstance(value, float) and math.isinf(value)


_TABLE = pa.table(
    {
        "n": pa.array([1, 2, None, -7, 0, 2**31 - 1], pa.int32()),
        "big": pa.array([2**63 - 1, -(2**63), 0, None, 1, 5], pa.int64()),
        "u": pa.array([0, 2**64 - 1, 1, 2, None, 3], pa.uint64()),
        "d": pa.array([0.0, -0.0, math.nan, math.inf, None, 1.5], pa.float64()),
        "s": ["a", "", None, "é\n", "2020-02-30", "12"],
        "b": [True, False, None, True, False, True],
        "day": pa.array([datetime.date(2020, 1, 31), None, *[datetime.date(1, 1, 1)] * 4]),
        "t": pa.array([datetime.datetime(2020, 1, 1, 2, 3, 4, 5), None] * 3, pa.timestamp("us")),
        "m": pa.array([Decimal("1.50"), None, Decimal("-99999999.99")] * 2, pa.decimal128(10, 2)),
        "l": [[1, 2], [], None, [None], [3], [4, 5, 6]],
        "r": [{"x": 1, "y": "a"}, None, {"x": None, "y": None}, *[{"x": 2, "y": ""}] * 3],
        "raw": [b"\xff", b"", None, b"a\0", b"abc", b"1"],
    }
)
_ROWS = _TABLE.combine_chunks().to_batches()[0]
_ALONE: list[duckdb.DuckDBPyConnection] = []
_SQL = r"""n big u d s b day t m l r raw r.x r.y l[1] l[-1] ( ) , + - * / // % ** || = <> < >= <=>
and or not is null is not null between 0 and 5 in (1, 2) in (select 1) like 'a%' ilike similar to
case when then else end cast( as try_cast( ::int ::varchar ::double ::date ::decimal(4,1) ::utinyint
0 1 -1 1.5 1e308 '' 'a' '1' null true date '2020-01-31' interval 1 month interval '1' day
abs( sqrt( ln( round( ceil( greatest( least( coalesce( nullif( ifnull( length( upper( lower( trim(
substr( substring( left( right( lpad( repeat( replace( reverse( split( string_split( concat( chr(
ascii( hash( md5( sha256( date_trunc('month', extract(year from strftime( epoch( date_diff('day',
list_sum( list_sort( list_filter(l, x -> x > 1) list_transform(l, x -> x + n) list_contains( unnest(
array_length( len( struct_extract(r, 'x') struct_pack(a := n) row( [n, big] {'k': n} map([n], [s])
regexp_matches(s, '[a-z]') regexp_extract( format('{}', printf('%d', bit_count( xor( gcd( factorial(
typeof( error( row_number() over () lag(n) over () sum(n) count(*) any_value( * columns( exclude as
a as "b c" lines.n lines. source position id bytes decode( encode( to_base64( from_hex( isnan( sign(
collate nocase at time zone 'UTC' distinct filter (where b) order by n -- /* */ ; $1 ? "n" "N" N"""
_WORDS = [f"{word} " for word in _SQL.split()] + ["in (1, 2) ", "is not null ", "x -> x + n) "]
_SOUND = """n > 0;n + 1 AS a, s;d = d AND b;list_sum(l) AS a;r.x + n AS a, r;m * 2 AS m, day
coalesce(s, 'none') LIKE '%e' OR n IS NULL;CASE WHEN n > 1 THEN 10 / n ELSE 0 END AS a
upper(s) || n AS a;strftime(t, '%Y') AS y;l[1] = 1 OR len(l) > 2;try_cast(s AS INT) AS i
big % 10 = 7;u - 1 AS u;day + INTERVAL 1 MONTH AS day;raw = 'abc'::BLOB;greatest(n, 1, d) AS a
n BETWEEN -7 AND 2 AND NOT b;s IN ('a', '12');cast(d AS VARCHAR) AS v, typeof(d) AS y
list_transform(l, x -> x + n) AS l;{'k': n, 'v': s} AS k;hash(n, s) AS h""".replace("\n", ";")
_SOUNDS = [one.encode() for one in _SOUND.split(";")]
_SQL_TOKENS = [word.encode() for word in _WORDS]


def _make_sql(rng: random.Random) -> tuple[str, bool]:
    kind = rng.randrange(4)
    if kind == 0:
        text = joined(rng, _WORDS, 7).encode()
    elif kind == 1:
        text = damaged(rng, rng.choice(_SOUNDS), _SQL_TOKENS, rng.choice(_SOUNDS))
    else:  # words in the places of others
        parts = re.findall(rb"\w+|\W", rng.choice(_SOUNDS))
        for _ in range(rng.choice((1, 1, 2))):
            parts[rng.randrange(len(parts))] = rng.choice(_SQL_TOKENS)
        text = b"".join(parts)
    return text.decode("utf-8", "replace"), rng.random() < 0.5


def _check_sql(given: tuple[str, bool]) -> bool:
    """All rows at once, row by row, and by DuckDB alone: the same values, or an error."""
    text, is_where = given
    try:
        query = RowQuery(text if is_where else None, None if is_where else text, _TABLE.schema)
    except QueryInvalid:
        return False
    found = _by_evaluator(query, [_ROWS])
    alone = _by_evaluator(query, [_ROWS.slice(row, 1) for row in range(_ROWS.num_rows)])
    assert (found is None) == (alone is None), (found, alone)
    assert found == alone
    if not re.search(r"[*]|columns|source|position|\bid\b", text, re.IGNORECASE):
        whole = f"SELECT * FROM lines WHERE {text}\n" if is_where else f"SELECT {text}\nFROM lines"
        assert not _names(whole) & (_OUTSIDE | _UNSTEADY)
        assert found == _by_duckdb(whole)
    return True


def _by_evaluator(query: RowQuery, chunks: list[pa.RecordBatch]) -> list[list[str]] | None:
    """Return the values of each column, row after row; None if a row fails."""
    evaluator, parts = query.evaluator(), []
    try:
        for chunk in chunks:
            kept, rows = evaluator.run(chunk, place)
            parts.append(_columns(chunk.take(pa.array(kept)) if rows is None else rows))
    except DbshufError:
        return None
    finally:
        evaluator.close()
    return [list(itertools.chain(*columns)) for columns in zip(*parts, strict=True)]


def _by_duckdb(query: str) -> list[list[str]] | None:
    if not _ALONE:
        one = duckdb.connect(config={"threads": 1, "enable_external_access": False})
        one.execute("SET GLOBAL TimeZone = 'UTC'")
        one.register("feed", _TABLE)
        one.execute("CREATE TABLE lines AS FROM feed")
        one.unregister("feed")
        _ALONE.append(one)
    try:
        return _columns(_ALONE[0].cursor().sql(query).to_arrow_table())
    except (duckdb.Error, pa.ArrowException, UnicodeError):
        return None


TARGETS = {
    "json-rows": Target(0.0003, _make_json, _check_json),
    "sql-rows": Target(0.0003, _make_sql, _check_sql),
}
