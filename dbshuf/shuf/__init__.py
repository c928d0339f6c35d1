"""GNU shuf's work, by dbshuf's order: lines, arguments or numbers, permuted or drawn.

run.py       which way an input goes, by its size
small.py     what fits in a few megabytes, without numpy
large.py     what fits in memory: two threads read, numpy orders, Arrow gathers
head.py      the first K of any input, in the memory of K
numbers.py   ranges too long for a list: a permutation that is computed, not stored
draws.py     lines and numbers that may come again
seeds.py     where chance comes from
output.py    standard output, or a file that is replaced at once

The command starts in 0.02 s as long as none of these imports numpy, `typing`, `dataclasses` or
`re` before it is needed. What does not fit in memory is left to the pipeline of `shuffle`.
"""
