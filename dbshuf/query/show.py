"""A result for people to read on a terminal."""

import pyarrow as pa

from dbshuf.query.fence import connect


def as_table(rows: pa.Table) -> str:
    """Return a box of the columns, their types and the first and last rows."""
    connection = connect()  # its time zone is that of the query
    try:
        return str(connection.from_arrow(rows))
    finally:
        connection.close()
