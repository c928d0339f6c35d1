"""The DuckDB forms of the statements."""
