"""What dbshuf does, one file a thing: shuffle, query, ingest.

ordered.py  the rows of a plan in their order; shuffle.py: into files; stream.py: to a program
scan.py     inputs through --where, --select and --sql, as the order stage reads them
mixed.py    the rows that a mix takes of its sources; mix_counts.py: which these are
verify.py   what came out is what went in, in the order it should have
"""
