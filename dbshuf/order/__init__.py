"""Rows into key order, by DuckDB or another engine; all keep what engine.py says.

partition.py   memory and partition: rows by ranges of the key, each range then ordered
run_format.py  rows on their way into a run and back
runs.py        where runs wait: memory, a temporary file, or one and then the other
mixed.py       so many rows of a source, by ranks of their own
spill.py       one ORDER BY that carries the rows
sqlite.py      a table for each range of the key, and SQLite's ORDER BY
"""
