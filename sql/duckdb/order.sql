-- Purpose:    all rows in key order; DuckDB spills to its temp_directory as needed.
-- In:         rows("dbshuf key" UBIGINT, the columns of a row), one scan
-- Out:        the same columns, "dbshuf key" ascending; keys have no ties
SELECT * FROM rows ORDER BY "dbshuf key"
