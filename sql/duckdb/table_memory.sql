-- Purpose:    the memory of DuckDB while it reads a table of a database file.
-- Parameters: {limit} bytes, quoted
SET memory_limit = {limit}
