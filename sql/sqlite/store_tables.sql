-- Purpose:    the tables of a database that may be a store; views are none
-- Out:        table_name TEXT, column_name TEXT
SELECT t.name, c.name
FROM sqlite_schema AS t JOIN pragma_table_xinfo(t.name) AS c
WHERE t.type = 'table'
ORDER BY t.name, c.cid
