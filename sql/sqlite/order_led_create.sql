-- Purpose:    as order_create.sql, of rows that have a first word of their order before the key
-- Parameters: {table} its name
-- Out:        lead INTEGER, key INTEGER, both with their top bit flipped; row BLOB
CREATE TABLE {table} (lead INTEGER, key INTEGER, row BLOB)
