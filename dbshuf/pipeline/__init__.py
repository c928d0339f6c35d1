"""What dbshuf does, one file a thing: shuffle, query, ingest.

scan.py     inputs through --where, --select and --sql, as the order stage reads them
verify.py   what came out is what went in, in the order it should have
"""
