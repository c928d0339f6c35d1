"""The user's SQL: parsed and checked before any work, then run.

syntax.py     DuckDB's parse of a text as a tree; errors with the place pointed at
functions.py  what each function is: row-local or not, within the fence or not
overloads.py  which overload binds, where that decides whether a call is row-local
fence.py      databases that reach no file, network or setting; which tables are named
binding.py    the text bound to the relation `lines`: columns read, types of the result
rowlocal.py   --where and --select, chunk by chunk, several workers at once
rowkey.py     --split-by: a stable hash of an expression of each row
chunks.py     one statement over one chunk after the other; which row failed
jsonshape.py  the types of JSON lines, from all of them, so that no value is lost
jsonrows.py   JSON lines as rows of these types
whole.py      --sql and `dbshuf query`: one SELECT over all rows, out of core
"""

from dbshuf.query.jsonshape import infer_json_structure
from dbshuf.query.rowkey import RowKeyEvaluator, RowKeyQuery
from dbshuf.query.rowlocal import RowEvaluator, RowQuery
from dbshuf.query.whole import WholeQuery

__all__ = [
    "RowEvaluator",
    "RowKeyEvaluator",
    "RowKeyQuery",
    "RowQuery",
    "WholeQuery",
    "infer_json_structure",
]
