-- Purpose:    the rows of a part of a table in the order of their leads and then keys
-- Parameters: {table} its name; :first, :last leads of the part; :first_key, :last_key its keys
-- In:         {table}(lead INTEGER, key INTEGER, row BLOB), one scan, keys without ties
-- Out:        the same columns, (lead, key) ascending
SELECT lead, key, row FROM {table}
WHERE lead BETWEEN :first AND :last AND key BETWEEN :first_key AND :last_key
ORDER BY lead, key
