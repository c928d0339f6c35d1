-- Purpose:    the declared types of a table's columns, for those that hold nothing but NULL.
-- Parameters: :table its name
-- Out:        name TEXT, type TEXT
SELECT name, type FROM pragma_table_xinfo(:table)
