"""Options to a plan: every decision and every check that needs no work yet.

row_plan.py   which rows and columns are moved, and the SQL on their way
strategy.py   memory, spill or partition, and why
memory.py     how --memory is split
space.py      whether temporary data and the output have room
splits.py     which of train, valid, test a row belongs to
"""
