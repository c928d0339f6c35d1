"""What every part stands on: keys, rows, the memory a run is given, files, SQL texts.

key.py             the random key of a row: order version 1, frozen
line_batch.py      lines as they were read; row_batch.py: typed rows; window.py: rows in order
scan.py            what gives rows to the workers that order them
workers.py         several threads, one order
layout.py          how memory is divided; process_memory.py: what the process really holds
block_io.py        large reads and writes past the page cache
temporary.py       names that must not outlive a run
statements.py      SQL texts by engine and name; the only place that quotes
counters.py        rows, bytes and the sum of keys, to compare what went in and came out
"""
