"""Rows into key order by DuckDB: all at once, bucket by bucket, or spilled by DuckDB itself.

partition.py   memory and partition: rows by ranges of the key, each range then ordered
run_format.py  rows on their way into a run and back
runs.py        where runs wait: memory, a temporary file, or one and then the other
spill.py       one ORDER BY that carries the rows
"""
