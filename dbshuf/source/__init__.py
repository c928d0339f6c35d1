"""Where rows come from: names to inputs, what they hold, and what reads them.

inputs.py, listing.py, include.py, hive.py   which files a command line names
input.py, byte_reader.py, head.py            one input: its bytes, its front
formats.py                                   lines, JSON lines, CSV, Parquet, a database ...
survey.py                                    how long rows are and how many, before any work
lines/  tables/  schema/  compression/       what reads them
"""
