-- Purpose:    all rows in key order; DuckDB spills to its temp_directory as needed.
-- In:         rows(key UBIGINT, line BLOB), one scan
-- Out:        key UBIGINT ascending, line BLOB; keys have no ties
SELECT key, line FROM rows ORDER BY key
