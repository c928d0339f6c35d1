"""The peer `duckdb-alone`: what a user gets from DuckDB with SQL and nothing else.

    python duckdb_alone.py INPUT OUTPUT MEMORY_LIMIT TEMP_DIR

Lines are read as a one-column CSV and written as one, or as Parquet, on all threads. It is no line
shuffler for any input (empty lines, CR, a BOM and invalid UTF-8 do not survive), only
for the corpora of these benchmarks.
"""

import sys

import duckdb

MAX_LINE_BYTES = 2_097_152  # as by default; the read buffer is 16 times that

READ_TEXT = f"""read_csv($source,
        columns = {{'line': 'VARCHAR'}}, auto_detect = false, header = false,
        delim = e'\\x01', quote = '', escape = '', max_line_size = {MAX_LINE_BYTES})"""
READ_PARQUET = "read_parquet($source)"
WRITE_TEXT = "FORMAT csv, HEADER false, QUOTE '', ESCAPE '', DELIMITER e'\\x01'"
WRITE_PARQUET = "FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1"


def statement(source: str, output: str) -> str:
    """Return the one statement for an input and an output, text or Parquet by their names."""
    read = READ_PARQUET if source.endswith(".parquet") else READ_TEXT
    write = WRITE_PARQUET if output.endswith(".parquet") else WRITE_TEXT
    return f"COPY (SELECT line FROM {read} ORDER BY random()) TO $output ({write})"


def main(source: str, output: str, memory_limit: str, temp_dir: str) -> None:
    """Shuffle `source` into `output` with one statement."""
    with duckdb.connect() as connection:
        connection.execute("SET autoinstall_known_extensions = false")
        connection.execute("SET preserve_insertion_order = false")
        connection.execute("SET memory_limit = ?", [memory_limit])
        connection.execute("SET temp_directory = ?", [temp_dir])
        try:
            connection.execute(statement(source, output), {"source": source, "output": output})
        except duckdb.Error as error:
            sys.exit(str(error).partition("\n")[0])


if __name__ == "__main__":
    main(*sys.argv[1:])
