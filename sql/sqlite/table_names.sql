-- Purpose:    the tables and views of a database file, for --table.
-- Out:        name TEXT, is_view INTEGER
SELECT name, type = 'view' AS is_view
FROM sqlite_schema
WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\_%' ESCAPE '\'
ORDER BY name
