-- Purpose:    the table of one range of the key
-- Parameters: {table} its name
-- Out:        key INTEGER, the key with its top bit flipped, so that it ascends as the key does;
--             row BLOB, a line with its terminator, or typed values as base/row_packing.py has them
CREATE TABLE {table} (key INTEGER, row BLOB)
