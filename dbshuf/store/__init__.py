"""The store: inputs kept in a DuckDB database that any DuckDB client opens."""
