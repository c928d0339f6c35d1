"""Options to a plan: every decision and every check that needs no work yet.

make_plan.py  options to a Plan; plan.py: the Plan, to text and JSON
task.py       what is to be done, checked; memory_division.py: how the memory is divided for it
reading.py    what is read; row_plan.py: which rows and columns of it, and the SQL on their way
ordering.py   one statement or not; strategy.py: memory, partition or spill, and why
memory.py     what the parts of a run need of --memory
space.py      whether temporary data and the output have room
target.py     what is written; splits.py: which of train, valid, test a row belongs to
mix.py        sources with their shares; mix_targets.py: how many rows of each that is
"""
