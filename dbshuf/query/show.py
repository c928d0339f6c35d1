"""A result for people to read on a terminal."""

import duckdb
import pyarrow as pa


def as_table(rows: pa.Table) -> str:
    """Return a box of the columns, their types and the first and last rows."""
    connection = duckdb.connect()
    try:
        return str(connection.from_arrow(rows))
    finally:
        connection.close()
