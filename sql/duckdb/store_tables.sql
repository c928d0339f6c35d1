-- Purpose:    the tables of a database that may be a store; views are none
-- Out:        table_name VARCHAR, column_name VARCHAR
SELECT t.table_name, c.column_name
FROM duckdb_tables() t JOIN duckdb_columns() c USING (database_name, schema_name, table_name)
WHERE t.database_name = 'dbshuf' AND t.schema_name = 'main'
ORDER BY t.table_name, c.column_index
