-- Purpose:    as order.sql, of rows that have a first word of their order before the key.
-- In:         rows("dbshuf key" UBIGINT, "dbshuf prefix" UBIGINT, the columns of a row), one scan
-- Out:        the same columns, ("dbshuf prefix", "dbshuf key") ascending; keys have no ties
SELECT * FROM rows ORDER BY "dbshuf prefix", "dbshuf key"
