-- Purpose:    how many rows a part of a table has, and their bytes
-- Parameters: {table} its name; :first, :last keys of the part
-- Out:        rows INTEGER, bytes INTEGER
SELECT count(*), ifnull(sum(length(row)), 0) FROM {table} WHERE key BETWEEN :first AND :last
