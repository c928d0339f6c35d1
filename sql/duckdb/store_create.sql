-- Purpose:    the tables and the macro of a new store
-- Parameters: {key} an expression over the words seed and id (store_key_*.sql)
-- In:         feed(id UBIGINT, source VARCHAR, the columns of a row), no row is read
-- Out:        lines    the same columns, in the order of the ids
--             sources  an input a row; `source` is its name as given, as in `lines`, `path`
--                      its absolute path without links, `digest` the SHA-256 of the file,
--                      `ingested_at` UTC, since a Python client takes no TIMESTAMPTZ without
--                      another package
--             store    one row: what the store holds
BEGIN;
CREATE TABLE dbshuf.main.lines AS SELECT * FROM feed LIMIT 0;
CREATE TABLE dbshuf.main.sources (
    ordinal UBIGINT NOT NULL,
    source VARCHAR NOT NULL,
    path VARCHAR NOT NULL,
    table_name VARCHAR,
    size_bytes UBIGINT NOT NULL,
    changed_ns BIGINT NOT NULL,
    digest VARCHAR NOT NULL,
    rows UBIGINT NOT NULL,
    text_bytes UBIGINT NOT NULL,
    longest_bytes UBIGINT NOT NULL,
    vector_bytes UBIGINT NOT NULL,
    ingested_at TIMESTAMP NOT NULL
);
CREATE TABLE dbshuf.main.store (
    format INTEGER NOT NULL,
    order_version INTEGER NOT NULL,
    kind VARCHAR NOT NULL,
    is_binary BOOLEAN NOT NULL,
    terminator BLOB NOT NULL,
    header_lines UBIGINT NOT NULL,
    header BLOB NOT NULL,
    id_column VARCHAR NOT NULL,
    source_column VARCHAR NOT NULL,
    row_group_rows UBIGINT NOT NULL,
    arrow_schema BLOB,
    json_structure VARCHAR
);
CREATE MACRO dbshuf.main.shuffle_key(seed, id) AS {key};
COMMIT
