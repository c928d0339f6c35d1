-- Purpose:    the rows of a part of a table in the order of their prefixes and then keys
-- Parameters: {table} its name; :first, :last prefixes of the part; :first_key, :last_key its keys
-- In:         {table}(prefix INTEGER, key INTEGER, row BLOB), one scan, keys without ties
-- Out:        the same columns, (prefix, key) ascending
SELECT prefix, key, row FROM {table}
WHERE prefix BETWEEN :first AND :last AND key BETWEEN :first_key AND :last_key
ORDER BY prefix, key
