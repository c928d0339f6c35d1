-- Purpose:    how many rows a table of a database file has; it says so without a scan.
-- Parameters: {table} its name, quoted, with its schema
-- Out:        rows BIGINT
SELECT count(*) AS rows FROM {table}
