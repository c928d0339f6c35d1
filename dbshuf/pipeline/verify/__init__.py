"""`dbshuf verify`: whether outputs hold the rows of their inputs, and nothing else.

rows.py  a comparison, step by step      sides.py  inputs and outputs, read into hashes of rows
totals.py  sums of them, without order   differences.py  which rows differ, and where
order.py  the order of a seed
"""
