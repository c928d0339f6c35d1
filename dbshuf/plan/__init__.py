"""Options to a plan: every decision and every check that needs no work yet.

make_plan.py  options to a Plan; plan.py: the Plan, to text and JSON
reading.py    what is read; row_plan.py: which rows and columns of it, and the SQL on their way
ordering.py   one statement or not; strategy.py: memory, partition or spill, and why
memory.py     how --memory is split
space.py      whether temporary data and the output have room
target.py     what is written; splits.py: which of train, valid, test a row belongs to
mix.py        sources with their shares; mix_targets.py: how many rows of each that is
"""
