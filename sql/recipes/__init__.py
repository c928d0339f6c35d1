"""Queries over `lines` for --sql, to use as they are or to start from."""
