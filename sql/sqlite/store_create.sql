-- Purpose:    the tables of a new store: those of sql/duckdb/store_create.sql
-- Parameters: {id}, {source} names of columns; {columns} with their types, a comma before each
-- Out:        lines    an id from 2^63 on is negative: it is the same 64 bits
--             sources  `ingested_at` UTC
--             store    one row: what the store holds
PRAGMA page_size = 16384;
BEGIN;
CREATE TABLE lines ({id} INTEGER PRIMARY KEY, {source} TEXT NOT NULL{columns});
CREATE TABLE sources (
    ordinal INTEGER NOT NULL,
    source TEXT NOT NULL,
    path TEXT NOT NULL,
    table_name TEXT,
    size_bytes INTEGER NOT NULL,
    changed_ns INTEGER NOT NULL,
    digest TEXT NOT NULL,
    rows INTEGER NOT NULL,
    text_bytes INTEGER NOT NULL,
    longest_bytes INTEGER NOT NULL,
    vector_bytes INTEGER NOT NULL,
    ingested_at TEXT NOT NULL
);
CREATE TABLE store (
    format INTEGER NOT NULL,
    order_version INTEGER NOT NULL,
    kind TEXT NOT NULL,
    is_binary INTEGER NOT NULL,
    terminator BLOB NOT NULL,
    header_lines INTEGER NOT NULL,
    header BLOB NOT NULL,
    id_column TEXT NOT NULL,
    source_column TEXT NOT NULL,
    row_group_rows INTEGER NOT NULL,
    arrow_schema BLOB,
    json_structure TEXT
);
COMMIT;
