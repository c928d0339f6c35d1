-- Purpose:    the tables and views of a database file, for --table.
-- Out:        schema VARCHAR, name VARCHAR, is_view BOOLEAN
SELECT schema_name AS schema, table_name AS name, false AS is_view
FROM duckdb_tables()
WHERE database_name = current_database() AND NOT internal
UNION ALL
SELECT schema_name, view_name, true
FROM duckdb_views()
WHERE database_name = current_database() AND NOT internal
ORDER BY schema, name
