-- Purpose:    the rows of a part of a table in key order
-- Parameters: {table} its name; :first, :last keys of the part
-- In:         {table}(key INTEGER, row BLOB), one scan, keys without ties
-- Out:        the same columns, key ascending
SELECT key, row FROM {table} WHERE key BETWEEN :first AND :last ORDER BY key
