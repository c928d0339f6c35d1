-- Purpose:    all rows of a table or a view of a database file, in their order there.
-- Parameters: {table} its name, quoted
-- Out:        the columns of the table
SELECT * FROM {table}
