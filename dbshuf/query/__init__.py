"""The user's SQL: parsed and checked before any work, then run.

parse.py               DuckDB's parse of a text as a tree; errors with the place pointed at
functions.py           what each function is: row-local or not, within the fence or not
function_allowlist.py  the functions that the user's SQL may call
overloads.py           which overload binds, where that decides whether a call is row-local
fence.py               databases that reach no file, network or setting; tables that are named
relation.py            the relation `lines` that SQL sees
star_columns.py        what `*` stands for
binding.py             the text bound to `lines`: columns read, columns of the result
result_types.py        the types that a result may have; others are to be cast
evaluator.py           one statement over one record batch after the other; which row failed
row_filter.py          --where and --select, by several workers at once
row_expression.py      --split-by, --weight and the like: a hash or a weight of each row
json_scan.py           JSON lines are all read once, for their columns
json_columns.py        the types of JSON lines, so that no value is lost
json_rows.py           JSON lines as rows of these types
whole_statement.py     --sql and `dbshuf query`: one SELECT over all rows, out of core

Importing this package loads no engine.
"""
