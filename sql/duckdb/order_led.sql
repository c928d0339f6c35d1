-- Purpose:    as order.sql, of rows that have a first word of their order before the key.
-- In:         rows("dbshuf key" UBIGINT, "dbshuf lead" UBIGINT, the columns of a row), one scan
-- Out:        the same columns, ("dbshuf lead", "dbshuf key") ascending; keys have no ties
SELECT * FROM rows ORDER BY "dbshuf lead", "dbshuf key"
