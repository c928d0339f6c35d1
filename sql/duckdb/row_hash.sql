-- Purpose:    one number for what is in a row, to find the row again within one run.
-- Parameters: {values} expressions over the columns of the rows, each text or bytes
-- In:         chunk(the columns of the rows)
-- Out:        hash UBIGINT, in the order of the chunk
-- `hash` may change between versions of DuckDB: nothing that is kept depends on it.
SELECT hash({values}) AS hash FROM chunk
