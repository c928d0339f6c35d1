-- Purpose:    as order_create.sql, of rows that have a first word of their order before the key
-- Parameters: {table} its name
-- Out:        prefix INTEGER, key INTEGER, both with their top bit flipped; row BLOB
CREATE TABLE {table} (prefix INTEGER, key INTEGER, row BLOB)
