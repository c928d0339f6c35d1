"""`dbshuf verify`: whether outputs hold the rows of their inputs, and nothing else.

outputs.py  an output of any kind   files.py, folders.py  its files, here or in a store
rows.py     a comparison, step by step   sides.py, forms.py  both sides, read into hashes of rows
totals.py   sums of them, without order   differences.py  which rows differ, and where
parts.py    splits and folders of values   epochs.py  folders of epochs   order.py  that of a seed
"""
