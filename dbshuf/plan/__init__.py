"""Options to a plan: every decision and every check that needs no work yet.

make_plan.py        options to a Plan; plan.py: the Plan, to text and JSON
logical_plan.py     what is to be done, checked
memory_division.py  what of --memory the sink, DuckDB, readers and each order have
worker_memory.py    what the workers of an order have of that: buffers, pieces, buckets
memory_needed.py    the --memory that a long line or a wide row would need
reading.py          what is read; row_plan.py: which rows and columns of it, and the SQL
ordering.py         one statement or not; strategy.py: memory, partition or spill, and why
space.py            whether temporary data and the output have room
target.py           what is written; splits.py: which of train, valid, test a row belongs to
mix.py              sources with their shares; mix_targets.py: how many rows of each that is
"""
