-- Purpose:    how many rows a part of a table has, and their bytes
-- Parameters: {table} its name; :first, :last prefixes of the part; :first_key, :last_key its keys
-- Out:        rows INTEGER, bytes INTEGER
SELECT count(*), ifnull(sum(length(row)), 0) FROM {table}
WHERE prefix BETWEEN :first AND :last AND key BETWEEN :first_key AND :last_key
