"""Rows into key order: in memory, on disk by ranges of the key, or by DuckDB."""
